"""What the simulated Pipedrive lists, finds and keeps of what was deleted or archived."""

import pytest

from trunkline.sandbox.actions import Actions

BIG, SMALL, EMPTY = "9120001", "9120002", "9120003"


@pytest.mark.parametrize("kind", ["persons", "organizations"])
@pytest.mark.parametrize("limit", [7, 500])
async def test_a_list_pages_to_the_end_by_cursor(pipedrive, kind, limit):
    token = await pipedrive.token(SMALL)
    found = await pipedrive.all(f"/api/v2/{kind}", token, limit=limit)
    expected = [int(item.id) for item in pipedrive.simulator.store.walk(SMALL, kind)]
    assert [item["id"] for item in found] == expected
    assert all(item["is_deleted"] is False for item in found)


async def test_a_cursor_stays_good_while_the_list_changes(pipedrive):
    token = await pipedrive.token(SMALL)
    first = (await pipedrive.call("GET", "/api/v2/persons", token, params={"limit": 5})).json()
    await pipedrive.call("DELETE", f"/api/v2/persons/{first['data'][0]['id']}", token)
    cursor = first["additional_data"]["next_cursor"]
    rest = await pipedrive.all("/api/v2/persons", token, limit=5, cursor=cursor)
    second = (await pipedrive.call("GET", "/api/v2/persons", token, params={"cursor": cursor})).json()
    assert second["data"][0]["id"] > first["data"][-1]["id"]
    assert len(rest) >= 5


