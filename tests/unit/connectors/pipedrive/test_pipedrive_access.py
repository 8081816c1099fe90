"""Tokens, scopes, budgets and writes of the simulated Pipedrive."""

from trunkline_connectors.pipedrive.simulator_schema import SEGMENT

SMALL, BIG = "9120002", "9120001"
REDIRECT = "http://127.0.0.1:1/callback"
BASIC = ("app", "secret")


async def test_tokens_name_the_companys_own_host(pipedrive):
    tokens = await pipedrive.tokens(SMALL)
    assert tokens["api_domain"] == "https://halobikes.pipedrive.com"
    assert tokens["expires_in"] == 3599
    assert "deals:full" in tokens["scope"].split(",")
    me = (await pipedrive.call("GET", "/v1/users/me", tokens["access_token"])).json()["data"]
    assert (me["company_id"], me["company_domain"]) == (int(SMALL), "halobikes")


async def test_only_basic_authenticates_a_client(pipedrive):
    form = {"grant_type": "authorization_code", "code": pipedrive.code(), "redirect_uri": REDIRECT}
    body = {**form, "client_id": "app", "client_secret": "secret"}
    assert (await pipedrive.http.post("/pipedrive/oauth/token", data=body)).status_code == 401
    wrong = await pipedrive.http.post("/pipedrive/oauth/token", data=form, auth=("app", "no"))
    assert wrong.json()["error"] == "invalid_client"


async def test_a_refresh_token_lapses_after_sixty_idle_days(pipedrive):
    tokens = await pipedrive.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    for _ in range(2):
        pipedrive.clock.advance(59 * 86_400)
        answer = await pipedrive.http.post("/pipedrive/oauth/token", data=form, auth=BASIC)
        assert answer.status_code == 200
    pipedrive.clock.advance(61 * 86_400)
    late = await pipedrive.http.post("/pipedrive/oauth/token", data=form, auth=BASIC)
    assert (late.status_code, late.json()["error"]) == (400, "invalid_grant")


async def test_revoked(pipedrive):
    tokens = await pipedrive.tokens()
    form = {"token": tokens["refresh_token"], "token_type_hint": "refresh_token"}
    assert (await pipedrive.http.post("/pipedrive/oauth/revoke", data=form, auth=BASIC)).status_code == 200
    answer = await pipedrive.call("GET", "/api/v2/deals", tokens["access_token"])
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized access")


async def test_scopes(pipedrive):
    token = await pipedrive.token(scope="deals:read")
    assert (await pipedrive.call("GET", "/api/v2/deals", token)).status_code == 200
    assert (await pipedrive.call("GET", "/api/v2/persons", token)).status_code == 403
    assert (await pipedrive.call("POST", "/api/v2/deals", token, json={"title": "x"})).status_code == 403


async def test_a_key_in_the_header_or_in_the_address(pipedrive):
    key = pipedrive.simulator.oauth.make_key(SMALL)
    by_header = await pipedrive.http.get("/pipedrive/api/v2/deals", headers={"x-api-token": key})
    by_query = await pipedrive.http.get("/pipedrive/v1/deals", params={"api_token": key})
    assert (by_header.status_code, by_query.status_code) == (200, 200)


async def test_another_companys_host_is_refused(pipedrive):
    token = await pipedrive.token(SMALL)
    own = await pipedrive.call("GET", "/~halobikes.pipedrive.com/api/v2/deals", token)
    other = await pipedrive.call("GET", "/~cedarfinch.pipedrive.com/api/v2/deals", token)
    assert (own.status_code, other.status_code) == (200, 401)


async def test_the_burst_window_resets_by_itself_and_the_days_budget_at_midnight(pipedrive):
    token = await pipedrive.token()
    answers = [await pipedrive.call("GET", "/api/v2/stages", token) for _ in range(81)]
    assert [answer.status_code for answer in answers] == [200] * 80 + [429]
    assert answers[0].headers["x-ratelimit-remaining"] == "79"
    assert answers[-1].json()["errorCode"] == 429
    pipedrive.clock.advance(2.1)
    pipedrive.simulator.change_setting("daily_tokens", 815)
    last = await pipedrive.call("GET", "/api/v2/stages", token)
    assert (last.status_code, last.headers["x-daily-ratelimit-token-remaining"]) == (200, "5")
    assert (await pipedrive.call("GET", "/api/v2/stages", token)).status_code == 429
    other = await pipedrive.token(BIG)
    assert (await pipedrive.call("GET", "/api/v2/stages", other)).status_code == 200
    pipedrive.clock.advance(86_400)
    token = await pipedrive.token()
    assert (await pipedrive.call("GET", "/api/v2/stages", token)).status_code == 200


