"""Owners of the simulated HubSpot: a list of their own, behind a scope of their own."""

import pytest

from trunkline.sandbox.actions import Actions, ControlError

from .conftest import ALL_SCOPES, EMPTY

SCOPES = f"{ALL_SCOPES} crm.objects.owners.read"
KEYS = {
    *("id", "email", "type", "firstName", "lastName", "userId", "userIdIncludingInactive"),
    *("createdAt", "updatedAt", "archived"),
}


@pytest.mark.parametrize("path", ["/crm/v3/owners", "/crm/owners/2026-03"])
async def test_pages_hold_every_owner_once(hubspot, path):
    token, seen, after = hubspot.token(scope=SCOPES), [], ""
    for _ in range(9):
        body = (await hubspot.call("GET", path, token, params={"limit": 2, "after": after})).json()
        seen += body["results"]
        if "paging" not in body:
            break
        after = body["paging"]["next"]["after"]
    whole = (await hubspot.call("GET", path, token)).json()
    assert seen == whole["results"]
    assert len({one["id"] for one in seen}) == len(seen) > 2
    assert all(one.keys() == KEYS for one in seen)
    gone = (await hubspot.call("GET", path, token, params={"archived": "true"})).json()["results"]
    assert [one["archived"] for one in gone] == [True]
    assert "userId" not in gone[0]
    assert hubspot.simulator.truth("48120002", "owners") == {one["id"] for one in seen}


async def test_one_is_found_by_its_id_by_that_of_its_user_and_by_its_address(hubspot):
    token = hubspot.token(scope=SCOPES)
    one = (await hubspot.call("GET", "/crm/v3/owners", token)).json()["results"][0]
    assert (await hubspot.call("GET", f"/crm/v3/owners/{one['id']}", token)).json() == one
    by_user = await hubspot.call(
        "GET", f"/crm/v3/owners/{one['userId']}", token, params={"idProperty": "userId"}
    )
    assert by_user.json() == one
    found = await hubspot.call("GET", "/crm/v3/owners", token, params={"email": one["email"].upper()})
    assert found.json()["results"] == [one]
    assert (await hubspot.call("GET", "/crm/v3/owners/1", token)).status_code == 404


async def test_they_need_their_scope_and_a_sound_limit(hubspot):
    refused = await hubspot.call("GET", "/crm/v3/owners", hubspot.token())
    assert (refused.status_code, refused.json()["category"]) == (403, "MISSING_SCOPES")
    token = hubspot.token(scope=SCOPES)
    for limit in ("0", "501", "x", "²"):
        assert (
            await hubspot.call("GET", "/crm/v3/owners", token, params={"limit": limit})
        ).status_code == 400
    empty = await hubspot.call("GET", "/crm/v3/owners", hubspot.token(EMPTY, SCOPES))
    assert empty.json() == {"results": []}


def test_deals_and_tickets_name_owners_and_the_control_changes_them(hubspot):
    simulator, account = hubspot.simulator, "48120002"
    known = {one.id for one in simulator.store.walk(account, "owners", archived=None)}
    for kind in ("deals", "tickets"):
        named = [one.values.get("hubspot_owner_id") for one in simulator.store.walk(account, kind)]
        assert {one for one in named if one} <= known
        assert len({one for one in named if one}) > 1
        assert None in named
    actions = Actions(simulator)
    (made,) = actions.create(account, "owners")
    assert made in simulator.truth(account, "owners")
    actions.change(account, "owners", ids=[made])
    actions.change(account, "owners", ids=[made], values={"email": "else@x.example"})
    item = simulator.store.get(account, "owners", made)
    assert item.values["email"] == "else@x.example"
    assert "Changed" in simulator.label("owners", item)
    with pytest.raises(ControlError, match="userId"):
        actions.change(account, "owners", ids=[made], values={"userId": "7"})
    with pytest.raises(ControlError, match="Owners have no field"):
        actions.change_field("owners", "email", "")  # they are no objects with properties
    actions.archive(account, "owners", ids=[made])
    assert made not in simulator.truth(account, "owners")
    # HubSpot tells of no change of an owner
    teller = simulator.teller("s" * 16, lambda: "https://x.example/hooks")
    (hook,) = teller.hooks(account)
    assert [event for entry in simulator.store.ledger for event in teller.events(entry, hook)] == []