async def test_sorted_by_the_time_of_change_and_only_what_changed_since(pipedrive):
    token = await pipedrive.token(BIG)
    every = await pipedrive.all("/api/v2/deals", token, sort_by="update_time", limit=100)
    times = [item["update_time"] for item in every]
    assert times == sorted(times)
    since = times[len(times) // 2]
    some = await pipedrive.all("/api/v2/deals", token, sort_by="update_time", updated_since=since)
    assert [item["id"] for item in some] == [item["id"] for item in every if item["update_time"] >= since]
    until = await pipedrive.all("/api/v2/deals", token, updated_until=since)
    assert len(some) + len(until) == len(every)
    down = await pipedrive.all("/api/v2/deals", token, sort_by="update_time", sort_direction="desc", limit=50)
    assert [item["id"] for item in down] == [item["id"] for item in every][::-1]


async def test_archived_deals_are_in_their_own_list_only(pipedrive):
    token = await pipedrive.token(BIG)
    live = {item["id"] for item in await pipedrive.all("/api/v2/deals", token, limit=500)}
    archived = await pipedrive.all("/api/v2/deals/archived", token)
    assert archived
    assert all(item["is_archived"] and item["archive_time"] for item in archived)
    assert not live & {item["id"] for item in archived}
    chosen = next(iter(live))
    answer = await pipedrive.call("PATCH", f"/api/v2/deals/{chosen}", token, json={"is_archived": True})
    assert answer.json()["data"]["archive_time"]
    assert chosen not in {item["id"] for item in await pipedrive.all("/api/v2/deals", token, limit=500)}


async def test_deleted_deals_are_listed_for_thirty_days(pipedrive):
    token = await pipedrive.token(SMALL)
    deal = (await pipedrive.all("/api/v2/deals", token))[0]["id"]
    answer = await pipedrive.call("DELETE", f"/api/v2/deals/{deal}", token)
    assert answer.json() == {"success": True, "data": {"id": deal}}
    gone = await pipedrive.all("/api/v2/deals", token, status="deleted")
    assert (deal, "deleted", True) in [(d["id"], d["status"], d["is_deleted"]) for d in gone]
    assert deal not in [item["id"] for item in await pipedrive.all("/api/v2/deals", token)]
    again = await pipedrive.call("DELETE", f"/api/v2/deals/{deal}", token)
    assert again.status_code == 404
    pipedrive.clock.advance(31 * 86_400)
    token = await pipedrive.token(SMALL)
    gone = await pipedrive.all("/api/v2/deals", token, status="deleted")
    assert deal not in [item["id"] for item in gone]
    assert (await pipedrive.call("GET", f"/api/v2/deals/{deal}", token)).status_code == 404


async def test_deals_and_persons_name_objects_that_exist(pipedrive):
    store = pipedrive.simulator.store
    for account in (BIG, SMALL):
        known = {
            kind: {int(item.id) for item in store.walk(account, kind, archived=None)}
            for kind in ("users", "persons", "organizations")
        }
        for kind in ("persons", "organizations", "deals"):
            for item in store.walk(account, kind, archived=None):
                assert item.values["owner_id"] in known["users"]
                assert item.values.get("org_id") in known["organizations"] | {None}
                assert item.values.get("person_id") in known["persons"] | {None}


async def test_search(pipedrive):
    token = await pipedrive.token(SMALL)
    person = next(p for p in await pipedrive.all("/api/v2/persons", token) if p["emails"])
    email = person["emails"][0]["value"]
    query = {"term": email.upper(), "fields": "email", "exact_match": "true"}
    found = (await pipedrive.call("GET", "/api/v2/persons/search", token, params=query)).json()
    assert [entry["item"]["id"] for entry in found["data"]["items"]] == [person["id"]]
    assert found["additional_data"]["next_cursor"] is None
    short = await pipedrive.call("GET", "/api/v2/persons/search", token, params={"term": "x"})
    assert short.status_code == 400


async def test_an_account_without_anything(pipedrive):
    token = await pipedrive.token(EMPTY)
    for path in ("persons", "organizations", "deals", "deals/archived"):
        assert await pipedrive.all(f"/api/v2/{path}", token) == []
    v1 = (await pipedrive.call("GET", "/v1/persons", token)).json()
    assert v1["data"] is None


async def test_v1_embeds_what_v2_only_names(pipedrive):
    token = await pipedrive.token(SMALL)
    deal = next(d for d in await pipedrive.all("/api/v2/deals", token) if d["org_id"] and d["person_id"])
    old = (await pipedrive.call("GET", f"/v1/deals/{deal['id']}", token)).json()["data"]
    assert old["org_id"]["value"] == deal["org_id"]
    assert old["person_id"]["name"]
    assert old["update_time"] == deal["update_time"].replace("T", " ").removesuffix("Z")
    custom = next(iter(deal["custom_fields"]))
    assert len(custom) == 40
    assert old[custom] == deal["custom_fields"][custom]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0}, {"limit": 501}, {"limit": "x"}, {"cursor": "!"}, {"cursor": "eyJpZCI6MX0"},
        {"sort_by": "name"}, {"sort_direction": "up"}, {"updated_since": "yesterday"},
        {"updated_since": "2026-01-01T00:00:00"}, {"status": "gone"},
    ],
)  # fmt: skip
async def test_a_question_that_makes_no_sense(pipedrive, query):
    token = await pipedrive.token(SMALL)
    answer = await pipedrive.call("GET", "/api/v2/deals", token, params=query)
    assert answer.status_code == 400
    assert answer.json()["success"] is False


@pytest.mark.parametrize("kind", ["void", "twice", "stale", "loop", "big", "cursor", "empty"])
async def test_page_faults(pipedrive, kind):
    token = await pipedrive.token(SMALL)
    first = (await pipedrive.call("GET", "/api/v2/persons", token, params={"limit": 5})).json()
    params = {"limit": 5, "cursor": first["additional_data"]["next_cursor"]}
    true = (await pipedrive.call("GET", "/api/v2/persons", token, params=params)).json()
    pipedrive.simulator.faults.add(kind, requests=1)
    struck = await pipedrive.call("GET", "/api/v2/persons", token, params=params)
    assert struck.json() != true
    assert struck.status_code == (410 if kind == "cursor" else 200)
    assert (await pipedrive.call("GET", "/api/v2/persons", token, params=params)).json() == true


async def test_what_was_made_by_hand_with_one_value_is_listed_like_any_other(pipedrive):
    """A list of what is deleted looks at the status of every deal."""
    token = await pipedrive.token(SMALL)
    (made,) = Actions(pipedrive.simulator).create(SMALL, "deals", 1, {"title": "By hand"})
    assert await pipedrive.all("/api/v2/deals", token, status="deleted") == []
    found = {str(item["id"]): item for item in await pipedrive.all("/api/v2/deals", token)}
    assert found[made]["title"] == "By hand"
    assert found[made]["status"] == "open"