async def test_v1_costs_twice_as_much(pipedrive):
    token = await pipedrive.token()
    name = "x-daily-ratelimit-token-remaining"
    left = [
        int((await pipedrive.call("GET", path, token)).headers[name])
        for path in ("/api/v2/deals", "/api/v2/deals", "/v1/deals")
    ]
    assert left[1] - left[2] == 2 * (left[0] - left[1])


async def test_create_change_and_delete(pipedrive):
    token = await pipedrive.token()
    person = {"name": "Ada", "emails": [{"value": "ada@x.example", "primary": True, "label": "work"}]}
    made = (await pipedrive.call("POST", "/api/v2/persons", token, json=person)).json()["data"]
    deal = {"title": "New", "person_id": made["id"], "value": 10, "custom_fields": {SEGMENT: 2}}
    new = (await pipedrive.call("POST", "/api/v2/deals", token, json=deal)).json()["data"]
    assert (new["person_id"], new["stage_id"], new["custom_fields"][SEGMENT]) == (made["id"], 1, 2)
    pipedrive.clock.advance(60)
    path = f"/api/v2/deals/{new['id']}"
    moved = (await pipedrive.call("PATCH", path, token, json={"stage_id": 5})).json()["data"]
    assert (moved["pipeline_id"], moved["custom_fields"][SEGMENT]) == (2, 2)
    assert moved["stage_change_time"] == moved["update_time"] > new["update_time"]
    won = (await pipedrive.call("PATCH", path, token, json={"status": "won"})).json()["data"]
    assert won["won_time"] == won["close_time"]
    gone = await pipedrive.call("DELETE", f"/v1/persons/{made['id']}", token)
    assert (gone.status_code, gone.json()["success"]) == (410, True)
    assert [entry.change for entry in pipedrive.simulator.store.ledger] == [
        "created", "created", "updated", "updated", "archived",
    ]  # fmt: skip


async def test_a_write_that_cannot_be(pipedrive):
    token = await pipedrive.token()
    for body in ({}, {"title": 5}, {"title": "x", "made_up": 1}, {"title": "x", "stage_id": 99},
                 {"title": "x", "person_id": 1}, {"title": "x", "custom_fields": {"no": 1}},
                 {"title": "x", "status": "gone"}, {"title": "x", "value": True}):  # fmt: skip
        answer = await pipedrive.call("POST", "/api/v2/deals", token, json=body)
        assert (answer.status_code, answer.json()["success"]) == (400, False), body
    assert (await pipedrive.call("POST", "/api/v2/deals", token, content=b"[")).status_code == 400
    assert pipedrive.simulator.store.ledger == []


async def test_notes(pipedrive):
    token = await pipedrive.token()
    deal = (await pipedrive.all("/api/v2/deals", token))[0]["id"]
    made = await pipedrive.call("POST", "/v1/notes", token, json={"content": "Called", "deal_id": deal})
    assert (made.status_code, made.json()["data"]["deal_id"]) == (201, deal)
    listed = (await pipedrive.call("GET", "/v1/notes", token)).json()["data"]
    assert [note["content"] for note in listed] == ["Called"]


async def test_the_control_pages_samples_and_touches(pipedrive):
    simulator = pipedrive.simulator
    for kind in simulator.object_types:
        body = {"account": BIG, "object": kind.name, "count": 2}
        made = await pipedrive.http.post("/pipedrive/_control/api/records", json=body)
        assert len(made.json()["ids"]) == 2
        changed = await pipedrive.http.post("/pipedrive/_control/api/records/change", json=body)
        assert len(changed.json()["ids"]) == 2
        if kind.name != "users":
            archived = await pipedrive.http.post("/pipedrive/_control/api/records/archive", json=body)
            assert len(archived.json()["ids"]) == 2
    page = await pipedrive.http.get("/pipedrive/_control")
    assert page.status_code == 200
