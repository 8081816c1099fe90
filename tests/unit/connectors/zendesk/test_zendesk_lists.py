"""Lists, exports, search and tombstones of the simulated Zendesk."""

import pytest

BIG, SMALL, EMPTY = "12510001", "12510002", "12510003"


def live(zendesk, account, kind):
    return [int(item.id) for item in zendesk.simulator.store.walk(account, kind)]


@pytest.mark.parametrize("kind", ["tickets", "users", "organizations"])
async def test_a_list_by_cursor(zendesk, kind):
    token = await zendesk.token(SMALL)
    first = (await zendesk.call("GET", f"/api/v2/{kind}", token, params={"page[size]": 4})).json()
    assert first["meta"]["has_more"] is True
    found = await zendesk.follow(token, kind, "links.next", first)
    assert [item["id"] for item in found] == live(zendesk, SMALL, kind)


async def test_without_a_page_size_the_list_falls_back_to_offsets_which_end(zendesk):
    token = await zendesk.token(BIG)
    first = (await zendesk.call("GET", "/api/v2/tickets.json", token, params={"per_page": 50})).json()
    assert first["count"] == len(live(zendesk, BIG, "tickets"))
    found = await zendesk.follow(token, "tickets", "next_page", first)
    assert [item["id"] for item in found] == live(zendesk, BIG, "tickets")
    beyond = await zendesk.call("GET", "/api/v2/tickets", token, params={"page": 101})
    assert beyond.status_code == 400


async def test_the_cursor_export_goes_by_the_time_of_change_and_tells_deleted_tickets(zendesk):
    token = await zendesk.token(BIG)
    params = {"start_time": 0, "per_page": 40}
    first = (await zendesk.call("GET", "/api/v2/incremental/tickets/cursor", token, params=params)).json()
    found = await zendesk.follow(token, "tickets", "after_url", first)
    store = zendesk.simulator.store
    every = list(store.walk(BIG, "tickets", archived=None))
    assert sorted(item["id"] for item in found) == [int(item.id) for item in every]
    stamps = [item["generated_timestamp"] for item in found]
    assert stamps == sorted(stamps)
    deleted = {int(item.id) for item in every if item.archived_at}
    assert {item["id"] for item in found if item["status"] == "deleted"} == deleted
    long_ago = next(item for item in found if item["id"] in deleted)
    assert long_ago["subject"] == "SCRUBBED"


async def test_an_export_at_its_end_gives_a_null_cursor_and_the_old_one_stays_good(zendesk):
    token = await zendesk.token(SMALL)
    path = "/api/v2/incremental/tickets/cursor"
    first = (await zendesk.call("GET", path, token, params={"start_time": 0})).json()
    assert first["end_of_stream"] is True
    cursor = first["after_cursor"]
    empty = (await zendesk.call("GET", path, token, params={"cursor": cursor})).json()
    assert (empty["tickets"], empty["after_cursor"], empty["end_of_stream"]) == ([], None, True)
    ticket = live(zendesk, SMALL, "tickets")[0]
    zendesk.simulator.store.update(SMALL, "tickets", str(ticket), {"subject": "Changed"})
    soon = (await zendesk.call("GET", path, token, params={"cursor": cursor})).json()
    assert soon["tickets"] == []
    zendesk.clock.advance(61)
    later = (await zendesk.call("GET", path, token, params={"cursor": cursor})).json()
    assert [item["id"] for item in later["tickets"]] == [ticket]


async def test_an_export_of_the_last_minute_is_refused(zendesk):
    token = await zendesk.token(SMALL)
    now = int(zendesk.clock().timestamp())
    for path in ("incremental/tickets/cursor", "incremental/organizations"):
        answer = await zendesk.call("GET", f"/api/v2/{path}", token, params={"start_time": now - 59})
        assert answer.status_code == 400
        answer = await zendesk.call("GET", f"/api/v2/{path}", token, params={"start_time": now - 60})
        assert answer.status_code == 200


async def test_a_change_by_the_system_moves_the_export_and_not_updated_at(zendesk):
    token = await zendesk.token(SMALL)
    ticket = str(live(zendesk, SMALL, "tickets")[0])
    before = (await zendesk.call("GET", f"/api/v2/tickets/{ticket}", token)).json()["ticket"]
    zendesk.clock.advance(100)
    zendesk.simulator.desk.system_change(SMALL, ticket, {"tags": ["by-trigger"]})
    after = (await zendesk.call("GET", f"/api/v2/tickets/{ticket}", token)).json()["ticket"]
    assert after["updated_at"] == before["updated_at"]
    assert after["generated_timestamp"] > before["generated_timestamp"]
    assert after["tags"] == ["by-trigger"]


async def test_the_time_based_export_of_organizations_repeats_and_ends(zendesk):
    token = await zendesk.token(BIG)
    params = {"start_time": 0, "per_page": 10}
    first = (await zendesk.call("GET", "/api/v2/incremental/organizations", token, params=params)).json()
    found = await zendesk.follow(token, "organizations", "next_page", first)
    ids = [item["id"] for item in found]
    assert set(ids) == set(live(zendesk, BIG, "organizations"))
    assert len(ids) > len(set(ids))


