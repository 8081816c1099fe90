"""Tokens, scopes, limits and writes of the simulated Zendesk."""

import pytest

SMALL, BIG = "12510002", "12510001"
APP = {"client_id": "app", "client_secret": "secret"}


async def refreshed(zendesk, value, **more):
    form = {"grant_type": "refresh_token", "refresh_token": value, **APP, **more}
    return await zendesk.http.post("/zendesk/oauth/tokens", json=form)


async def test_a_refresh_kills_both_old_tokens(zendesk):
    first = await zendesk.tokens()
    assert (first["expires_in"], first["refresh_token_expires_in"]) == (1800, 2_592_000)
    second = await refreshed(zendesk, first["refresh_token"])
    assert second.status_code == 201
    old = await zendesk.call("GET", "/api/v2/tickets", first["access_token"])
    assert (old.status_code, old.json()["error"]) == (401, "invalid_token")
    again = await refreshed(zendesk, first["refresh_token"])
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    new = await zendesk.call("GET", "/api/v2/tickets", second.json()["access_token"])
    assert new.status_code == 200


async def test_lifetimes_can_be_asked_for_within_bounds(zendesk):
    tokens = await zendesk.tokens(expires_in=300, refresh_token_expires_in=604_800)
    assert tokens["expires_in"] == 300
    zendesk.clock.advance(301)
    assert (await zendesk.call("GET", "/api/v2/tickets", tokens["access_token"])).status_code == 401
    zendesk.clock.advance(604_800)
    assert (await refreshed(zendesk, tokens["refresh_token"])).status_code == 400
    for bad in ({"expires_in": 299}, {"expires_in": 172_801}, {"refresh_token_expires_in": 5}):
        answer = await zendesk.http.post("/zendesk/oauth/tokens", json={**zendesk.form(), **bad})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_a_code_lives_two_minutes(zendesk):
    form = zendesk.form()
    zendesk.clock.advance(121)
    answer = await zendesk.http.post("/zendesk/oauth/tokens", json=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_wrong_scope_still_yields_a_token_that_opens_nothing(zendesk):
    token = await zendesk.token(scope="tickets:reed")
    answer = await zendesk.call("GET", "/api/v2/tickets", token)
    assert (answer.status_code, answer.json()["error"]["title"]) == (403, "Forbidden")


async def test_scopes_by_resource(zendesk):
    token = await zendesk.token(scope="tickets:read users:write")
    assert (await zendesk.call("GET", "/api/v2/tickets", token)).status_code == 200
    assert (await zendesk.call("GET", "/api/v2/users", token)).status_code == 403
    assert (
        await zendesk.call("POST", "/api/v2/users", token, json={"user": {"name": "A"}})
    ).status_code == 201


async def test_another_accounts_host_knows_neither_code_nor_token(zendesk):
    token = await zendesk.token(SMALL)
    own = await zendesk.call("GET", "/~tinyrobots.zendesk.com/api/v2/tickets", token)
    other = await zendesk.call("GET", "/~larkspur.zendesk.com/api/v2/tickets", token)
    assert (own.status_code, other.status_code) == (200, 401)
    answer = await zendesk.http.post("/zendesk/~larkspur.zendesk.com/oauth/tokens", json=zendesk.form(SMALL))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_revoked_by_the_token_itself(zendesk):
    tokens = await zendesk.tokens()
    assert (
        await zendesk.call("GET", "/api/v2/oauth/tokens/current", tokens["access_token"])
    ).status_code == 200
    gone = await zendesk.call("DELETE", "/api/v2/oauth/tokens/current.json", tokens["access_token"])
    assert gone.status_code == 204
    assert (await zendesk.call("GET", "/api/v2/tickets", tokens["access_token"])).status_code == 401
    assert (await refreshed(zendesk, tokens["refresh_token"])).status_code == 400


async def test_an_api_token_with_an_address(zendesk):
    key = zendesk.simulator.oauth.make_key(SMALL)
    good = await zendesk.http.get("/zendesk/api/v2/tickets", auth=("agent@x.example/token", key))
    without = await zendesk.http.get("/zendesk/api/v2/tickets", auth=("agent@x.example", key))
    assert (good.status_code, without.status_code) == (200, 401)
    assert without.json() == {"error": "Couldn't authenticate you"}


async def test_429_is_plain_text_and_says_how_long(zendesk):
    token = await zendesk.token()
    path = "/api/v2/incremental/tickets/cursor"
    answers = [await zendesk.call("GET", path, token, params={"start_time": 0}) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    last = answers[-1]
    assert last.headers["content-type"].startswith("text/plain")
    assert last.text.startswith("Number of allowed")
    assert last.headers["retry-after"] == "60"
    assert (
        answers[0].headers["zendesk-ratelimit-incremental-exports-cursor"]
        == "total=20; remaining=19; resets=60"
    )
    assert (await zendesk.call("GET", "/api/v2/users", token)).headers["x-rate-limit-remaining"] == "679"
    zendesk.clock.advance(60)
    assert (await zendesk.call("GET", path, token, params={"start_time": 0})).status_code == 200


async def test_a_ticket_with_comment_and_tags(zendesk):
    token = await zendesk.token()
    ticket = {"subject": "Help", "comment": {"body": "It is broken"}, "priority": "high"}
    made = await zendesk.call("POST", "/api/v2/tickets.json", token, json={"ticket": ticket})
    assert made.status_code == 201
    body = made.json()["ticket"]
    assert (body["status"], body["description"], made.json()["audit"]["ticket_id"]) == (
        "new", "It is broken", body["id"],
    )  # fmt: skip
    path = f"/api/v2/tickets/{body['id']}"
    change = {"status": "pending", "comment": {"body": "Looking", "public": False}}
    zendesk.clock.advance(5)
    changed = (await zendesk.call("PUT", path, token, json={"ticket": change})).json()["ticket"]
    assert (changed["status"], changed["updated_at"] > body["updated_at"]) == ("pending", True)
    comments = (await zendesk.call("GET", f"{path}/comments.json", token)).json()["comments"]
    assert [(c["plain_body"], c["public"]) for c in comments] == [("It is broken", True), ("Looking", False)]
    tags = (await zendesk.call("PUT", f"{path}/tags", token, json={"tags": ["vip"]})).json()["tags"]
    assert tags == ["vip"]
    shown = (await zendesk.call("GET", path, token)).json()["ticket"]
    assert shown["tags"] == ["vip"]


async def test_users_are_made_or_changed_by_their_address(zendesk):
    token = await zendesk.token()
    path = "/api/v2/users/create_or_update"
    user = {"name": "Ada", "email": "ada@x.example"}
    first = await zendesk.call("POST", path, token, json={"user": user})
    second = await zendesk.call("POST", path, token, json={"user": {**user, "phone": "1"}})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["user"]["id"] == second.json()["user"]["id"]
    taken = await zendesk.call("POST", "/api/v2/users", token, json={"user": user})
    assert taken.json()["details"]["email"][0]["error"] == "DuplicateValue"


@pytest.mark.parametrize(
    ("ticket", "status"),
    [
        ({"subject": "x"}, 422), ({"comment": {"body": "x"}, "status": "gone"}, 422),
        ({"comment": {"body": "x"}, "requester_id": 5}, 422), ({"comment": {"body": "x"}, "tags": "a"}, 422),
        ({"comment": {"body": "x"}, "custom_fields": [{"id": 1, "value": 2}]}, 422), ([], 400),
    ],
)  # fmt: skip
async def test_a_write_that_cannot_be(zendesk, ticket, status):
    token = await zendesk.token()
    answer = await zendesk.call("POST", "/api/v2/tickets", token, json={"ticket": ticket})
    assert answer.status_code == status
    assert zendesk.simulator.store.ledger == []


async def test_a_closed_ticket_stays_as_it_is(zendesk):
    token = await zendesk.token(BIG)
    store = zendesk.simulator.store
    closed = next(item.id for item in store.walk(BIG, "tickets") if item.values["status"] == "closed")
    answer = await zendesk.call("PUT", f"/api/v2/tickets/{closed}", token, json={"ticket": {"subject": "x"}})
    assert answer.status_code == 422


async def test_the_control_pages_samples_and_touches(zendesk):
    for kind in zendesk.simulator.object_types:
        body = {"account": BIG, "object": kind.name, "count": 2}
        made = await zendesk.http.post("/zendesk/_control/api/records", json=body)
        assert len(made.json()["ids"]) == 2
        changed = await zendesk.http.post("/zendesk/_control/api/records/change", json=body)
        assert len(changed.json()["ids"]) == 2
        archived = await zendesk.http.post("/zendesk/_control/api/records/archive", json=body)
        assert len(archived.json()["ids"]) == 2
    assert (await zendesk.http.get("/zendesk/_control")).status_code == 200
