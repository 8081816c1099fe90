"""Control page and control API of a simulator."""

import json
import re
import stat
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from trunkline.sandbox.app import create_sandbox, save
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS

SMALL, EMPTY = PORTALS[1:]
CLIENT = OAuthClient("app", "the-secret", ("http://127.0.0.1:1/callback",), "<b>The App</b>")
API = "/hubspot/_control/api"
QUERY = {
    "client_id": "app",
    "redirect_uri": "http://127.0.0.1:1/callback",
    "scope": "crm.objects.contacts.read tickets",
    "state": "s",
}


def make(state_dir=None):
    simulator = HubSpotSimulator(clients=[CLIENT], now=VirtualClock(), portals=(SMALL, EMPTY))
    return simulator, create_sandbox([simulator], state_dir=state_dir)


@pytest.fixture
def simulator():
    return make()[0]


@pytest.fixture
async def http(simulator):
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        yield client


async def press(http, **form):
    """Presses a button and follows it; the page's text."""
    answer = await http.post("/hubspot/_control", data=form)
    assert answer.status_code == 303
    page = await http.get(answer.headers["location"])
    assert page.status_code == 200
    return page.text


async def grant(http):
    body = {"account": SMALL.id, "query": QUERY}
    location = (await http.post(f"{API}/authorize", json=body)).json()["location"]
    form = {
        "grant_type": "authorization_code",
        "client_id": "app",
        "client_secret": "the-secret",
        "redirect_uri": QUERY["redirect_uri"],
        "code": parse_qs(urlsplit(location).query)["code"][0],
    }
    return (await http.post("/hubspot/oauth/v1/token", data=form)).json()


async def test_bulk_changes_make_exactly_so_many_ledger_entries(http):
    body = {"account": SMALL.id, "object": "contacts", "count": 50}
    changed = (await http.post(f"{API}/records/change", json=body)).json()["ids"]
    created = (await http.post(f"{API}/records", json={**body, "count": 3})).json()["ids"]
    archived = (await http.post(f"{API}/records/archive", json={**body, "count": 2})).json()["ids"]
    ledger = (await http.get(f"{API}/ledger")).json()
    assert len(set(changed)) == 50
    assert [e["object_id"] for e in ledger] == changed + created + archived
    assert (await http.get(f"{API}/ledger?after=53")).json() == ledger[53:]


async def test_the_same_history_gives_the_same_changes():
    ledgers = []
    for _ in range(2):
        simulator, app = make()
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as http:
            for path in ("records", "records/change", "records/archive"):
                await http.post(f"{API}/{path}", json={"account": SMALL.id, "object": "deals", "count": 4})
        ledgers.append(simulator.store.ledger)
    assert ledgers[0] == ledgers[1]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("records", {"account": "1", "object": "contacts"}, "account must be one of"),
        ("records", {"account": SMALL.id, "object": "x"}, "object must be one of"),
        ("records", {"account": SMALL.id, "object": "contacts", "count": 1001}, "between 1 and 1,000"),
        ("records", {"account": SMALL.id, "object": "contacts", "values": {"x": "1"}}, "no field 'x'"),
        ("records/change", {"account": EMPTY.id, "object": "contacts"}, "only 0 contacts"),
        (
            "records/archive",
            {"account": SMALL.id, "object": "contacts", "ids": ["1"]},
            "no contacts record 1",
        ),
        ("records", {"account": SMALL.id, "object": "contacts", "more": 1}, "more"),
        ("grants/x/revoke", {}, "no such grant"),
        ("faults", {"kind": "500"}, "requests or seconds"),
        ("faults", {"kind": "flood", "requests": 1}, "kind must be one of"),
        ("settings", {"name": "access_seconds", "value": 86_401}, "between 0 and 86,400"),
        ("settings", {"name": "nope", "value": 0}, "access_seconds"),
        ("fields", {"object": "contacts", "field": "nope"}, "no field 'nope'"),
        ("fields", {"object": "contacts", "field": "nope", "type": "string"}, "no field 'nope'"),
        ("fields", {"object": "contacts", "field": "city", "type": "list"}, "type must be one of string"),
        ("clients", {"client_id": "", "client_secret": "x", "redirect_uris": []}, "client_id"),
        ("authorize", {"account": SMALL.id, "query": {"client_id": "?"}}, "client_id"),
    ],
)
async def test_what_cannot_be_done_is_said_in_a_sentence(http, simulator, path, body, says):
    answer = await http.post(f"{API}/{path}", json=body)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
    assert simulator.store.ledger == []