async def test_tombstones(zendesk):
    token = await zendesk.token(SMALL)
    ticket, user = live(zendesk, SMALL, "tickets")[0], live(zendesk, SMALL, "users")[-1]
    assert (await zendesk.call("DELETE", f"/api/v2/tickets/{ticket}", token)).status_code == 204
    assert (await zendesk.call("DELETE", f"/api/v2/users/{user}.json", token)).status_code == 200
    tickets = (await zendesk.call("GET", "/api/v2/deleted_tickets", token)).json()["deleted_tickets"]
    users = (await zendesk.call("GET", "/api/v2/deleted_users", token)).json()["deleted_users"]
    assert ticket in [item["id"] for item in tickets]
    assert (user, False) in [(item["id"], item["active"]) for item in users]
    assert (await zendesk.call("GET", f"/api/v2/tickets/{ticket}", token)).status_code == 404
    assert (await zendesk.call("GET", f"/api/v2/users/{user}", token)).json()["user"]["active"] is False
    zendesk.clock.advance(31 * 86_400)
    token = await zendesk.token(SMALL)
    tickets = (await zendesk.call("GET", "/api/v2/deleted_tickets", token)).json()["deleted_tickets"]
    assert tickets == []


async def test_search_and_its_end(zendesk):
    token = await zendesk.token(BIG)
    query = {"query": "type:ticket status:solved invoice", "per_page": 5}
    page = (await zendesk.call("GET", "/api/v2/search", token, params=query)).json()
    assert page["count"] > 0
    assert all(item["status"] == "solved" and item["result_type"] == "ticket" for item in page["results"])
    beyond = await zendesk.call("GET", "/api/v2/search", token, params={"query": "x", "page": 11})
    assert (beyond.status_code, beyond.json()["error"]) == (422, "invalid")
    params = {"query": "status:open", "filter[type]": "ticket", "page[size]": 20}
    first = (await zendesk.call("GET", "/api/v2/search/export", token, params=params)).json()
    found = await zendesk.follow(token, "results", "links.next", first)
    store = zendesk.simulator.store
    expected = [int(i.id) for i in store.walk(BIG, "tickets") if i.values["status"] == "open"]
    assert [item["id"] for item in found] == expected


async def test_users_and_organizations_by_what_they_are_known_by(zendesk):
    token = await zendesk.token(SMALL)
    store = zendesk.simulator.store
    user = next(item for item in store.walk(SMALL, "users") if item.values["email"])
    params = {"query": f"email:{user.values['email']}"}
    found = (await zendesk.call("GET", "/api/v2/users/search", token, params=params)).json()["users"]
    assert [item["id"] for item in found] == [int(user.id)]
    organization = next(store.walk(SMALL, "organizations"))
    params = {"name": organization.values["name"].upper()}
    answer = (await zendesk.call("GET", "/api/v2/organizations/search", token, params=params)).json()
    assert [item["id"] for item in answer["organizations"]] == [int(organization.id)]


async def test_everything_that_is_named_exists(zendesk):
    store = zendesk.simulator.store
    for account in (BIG, SMALL):
        users, organizations, tickets = (
            {int(item.id) for item in store.walk(account, kind, archived=None)}
            for kind in ("users", "organizations", "tickets")
        )
        for item in store.walk(account, "tickets", archived=None):
            assert {item.values["requester_id"], item.values["submitter_id"]} <= users
            assert item.values["organization_id"] in organizations | {None}
        for item in store.walk(account, "comments"):
            assert item.values["author_id"] in users
            assert item.values["ticket_id"] in tickets


async def test_an_account_without_anything(zendesk):
    token = await zendesk.token(EMPTY)
    page = (await zendesk.call("GET", "/api/v2/tickets", token, params={"page[size]": 100})).json()
    assert (page["tickets"], page["meta"]["has_more"], page["links"]["next"]) == ([], False, None)
    answer = await zendesk.call("GET", "/api/v2/incremental/organizations", token, params={"start_time": 0})
    assert (answer.json()["organizations"], answer.json()["end_of_stream"]) == ([], True)


@pytest.mark.parametrize("kind", ["void", "twice", "stale", "loop", "big", "cursor"])
async def test_page_faults(zendesk, kind):
    token = await zendesk.token(SMALL)
    first = (await zendesk.call("GET", "/api/v2/tickets", token, params={"page[size]": 5})).json()
    params = {"page[size]": 5, "page[after]": first["meta"]["after_cursor"]}
    true = (await zendesk.call("GET", "/api/v2/tickets", token, params=params)).json()
    zendesk.simulator.faults.add(kind, requests=1)
    struck = await zendesk.call("GET", "/api/v2/tickets", token, params=params)
    assert struck.json() != true
    assert struck.status_code == (400 if kind == "cursor" else 200)


async def test_comments_lie_in_the_events_of_tickets_where_they_are_asked_for(zendesk):
    token = await zendesk.token(SMALL)
    path, params = "/api/v2/incremental/ticket_events", {"start_time": 0, "per_page": 20}
    without = (await zendesk.call("GET", path, token, params=params)).json()
    assert not any("body" in child for event in without["ticket_events"] for child in event["child_events"])
    first = (await zendesk.call("GET", path, token, params={**params, "include": "comment_events"})).json()
    events = await zendesk.follow(token, "ticket_events", "next_page", first)
    comments = [
        (child["id"], event["ticket_id"], child["plain_body"])
        for event in events
        for child in event["child_events"]
        if child["event_type"] == "Comment"
    ]
    store = zendesk.simulator.store
    expected = {(int(i.id), i.values["ticket_id"], i.values["body"]) for i in store.walk(SMALL, "comments")}
    assert set(comments) == expected
