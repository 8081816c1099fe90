"""Lists, single objects, writes and batches of the simulated HubSpot."""

from typing import Any
from urllib.parse import urlsplit

import pytest

SMALL, EMPTY = "48120002", "48120003"
CONTACTS = "/crm/v3/objects/contacts"
DATED = "/crm/objects/2026-03/contacts"


def fits(body: dict[str, Any], model: dict[str, Any]) -> None:
    assert set(body) <= set(model["fields"]), set(body) - set(model["fields"])
    assert set(model["required"]) <= set(body)


async def walk(hubspot, token, path, **params):
    """Every page to the end; (items, number of pages)."""
    items, pages, after = [], 0, None
    while True:
        query = {**params, **({"after": after} if after else {})}
        body = (await hubspot.call("GET", path, token, params=query)).json()
        items += body["results"]
        pages += 1
        if "paging" not in body:
            return items, pages
        after = body["paging"]["next"]["after"]


@pytest.mark.parametrize("path", [CONTACTS, DATED, "/crm/v3/objects/0-1"])
async def test_paging_gives_every_live_contact_once(hubspot, path):
    token = hubspot.token()
    items, pages = await walk(hubspot, token, path, limit=50)
    live = hubspot.simulator.store.count(SMALL, "contacts")
    assert [item["id"] for item in items] == [i.id for i in hubspot.simulator.store.walk(SMALL, "contacts")]
    assert pages == -(-live // 50)


async def test_a_full_last_page_has_no_paging_key(hubspot):
    token = hubspot.token()
    live = hubspot.simulator.store.count(SMALL, "companies")
    body = (await hubspot.call("GET", "/crm/v3/objects/companies", token, params={"limit": live})).json()
    assert set(body) == {"results"}
    empty = (await hubspot.call("GET", CONTACTS, hubspot.token(EMPTY))).json()
    assert empty == {"results": []}


async def test_the_link_of_a_page_is_the_next_page(hubspot):
    token = hubspot.token()
    query = "?limit=3&properties=phone&properties=city"
    first = (await hubspot.call("GET", CONTACTS + query, token)).json()
    link = urlsplit(first["paging"]["next"]["link"])
    assert link.path == "/hubspot" + CONTACTS
    by_link = (await hubspot.call("GET", f"{CONTACTS}?{link.query}", token)).json()
    by_cursor = await hubspot.call(
        "GET", f"{CONTACTS}{query}&after={first['paging']['next']['after']}", token
    )
    assert by_link == by_cursor.json()
    assert set(by_link["results"][0]["properties"]) >= {"phone", "city"}


async def test_default_limit_default_properties_and_strings_only(hubspot):
    body = (await hubspot.call("GET", "/crm/v3/objects/0-3", hubspot.token())).json()
    assert len(body["results"]) == 10
    assert set(body["results"][0]["properties"]) == {
        "amount", "closedate", "createdate", "dealname", "dealstage", "hs_lastmodifieddate", "hs_object_id",
        "pipeline",
    }  # fmt: skip
    values = [value for item in body["results"] for value in item["properties"].values()]
    assert all(value is None or isinstance(value, str) for value in values)


async def test_asked_properties_comma_or_repeated_unknown_ones_ignored(hubspot):
    token = hubspot.token()
    comma = await hubspot.call("GET", f"{CONTACTS}?limit=1&properties=phone,city,nope", token)
    repeated = await hubspot.call("GET", f"{CONTACTS}?limit=1&properties=phone&properties=city", token)
    assert comma.json()["results"] == repeated.json()["results"]
    assert set(comma.json()["results"][0]["properties"]) == {
        "phone", "city", "createdate", "hs_object_id", "lastmodifieddate",
    }  # fmt: skip


async def test_archived_ones_are_in_a_list_of_their_own(hubspot):
    token = hubspot.token()
    before, _ = await walk(hubspot, token, CONTACTS, archived="true")
    chosen = next(hubspot.simulator.store.walk(SMALL, "contacts")).id
    hubspot.clock.advance(5)
    assert (await hubspot.call("DELETE", f"{CONTACTS}/{chosen}", token)).status_code == 204
    after, _ = await walk(hubspot, token, CONTACTS, archived="true")
    assert {i["id"] for i in after} - {i["id"] for i in before} == {chosen}
    gone = next(item for item in after if item["id"] == chosen)
    assert gone["archived"] is True
    assert gone["archivedAt"] == "2026-11-23T09:00:05.000Z"
    assert all("archivedAt" in item for item in after)
    assert (await hubspot.call("GET", f"{CONTACTS}/{chosen}", token)).status_code == 404
    kept = await hubspot.call("GET", f"{CONTACTS}/{chosen}?archived=true", token)
    assert kept.json()["id"] == chosen
    assert (await hubspot.call("DELETE", f"{CONTACTS}/{chosen}", token)).status_code == 204


@pytest.mark.parametrize(
    "query", ["limit=101", "limit=0", "limit=x", "limit=-1", "after=x", "after=٣", "limit=1e1"]
)
async def test_bad_paging_is_refused_with_the_field_named(hubspot, query):
    answer = await hubspot.call("GET", f"{CONTACTS}?{query}", hubspot.token())
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"
    assert answer.json()["errors"][0]["in"] == query.partition("=")[0]


async def test_create_change_and_read_back(hubspot):
    token = hubspot.token()
    made = await hubspot.call(
        "POST",
        CONTACTS,
        token,
        json={"properties": {"email": "New@x.example", "hubspotscore": 5, "newsletter": True}},
    )
    assert made.status_code == 201
    body = made.json()
    assert body["properties"]["hubspotscore"] == "5"
    assert body["properties"]["newsletter"] == "true"
    hubspot.clock.advance(1)
    path = f"{CONTACTS}/{body['id']}"
    changed = await hubspot.call(
        "PATCH", path, token, json={"properties": {"city": "Graz", "newsletter": ""}}
    )
    assert changed.json()["updatedAt"] > body["updatedAt"]
    by_email = await hubspot.call(
        "GET", f"{CONTACTS}/new@X.example?idProperty=email&properties=city,newsletter", token
    )
    assert by_email.json()["properties"]["city"] == "Graz"
    assert by_email.json()["properties"]["newsletter"] is None
    assert [e.change for e in hubspot.simulator.store.ledger] == ["created", "updated"]


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"nope": "1"}, "PROPERTY_DOESNT_EXIST"),
        ({"lastmodifieddate": "1"}, "READ_ONLY_VALUE"),
        ({"lifecyclestage": "wizard"}, "INVALID_OPTION"),
        ({"hubspotscore": "many"}, "INVALID_VALUE"),
    ],
)
async def test_bad_writes_name_the_property_and_change_nothing(hubspot, properties, code):
    answer = await hubspot.call("POST", CONTACTS, hubspot.token(), json={"properties": properties})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] == code
    assert answer.json()["errors"][0]["in"] in properties
    assert hubspot.simulator.store.ledger == []