async def test_a_registered_client_can_authorize(http):
    client = {"client_id": "t", "client_secret": "s", "redirect_uris": ["http://127.0.0.1:9/cb"]}
    assert (await http.post(f"{API}/clients", json=client)).status_code == 201
    query = {**QUERY, "client_id": "t", "redirect_uri": "http://127.0.0.1:9/cb"}
    answer = await http.post(f"{API}/authorize", json={"account": EMPTY.id, "query": query})
    assert answer.json()["location"].startswith("http://127.0.0.1:9/cb?code=")


async def test_revoke_and_expire_by_the_buttons(http):
    tokens = await grant(http)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert "1 access token expired" in await press(http, do="expire", grant="grant-1")
    expired = await http.get("/hubspot/crm/v3/objects/contacts", headers=headers)
    assert expired.json()["category"] == "EXPIRED_AUTHENTICATION"
    assert "none of its tokens works" in await press(http, do="revoke", grant="grant-1")
    assert "already revoked" in await press(http, do="revoke", grant="grant-1")
    revoked = await http.get("/hubspot/crm/v3/objects/contacts", headers=headers)
    assert revoked.json()["category"] == "INVALID_AUTHENTICATION"


async def test_the_data_buttons_say_what_happened_and_keep_the_choice(http, simulator):
    page = await press(http, do="change", account=SMALL.id, object="tickets", count="7")
    assert "Changed 7 tickets in Blue Harbor Studio." in page
    assert '<option value="tickets" selected>' in page
    item = next(simulator.store.walk(SMALL.id, "deals"))
    form = {"account": SMALL.id, "object": "deals", "id": item.id}
    page = await press(http, do="change_one", property="dealname", value="<i>x</i>", **form)
    assert f"Changed 1 deal {item.id}" in page
    assert "nothing changed" in await press(
        http, do="change_one", property="dealname", value="<i>x</i>", **form
    )
    assert "Archived 1 deal" in await press(http, do="archive_one", **form)
    assert "is archived" in await press(http, do="archive_one", **form)
    assert "must be a whole number" in await press(
        http, do="create", account=SMALL.id, object="deals", count="-1"
    )


async def test_a_field_goes_and_comes_back_by_the_buttons(http, simulator):
    tokens = await grant(http)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}

    async def seen() -> tuple[str | None, bool]:
        listed = await http.get("/hubspot/crm/v3/properties/contacts", headers=headers)
        kind = next(
            (one["type"] for one in listed.json()["results"] if one["name"] == "lifecyclestage"), None
        )
        query = {"properties": "lifecyclestage", "limit": 1}
        page = await http.get("/hubspot/crm/v3/objects/contacts", headers=headers, params=query)
        return kind, "lifecyclestage" in page.json()["results"][0]["properties"]

    options = simulator.crm.properties["contacts"]["lifecyclestage"].options
    form = {"do": "change_field", "object": "contacts", "field": "lifecyclestage"}
    assert "lifecyclestage is gone." in await press(http, type="", **form)
    assert await seen() == (None, False)
    assert "have no field" in await press(http, type="", **form)
    assert "of the type enumeration now" in await press(http, type="enumeration", **form)
    assert await seen() == ("enumeration", True)
    assert simulator.crm.properties["contacts"]["lifecyclestage"].options == options
    await press(http, type="number", **form)
    assert await seen() == ("number", True)


async def test_trouble_by_the_buttons(http, simulator):
    page = await press(http, do="trouble", kind="429", amount="5", unit="requests", path="/crm/")
    assert "On: Too many requests (429), for 5 requests." in page
    fault = simulator.faults.active()[0]
    assert (fault.kind, fault.left, fault.until, fault.path) == ("429", 5, None, "/crm/")
    await press(http, do="trouble", kind="latency", amount="9", unit="seconds", path="", latency_ms="10")
    assert simulator.faults.active()[1].until is not None
    assert "2 cleared" in await press(http, do="clear")
    assert "between" in await press(http, do="trouble", kind="500", amount="0", unit="requests")
    await press(http, do="setting", name="rotate_refresh", value="1")
    assert simulator.oauth.rotate_refresh is True


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_other_sites_cannot_press_buttons(http, simulator, headers):
    form = {"do": "create", "account": SMALL.id, "object": "contacts", "count": "1"}
    assert (await http.post("/hubspot/_control", data=form, headers=headers)).status_code == 403
    body = {"account": SMALL.id, "object": "contacts"}
    assert (await http.post(f"{API}/records", json=body, headers=headers)).status_code == 403
    assert (await http.delete(f"{API}/faults", headers=headers)).status_code == 403
    assert simulator.store.ledger == []
    own = {"Origin": "http://sandbox", "Sec-Fetch-Site": "same-origin"}
    assert (await http.post("/hubspot/_control", data=form, headers=own)).status_code == 303


