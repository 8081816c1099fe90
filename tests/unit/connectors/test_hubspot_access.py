"""OAuth endpoints, scopes, rate limits and faults of the simulated HubSpot."""

import json

import pytest

from trunkline.sdk.simulator_oauth import OAuthClient

SMALL, EMPTY = "48120002", "48120003"
CONTACTS = "/crm/v3/objects/contacts"
TOKEN_PATHS = ("/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-03/token")
APP = {"client_id": "app", "client_secret": "secret"}


def authorized(hubspot, scope="crm.objects.contacts.read"):
    oauth = hubspot.simulator.oauth
    query = {"client_id": "app", "redirect_uri": "http://127.0.0.1:1/callback", "scope": scope}
    location = oauth.approve(oauth.begin(query).id, SMALL)
    return {
        **APP,
        "grant_type": "authorization_code",
        "redirect_uri": "http://127.0.0.1:1/callback",
        "code": location.rpartition("code=")[2],
    }


@pytest.mark.parametrize("path", TOKEN_PATHS)
async def test_token_and_refresh_on_every_version(hubspot, path):
    first = await hubspot.http.post(f"/hubspot{path}", data=authorized(hubspot))
    assert first.status_code == 200
    body = first.json()
    assert body["expires_in"] == 1800
    assert len(body["access_token"]) > 250
    assert ("hub_id" in body) == ("/v1/" not in path)
    form = {**APP, "grant_type": "refresh_token", "refresh_token": body["refresh_token"]}
    second = (await hubspot.http.post(f"/hubspot{path}", data=form)).json()
    assert second["refresh_token"] == body["refresh_token"]
    assert second["access_token"] != body["access_token"]


async def test_oauth_errors_carry_the_rfcs_words_and_the_old_ones(hubspot):
    form = {**APP, "grant_type": "refresh_token", "refresh_token": "nope"}
    answer = await hubspot.http.post("/hubspot/oauth/v3/token", data=form)
    body = answer.json()
    assert answer.status_code == 400
    assert (body["error"], body["status"]) == ("invalid_grant", "BAD_REFRESH_TOKEN")
    assert body["error_description"] == body["message"]