async def test_a_taken_email_is_a_conflict_with_the_existing_id(hubspot):
    token = hubspot.token()
    first = (
        await hubspot.call("POST", CONTACTS, token, json={"properties": {"email": "a@x.example"}})
    ).json()
    answer = await hubspot.call("POST", CONTACTS, token, json={"properties": {"email": "A@X.example"}})
    assert answer.status_code == 409
    assert first["id"] in answer.json()["message"]


async def test_batch_read_answers_207_for_missing_ids(hubspot, models):
    token = hubspot.token()
    ids = [item.id for item in hubspot.simulator.store.walk(SMALL, "contacts")][:3]
    body = {"inputs": [{"id": i} for i in ids], "properties": ["email"], "propertiesWithHistory": []}
    whole = await hubspot.call("POST", f"{CONTACTS}/batch/read", token, json=body)
    assert whole.status_code == 200
    fits(whole.json(), models["crm.contacts"]["BatchResponseSimplePublicObject"])
    body["inputs"].append({"id": "1"})
    partly = await hubspot.call("POST", f"{CONTACTS}/batch/read", token, json=body)
    assert partly.status_code == 207
    assert [item["id"] for item in partly.json()["results"]] == ids
    assert partly.json()["errors"][0]["context"]["ids"] == ["1"]
    fits(partly.json(), models["crm.contacts"]["BatchResponseSimplePublicObjectWithErrors"])
    fits(partly.json()["errors"][0], models["crm.contacts"]["StandardError"])
    body["inputs"] = [{"id": "1"}] * 101
    assert (await hubspot.call("POST", f"{CONTACTS}/batch/read", token, json=body)).status_code == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"properties": 1}', b'{"inputs": {}}', b"\xff", b"[" * 100_000]
)
@pytest.mark.parametrize("path", [CONTACTS, f"{CONTACTS}/batch/read", f"{CONTACTS}/search"])
async def test_broken_bodies_are_400_not_a_crash(hubspot, path, body):
    if path.endswith("search") and body.startswith((b'{"p', b'{"i')):
        body = b'{"limit": "x"}'
    answer = await hubspot.call("POST", path, hubspot.token(), content=body)
    assert answer.status_code == 400
    assert answer.json()["correlationId"]


async def test_replies_have_the_official_clients_fields(hubspot, models):
    token = hubspot.token()
    page = (await hubspot.call("GET", CONTACTS, token, params={"archived": "true"})).json()
    fits(page, models["crm.contacts"]["CollectionResponseSimplePublicObjectWithAssociationsForwardPaging"])
    for item in page["results"]:
        fits(item, models["crm.contacts"]["SimplePublicObjectWithAssociations"])
    found = (await hubspot.call("POST", f"{CONTACTS}/search", token, json={"limit": 1})).json()
    fits(found, models["crm.contacts"]["CollectionResponseWithTotalSimplePublicObjectForwardPaging"])
    fits(found["results"][0], models["crm.contacts"]["SimplePublicObject"])
    properties = (await hubspot.call("GET", "/crm/properties/2026-03/deals", token)).json()
    fits(properties, models["crm.properties"]["CollectionResponsePropertyNoPaging"])
    for item in properties["results"]:
        fits(item, models["crm.properties"]["ModelProperty"])
        for option in item["options"]:
            fits(option, models["crm.properties"]["Option"])
    one = (await hubspot.call("GET", "/crm/v3/properties/deals/amount", token)).json()
    assert one in properties["results"]


async def test_unknown_types_and_paths_answer_in_hubspots_form(hubspot):
    token = hubspot.token()
    unknown = await hubspot.call("GET", "/crm/v3/objects/unicorns", token)
    assert (unknown.status_code, unknown.json()["category"]) == (400, "VALIDATION_ERROR")
    nowhere = await hubspot.call("GET", "/crm/v9/contacts", token)
    assert (nowhere.status_code, nowhere.json()["status"]) == (404, "error")
    assert (await hubspot.call("GET", f"{CONTACTS}/999", token)).json()["category"] == "OBJECT_NOT_FOUND"
