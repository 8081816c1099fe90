"""Search of the simulated HubSpot: filters, order, limits, index lag."""

from datetime import UTC, datetime

import pytest

SMALL = "48120002"
SEARCH = "/crm/v3/objects/contacts/search"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def search(hubspot, token, path=SEARCH, **body):
    hubspot.clock.advance(1)  # the search window
    return await hubspot.call("POST", path, token, json=body)


def where(*filters):
    return [{"filters": [dict(zip(("propertyName", "operator", "value"), f, strict=False)) for f in filters]}]


async def ids(hubspot, groups, kind="contacts"):
    answer = await search(
        hubspot, hubspot.token(), f"/crm/v3/objects/{kind}/search", filterGroups=groups, limit=200
    )
    assert answer.status_code == 200, answer.text
    return {item["id"] for item in answer.json()["results"]}


def live(hubspot, test, kind="contacts"):
    return {item.id for item in hubspot.simulator.store.walk(SMALL, kind) if test(item)}


@pytest.mark.parametrize("form", ["milliseconds", "iso"])
async def test_by_modified_time_ascending_pages_to_the_end(hubspot, form):
    token = hubspot.token()
    items = sorted(hubspot.simulator.store.walk(SMALL, "contacts"), key=lambda i: (i.updated_at, int(i.id)))
    middle = items[len(items) // 2].updated_at
    value = (
        middle.isoformat() if form == "iso" else str((middle - EPOCH).total_seconds() * 1000).split(".")[0]
    )
    expected = [item.id for item in items if item.updated_at >= middle]
    found, after = [], None
    while True:
        answer = await search(
            hubspot,
            token,
            filterGroups=where(("lastmodifieddate", "GTE", value)),
            sorts=[{"propertyName": "lastmodifieddate", "direction": "ASCENDING"}],
            limit=20,
            **({"after": after} if after else {}),
        )
        body = answer.json()
        assert body["total"] == len(expected)
        found += [item["id"] for item in body["results"]]
        if "paging" not in body:
            break
        after = body["paging"]["next"]["after"]
    assert found == expected


async def test_operators(hubspot):
    def score(item):
        return int(item.values["hubspotscore"]) if item.values.get("hubspotscore") else None

    def stage(item):
        return item.values.get("lifecyclestage")

    cases = [
        (("hubspotscore", "GT", "50"), lambda i: (s := score(i)) is not None and s > 50),
        (("hubspotscore", "LT", 9), lambda i: (s := score(i)) is not None and s < 9),
        (("hubspotscore", "LTE", "9"), lambda i: (s := score(i)) is not None and s <= 9),
        (("lifecyclestage", "EQ", "lead"), lambda i: stage(i) == "lead"),
        (("lifecyclestage", "NEQ", "lead"), lambda i: stage(i) != "lead"),
        (("email", "HAS_PROPERTY"), lambda i: bool(i.values.get("email"))),
        (("email", "NOT_HAS_PROPERTY"), lambda i: not i.values.get("email")),
        (("company", "CONTAINS_TOKEN", "gmbh"), lambda i: "GmbH" in (i.values.get("company") or "")),
        (("email", "CONTAINS_TOKEN", "*example"), lambda i: bool(i.values.get("email"))),
        (("company", "NOT_CONTAINS_TOKEN", "gmbh"), lambda i: "GmbH" not in (i.values.get("company") or "")),
    ]
    for given, test in cases:
        expected = live(hubspot, test)
        assert await ids(hubspot, where(given)) == expected, given
        assert expected, given
    between = [
        {
            "filters": [
                {"propertyName": "hubspotscore", "operator": "BETWEEN", "value": "9", "highValue": "50"}
            ]
        }
    ]
    assert await ids(hubspot, between) == live(
        hubspot, lambda i: (s := score(i)) is not None and 9 <= s <= 50
    )
    one_of = [
        {"filters": [{"propertyName": "lifecyclestage", "operator": "IN", "values": ["lead", "customer"]}]}
    ]
    assert await ids(hubspot, one_of) == live(hubspot, lambda i: stage(i) in {"lead", "customer"})
    none_of = [{"filters": [{"propertyName": "lifecyclestage", "operator": "NOT_IN", "values": ["lead"]}]}]
    assert await ids(hubspot, none_of) == live(hubspot, lambda i: stage(i) not in {"lead", None})


async def test_groups_are_or_and_filters_and(hubspot):
    groups = where(("lifecyclestage", "EQ", "lead"), ("email", "HAS_PROPERTY")) + where(
        ("newsletter", "EQ", "true")
    )
    expected = live(
        hubspot,
        lambda i: (
            (i.values.get("lifecyclestage") == "lead" and i.values.get("email"))
            or i.values.get("newsletter") == "true"
        ),
    )
    assert await ids(hubspot, groups) == expected


async def test_archived_ones_are_never_found(hubspot):
    archived = {item.id for item in hubspot.simulator.store.walk(SMALL, "contacts", archived=True)}
    assert archived
    assert not archived & await ids(hubspot, [])


async def test_the_cap_of_ten_thousand(hubspot):
    token = hubspot.token()
    assert (await search(hubspot, token, limit=200, after="9800")).status_code == 200
    answer = await search(hubspot, token, limit=200, after="9801")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["in"] == "after"


@pytest.mark.parametrize(
    "body",
    [
        {"limit": 201},
        {"limit": 0},
        {"after": "abc"},
        {"filterGroups": where(("nope", "EQ", "1"))},
        {"filterGroups": where(("hs_lastmodifieddate", "GT", "1"))},
        {"filterGroups": where(("email", "LIKE", "1"))},
        {"filterGroups": where(("email", "EQ"))},
        {"filterGroups": where(("email", "IN", "x"))},
        {"filterGroups": where(("email", "CONTAINS_TOKEN", "a*b*c*d*e"))},
        {"filterGroups": where(("email", "HAS_PROPERTY")) * 7},
        {"filterGroups": where(*[("email", "HAS_PROPERTY")] * 19)},
        {"sorts": ["email", "city"]},
        {"sorts": ["nope"]},
    ],
)
async def test_what_hubspot_refuses(hubspot, body):
    answer = await search(hubspot, hubspot.token(), **body)
    assert answer.status_code == 400
    assert answer.json()["category"] == "VALIDATION_ERROR"


async def test_search_trails_behind_writes_by_the_index_lag(hubspot):
    token = hubspot.token()
    hubspot.simulator.change_setting("index_lag", 30)
    hubspot.clock.advance(60)
    item = next(hubspot.simulator.store.walk(SMALL, "contacts"))
    hubspot.simulator.store.update(SMALL, "contacts", item.id, {"city": "Laggville"})
    made = hubspot.simulator.store.create(SMALL, "contacts", {"city": "Laggville"})
    wanted = {"filterGroups": where(("city", "EQ", "laggville"))}
    assert (await search(hubspot, token, **wanted)).json()["total"] == 0
    one = await hubspot.call("GET", f"/crm/v3/objects/contacts/{made.id}?properties=city", token)
    assert one.json()["properties"]["city"] == "Laggville"
    hubspot.clock.advance(30)
    assert (await search(hubspot, token, **wanted)).json()["total"] == 2


async def test_five_a_second_by_account_and_no_rate_headers(hubspot):
    token = hubspot.token()
    hubspot.clock.advance(1)
    answers = [await hubspot.call("POST", SEARCH, token, json={}) for _ in range(6)]
    assert [a.status_code for a in answers] == [200] * 5 + [429]
    assert answers[-1].json()["policyName"] == "SECONDLY"
    assert not [name for a in answers for name in a.headers if "ratelimit" in name]
    listed = await hubspot.call("GET", "/crm/v3/objects/contacts", token)
    assert listed.headers["x-hubspot-ratelimit-remaining"] == "109"
    hubspot.clock.advance(1)
    assert (await hubspot.call("POST", SEARCH, token, json={})).status_code == 200