async def test_introspect_and_revoke(hubspot):
    tokens = (await hubspot.http.post("/hubspot/oauth/2026-03/token", data=authorized(hubspot))).json()
    form = {**APP, "token": tokens["refresh_token"], "token_type_hint": "refresh_token"}
    described = (await hubspot.http.post("/hubspot/oauth/2026-03/token/introspect", data=form)).json()
    assert (described["active"], described["hub_id"]) == (True, int(SMALL))
    assert "crm.objects.contacts.read" in described["scopes"]
    wrong = await hubspot.http.post(
        "/hubspot/oauth/2026-03/token/revoke", data={**form, "client_secret": "x"}
    )
    assert wrong.json()["error"] == "invalid_client"
    assert (await hubspot.http.post("/hubspot/oauth/2026-03/token/revoke", data=form)).status_code == 200
    gone = await hubspot.call("GET", CONTACTS, tokens["access_token"])
    assert (gone.status_code, gone.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    again = await hubspot.http.post("/hubspot/oauth/2026-03/token/introspect", data=form)
    assert again.json() == {"active": False}


async def test_the_old_token_paths_describe_and_delete(hubspot, models):
    tokens = (await hubspot.http.post("/hubspot/oauth/v1/token", data=authorized(hubspot))).json()
    access = (await hubspot.http.get(f"/hubspot/oauth/v1/access-tokens/{tokens['access_token']}")).json()
    refresh_path = f"/hubspot/oauth/v1/refresh-tokens/{tokens['refresh_token']}"
    refresh = (await hubspot.http.get(refresh_path)).json()
    assert set(models["oauth"]["AccessTokenInfoResponse"]["required"]) <= set(access)
    assert set(models["oauth"]["RefreshTokenInfoResponse"]["required"]) <= set(refresh)
    assert (await hubspot.http.delete(refresh_path)).status_code == 204
    assert (await hubspot.http.get(refresh_path)).status_code == 404
    shown = json.dumps((await hubspot.http.get("/hubspot/_control/api/requests")).json())
    assert tokens["access_token"] not in shown
    assert tokens["refresh_token"] not in shown
    assert "/oauth/v1/refresh-tokens/…" in json.loads(shown)[0]["path"]


async def test_expired_and_invalid_tokens_differ(hubspot):
    token = hubspot.token()
    hubspot.clock.advance(1800 + 33)
    expired = await hubspot.call("GET", CONTACTS, token)
    assert (expired.status_code, expired.json()["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert "33 second" in expired.json()["message"]
    invalid = await hubspot.call("GET", CONTACTS, "made-up")
    assert (invalid.status_code, invalid.json()["category"]) == (401, "INVALID_AUTHENTICATION")
    assert (await hubspot.http.get(f"/hubspot{CONTACTS}")).status_code == 401


async def test_a_missing_scope_is_named(hubspot):
    token = hubspot.token(scope="crm.objects.contacts.read")
    for method, path, scope in (
        ("GET", "/crm/v3/objects/deals", "crm.objects.deals.read"),
        ("POST", CONTACTS, "crm.objects.contacts.write"),
        ("GET", "/crm/v3/objects/tickets", "tickets"),
        ("POST", "/crm/objects/2026-03/companies/search", "crm.objects.companies.read"),
    ):
        answer = await hubspot.call(method, path, token, **({"json": {}} if method == "POST" else {}))
        assert (answer.status_code, answer.json()["category"]) == (403, "MISSING_SCOPES")
        assert answer.json()["context"]["missingScopes"] == [scope]
    assert (await hubspot.call("GET", "/crm/v3/properties/contacts", token)).status_code == 200
    assert (await hubspot.call("GET", CONTACTS, token)).status_code == 200


async def test_110_in_ten_seconds_by_account_and_app(hubspot):
    token = hubspot.token()
    last = None
    for expected in range(109, -1, -1):
        last = await hubspot.call("GET", "/account-info/v3/details", token)
        assert last.headers["x-hubspot-ratelimit-remaining"] == str(expected)
    assert last.headers["x-hubspot-ratelimit-max"] == "110"
    assert last.headers["x-hubspot-ratelimit-interval-milliseconds"] == "10000"
    assert last.headers["x-hubspot-ratelimit-secondly"] == "11"
    over = await hubspot.call("GET", CONTACTS, token)
    assert over.status_code == 429
    assert over.json()["policyName"] == "TEN_SECONDLY_ROLLING"
    assert over.json()["errorType"] == "RATE_LIMIT"
    assert over.json()["correlationId"]
    assert "retry-after" not in over.headers
    other = OAuthClient("second", "s", ("http://127.0.0.1:1/second",))
    hubspot.simulator.oauth.register(other)
    assert (await hubspot.call("GET", CONTACTS, hubspot.token(EMPTY))).status_code == 200
    assert (await hubspot.call("GET", CONTACTS, hubspot.token(client=other))).status_code == 200
    hubspot.clock.advance(10)
    assert (await hubspot.call("GET", CONTACTS, token)).status_code == 200


async def test_account_details_name_the_portal(hubspot):
    body = (await hubspot.call("GET", "/account-info/2026-03/details", hubspot.token())).json()
    assert body["portalId"] == int(SMALL)


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("500", 500)])
async def test_failing_for_n_requests(hubspot, kind, status):
    token = hubspot.token()
    hubspot.simulator.faults.add(kind, requests=2)
    answers = [await hubspot.call("GET", CONTACTS, token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert answers[0].json()["correlationId"] != answers[1].json()["correlationId"]


async def test_truncated_json_is_whole_http(hubspot):
    hubspot.simulator.faults.add("truncated", requests=1)
    answer = await hubspot.call("GET", CONTACTS, hubspot.token())
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(answer.content)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)


async def test_an_empty_page_loses_nothing_if_one_goes_on(hubspot):
    token = hubspot.token()
    first = (await hubspot.call("GET", f"{CONTACTS}?limit=5", token)).json()
    after = first["paging"]["next"]["after"]
    expected = (await hubspot.call("GET", f"{CONTACTS}?limit=5&after={after}", token)).json()["results"]
    hubspot.simulator.faults.add("empty", requests=1)
    empty = (await hubspot.call("GET", f"{CONTACTS}?limit=5&after={after}", token)).json()
    assert empty["results"] == []
    cursor = empty["paging"]["next"]["after"]
    assert cursor != after
    assert (await hubspot.call("GET", f"{CONTACTS}?limit=5&after={cursor}", token)).json()[
        "results"
    ] == expected


async def test_pages_for_people_are_not_struck(hubspot):
    hubspot.simulator.faults.add("500", requests=5)
    assert (await hubspot.http.get("/hubspot/_control")).status_code == 200
    assert hubspot.simulator.faults.active()[0].left == 5
