"""Lists, passes over what is gone, and filter queries of the simulated Freshdesk."""

from datetime import timedelta

import pytest

BIG, SMALL, EMPTY = "2043001", "2043002", "2043003"
LONG_AGO = "2015-01-01T00:00:00Z"


def held(freshdesk, account, kind, **more):
    return list(freshdesk.simulator.store.walk(account, kind, **more))


@pytest.mark.parametrize("kind", ["companies", "agents"])
async def test_a_list_by_link_headers(freshdesk, kind):
    found = await freshdesk.all(f"/{kind}", freshdesk.key(BIG), per_page=7)
    assert [item["id"] for item in found] == [int(item.id) for item in held(freshdesk, BIG, kind)]


async def test_a_page_has_thirty_and_at_most_a_hundred(freshdesk):
    key = freshdesk.key(BIG)
    assert len((await freshdesk.call("GET", "/companies", key)).json()) == 30
    assert (await freshdesk.call("GET", "/companies", key, params={"per_page": 101})).status_code == 400


async def test_tickets_are_those_of_thirty_days_unless_a_time_is_named(freshdesk):
    key = freshdesk.key(BIG)
    recent = await freshdesk.all("/tickets", key, per_page=100)
    every = await freshdesk.all("/tickets", key, per_page=100, updated_since=LONG_AGO)
    oldest = freshdesk.clock() - timedelta(days=30)
    live = [item for item in held(freshdesk, BIG, "tickets") if not item.values["spam"]]
    assert {item["id"] for item in recent} == {int(i.id) for i in live if i.created_at >= oldest}
    assert {item["id"] for item in every} == {int(item.id) for item in live}
    assert 0 < len(recent) < len(every)
    assert not any("deleted" in item or "description" in item for item in every)


async def test_by_the_time_of_change(freshdesk):
    key = freshdesk.key(BIG)
    query = {"order_by": "updated_at", "order_type": "asc", "updated_since": LONG_AGO, "per_page": 100}
    every = await freshdesk.all("/tickets", key, **query)
    times = [item["updated_at"] for item in every]
    assert times == sorted(times)
    since = times[len(times) // 2]
    some = await freshdesk.all("/tickets", key, **{**query, "updated_since": since})
    assert [item["id"] for item in some] == [item["id"] for item in every if item["updated_at"] >= since]


async def test_passes_over_deleted_and_spam(freshdesk):
    key = freshdesk.key(BIG)
    deleted = await freshdesk.all("/tickets", key, filter="deleted", updated_since=LONG_AGO)
    spam = await freshdesk.all("/tickets", key, filter="spam", updated_since=LONG_AGO)
    gone = held(freshdesk, BIG, "tickets", archived=True)
    assert gone
    assert spam
    assert {item["id"] for item in deleted} == {int(item.id) for item in gone}
    assert all(item["deleted"] is True for item in deleted)
    assert all(item["spam"] is True for item in spam)
    contacts = await freshdesk.all("/contacts", key, state="deleted")
    assert {item["id"] for item in contacts} == {
        int(item.id) for item in held(freshdesk, BIG, "contacts", archived=True)
    }


async def test_contacts_by_state_and_by_time(freshdesk):
    key = freshdesk.key(BIG)
    every = await freshdesk.all("/contacts", key, per_page=100)
    states = [
        await freshdesk.all("/contacts", key, per_page=100, state=s) for s in ("verified", "unverified")
    ]
    blocked = await freshdesk.all("/contacts", key, state="blocked")
    assert sorted(c["id"] for state in states for c in state) == sorted(c["id"] for c in every)
    assert blocked
    assert not {c["id"] for c in blocked} & {c["id"] for c in every}
    since = sorted(c["updated_at"] for c in every)[-10]
    some = await freshdesk.all("/contacts", key, _updated_since=since)
    assert {c["id"] for c in some} == {c["id"] for c in every if c["updated_at"] >= since}
    unproven = await freshdesk.call("GET", "/contacts", key, params={"updated_since": since})
    assert unproven.status_code == 400


async def test_deep_pages_of_tickets_are_refused(freshdesk):
    key = freshdesk.key(SMALL)
    assert (await freshdesk.call("GET", "/tickets", key, params={"page": 300})).json() == []
    assert (await freshdesk.call("GET", "/tickets", key, params={"page": 301})).status_code == 400


async def search(freshdesk, key, kind, query, **more):
    return await freshdesk.call("GET", f"/search/{kind}", key, params={"query": f'"{query}"', **more})


async def test_filter_queries(freshdesk):
    key = freshdesk.key(BIG)
    tickets = held(freshdesk, BIG, "tickets")
    query = "(status:2 OR status:3) AND priority:4"
    found = (await search(freshdesk, key, "tickets", query)).json()
    expected = [int(i.id) for i in tickets if i.values["status"] in {2, 3} and i.values["priority"] == 4]
    assert (found["total"], [item["id"] for item in found["results"]]) == (len(expected), expected[:30])
    assert expected
    tagged = (await search(freshdesk, key, "tickets", "tag:'vip' AND updated_at:>'2024-06-01'")).json()
    assert tagged["total"] > 30
    second = (await search(freshdesk, key, "tickets", "tag:'vip'", page=2)).json()
    assert second["results"]
    assert (await search(freshdesk, key, "tickets", "tag:'vip'", page=11)).status_code == 400
    custom = (await search(freshdesk, key, "tickets", "cf_plan:null")).json()
    assert custom["total"] == sum(i.values["custom_fields"]["cf_plan"] is None for i in tickets)
    for bad in ("status:2 AND", "(status:2", "status:2 status:3", "nonsense", ""):
        assert (await search(freshdesk, key, "tickets", bad)).status_code == 400, bad


async def test_everything_that_is_named_exists(freshdesk):
    for account in (BIG, SMALL):
        contacts, companies, agents, tickets = (
            {int(item.id) for item in held(freshdesk, account, kind, archived=None)}
            for kind in ("contacts", "companies", "agents", "tickets")
        )
        for item in held(freshdesk, account, "tickets", archived=None):
            assert item.values["requester_id"] in contacts
            assert item.values["company_id"] in companies | {None}
            assert item.values["responder_id"] in agents | {None}
        for item in held(freshdesk, account, "conversations"):
            assert item.values["ticket_id"] in tickets
            assert item.values["user_id"] in contacts | agents


async def test_an_account_without_anything(freshdesk):
    key = freshdesk.key(EMPTY)
    for path in ("/tickets", "/contacts", "/companies"):
        answer = await freshdesk.call("GET", path, key)
        assert (answer.json(), answer.headers.get("link")) == ([], None)


@pytest.mark.parametrize("kind", ["void", "twice", "stale", "loop", "big", "cursor", "overlap"])
async def test_page_faults(freshdesk, kind):
    key = freshdesk.key(SMALL)
    params = {"per_page": 5, "page": 2, "updated_since": LONG_AGO}
    true = await freshdesk.call("GET", "/tickets", key, params=params)
    freshdesk.simulator.faults.add(kind, requests=1)
    struck = await freshdesk.call("GET", "/tickets", key, params=params)
    assert (struck.text, struck.headers.get("link")) != (true.text, true.headers.get("link"))
    assert struck.status_code == (400 if kind == "cursor" else 200)