async def test_hostile_values_are_text_on_every_page(http):
    evil = "<img src=x onerror=alert(1)>"
    values = {"firstname": evil, "email": "e@x.example"}
    await http.post(f"{API}/records", json={"account": SMALL.id, "object": "contacts", "values": values})
    await http.get(f"/hubspot/crm/v3/{evil}")
    page = (await http.get(f"/hubspot/_control?notice={evil}&account={evil}&object={evil}")).text
    assert evil not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    consent = (await http.get("/hubspot/oauth/authorize", params={**QUERY, "state": evil})).text
    assert "<b>The App</b>" not in consent
    assert evil not in consent
    refused = (await http.get("/hubspot/oauth/authorize", params={"client_id": evil})).text
    assert evil not in refused


async def test_no_token_and_no_secret_on_any_page(http):
    tokens = await grant(http)
    for path in ("/hubspot/_control", f"{API}/state", f"{API}/requests", f"{API}/ledger"):
        text = (await http.get(path)).text
        for secret in (tokens["access_token"], tokens["refresh_token"], "the-secret"):
            assert secret not in text


async def test_the_consent_page_names_scopes_in_words_and_sends_the_code(http):
    page = await http.get("/hubspot/oauth/authorize", params=QUERY)
    assert "See your contacts" in page.text
    assert "Blue Harbor Studio" in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    request = re.search(r'name="request" value="([^"]+)"', page.text).group(1)
    form = {"request": request, "account": EMPTY.id, "decision": "connect"}
    unknown = await http.post("/hubspot/oauth/authorize", data={**form, "account": "1"})
    assert unknown.status_code == 400
    answer = await http.post("/hubspot/oauth/authorize", data=form)
    assert answer.status_code == 302
    assert parse_qs(urlsplit(answer.headers["location"]).query)["state"] == ["s"]
    assert (await http.post("/hubspot/oauth/authorize", data=form)).status_code == 400


async def test_cancel_goes_back_with_access_denied(http):
    page = await http.get("/hubspot/oauth/authorize", params=QUERY)
    request = re.search(r'name="request" value="([^"]+)"', page.text).group(1)
    answer = await http.post("/hubspot/oauth/authorize", data={"request": request, "decision": "cancel"})
    assert parse_qs(urlsplit(answer.headers["location"]).query)["error"] == ["access_denied"]


@pytest.mark.parametrize("path", ["/", "/hubspot/_control", "/hubspot/oauth/authorize"])
async def test_pages_ask_nobody_else_for_anything(http, path):
    page = (await http.get(path, params=QUERY)).text
    assert not re.findall(r'(?:src|href)="(?!/|data:,)[^"]*"', page)
    assert "<script" not in page
    for sheet in re.findall(r'rel="stylesheet" href="([^"]+)"', page):
        style = await http.get(sheet)
        assert style.headers["content-type"].startswith("text/css")
        assert "url(" not in style.text


async def test_state_outlives_the_process_when_asked_to(tmp_path):
    simulator, app = make()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://sandbox") as http:
        tokens = await grant(http)
        await http.post(f"{API}/records/change", json={"account": SMALL.id, "object": "deals", "count": 4})
    folder = tmp_path / "sandbox"
    save(simulator, folder)
    assert stat.S_IMODE((folder / "hubspot.json").stat().st_mode) == 0o600
    again, fresh_app = make(folder)
    async with fresh_app.lifespan():
        assert again.oauth.authenticate(tokens["access_token"]).account == SMALL.id
        assert again.store.ledger == simulator.store.ledger
        again.store.archive(SMALL.id, "deals", again.store.ledger[0].object_id)
    assert len(json.loads((folder / "hubspot.json").read_bytes())["ledger"]) == 5
    assert [path.name for path in folder.iterdir()] == ["hubspot.json"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"seed": 1}', b"\x00\xff"])
async def test_an_unreadable_state_file_is_ignored(tmp_path, content):
    (tmp_path / "hubspot.json").write_bytes(content)
    simulator, app = make(tmp_path)
    async with app.lifespan():
        assert simulator.oauth.grants == {}
        assert simulator.store.count(SMALL.id, "contacts") > 100
