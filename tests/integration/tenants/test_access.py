"""Who may what: areas, roles, forged requests, another tenant's ids."""

import re

import pytest
from sqlalchemy import insert

from trunkline.connections.models import Connection
from trunkline.kernel.ids import new_id
from trunkline_tenants.keys import new_secret

ADA, VERA, PETER = "ada@globex.example", "vera@globex.example", "peter@initech.example"
SUPPORT, CHIEF = "support@trunkline.example", "chief@trunkline.example"


@pytest.mark.parametrize("path", ["/portal", "/console", "/nowhere-declared", "/switch-tenant"])
async def test_a_stranger_is_sent_to_sign_in_and_back(client, path) -> None:
    answer = await client.get(f"{path}?a=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={path}%3Fa%3D1"


async def test_a_form_that_came_too_late_is_said_to_be_lost(client) -> None:
    headers = {"referer": "http://testserver.local/portal/connections/x?tab=2"}
    answer = await client.post("/account/password", data={"x": "y"}, headers=headers)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/portal/connections/x%3Ftab%3D2&lost=1"
    assert "What you just sent was not kept." in (await client.get(answer.headers["location"])).text
    assert "not kept" not in (await client.get("/login?next=/portal")).text
    without = await client.post("/account/password", data={"x": "y"})
    assert without.headers["location"] == "/login?lost=1"
    assert (await client.post("/logout", headers=headers)).headers["location"] == "/login"


async def test_htmx_is_told_to_leave_the_page(client) -> None:
    headers = {"HX-Request": "true", "HX-Current-URL": "http://testserver.local/portal/x?tab=2"}
    answer = await client.get("/portal", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["hx-redirect"] == "/login?next=/portal/x%3Ftab%3D2"
    assert answer.content == b""


@pytest.mark.parametrize(
    ("email", "method", "path", "status"),
    [
        (ADA, "GET", "/portal/owners", 200),
        ("grace@globex.example", "GET", "/portal/owners", 403),
        (VERA, "GET", "/portal", 200),
        (VERA, "POST", "/portal/notes", 403),
        (ADA, "POST", "/portal/notes", 200),
        (ADA, "GET", "/console", 403),
        (ADA, "POST", "/console/act", 403),
        (SUPPORT, "GET", "/console", 200),
        (SUPPORT, "GET", "/portal", 403),
        (SUPPORT, "POST", "/console/act", 403),
        (CHIEF, "POST", "/console/act", 200),
    ],
)
async def test_areas_and_roles(client, browser, db, email, method, path, status) -> None:
    answer = await browser.sign_in(client, email)
    assert answer.status_code == 303
    token = await _token(db)
    body = {"text": "x", "csrf_token": token} if method == "POST" else None
    answer = await client.request(method, path, data=body)
    assert answer.status_code == status
    if status == 403:
        assert "text/html" in answer.headers["content-type"]
        assert "Your role" in answer.text or "for the operator" in answer.text or "Only" in answer.text


async def _token(db) -> str:
    from sqlalchemy import select

    from trunkline_tenants.models import LoginSession

    async with db.system() as session:
        return (await session.execute(select(LoginSession.csrf))).scalar_one()


async def test_the_form_is_still_there_for_the_handler(client, browser) -> None:
    await browser.sign_in(client, ADA)
    token = await browser.csrf(client)
    answer = await client.post("/portal/notes", data={"text": "ä & b", "count": "3", "csrf_token": token})
    assert answer.json() == {"text": "ä & b", "count": 3}
    parts = {"text": (None, "in parts"), "csrf_token": (None, token)}
    answer = await client.post("/portal/files", files=parts)
    assert answer.json() == {"text": "in parts"}
    answer = await client.post("/portal/notes", data={"text": "by header"}, headers={"X-CSRF-Token": token})
    assert answer.json() == {"text": "by header", "count": 1}


async def test_a_form_without_its_sessions_token_is_refused(client, other, browser) -> None:
    await browser.sign_in(client, ADA)
    await browser.sign_in(other, "grace@globex.example")
    foreign = await browser.csrf(other)
    own = await browser.csrf(client)
    for token in ("", new_secret(), foreign, client.cookies["trunkline_form"], own[:-1]):
        answer = await client.post("/portal/notes", data={"text": "x", "csrf_token": token})
        assert answer.status_code == 403
        answer = await client.post("/portal/notes", data={"text": "x"}, headers={"X-CSRF-Token": token})
        assert answer.status_code == 403
    assert (await client.post("/portal/notes", data={"text": "x"})).status_code == 403
    # the query is not a place for it: addresses end up in logs
    assert (await client.post(f"/portal/notes?csrf_token={own}", data={"text": "x"})).status_code == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.local.evil.example"},
        {"Origin": "http://testserver.local:81"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_form_from_another_site_is_refused_with_the_right_token(client, browser, headers) -> None:
    await browser.sign_in(client, ADA)
    form = {"text": "x", "csrf_token": await browser.csrf(client)}
    assert (await client.post("/portal/notes", data=form, headers=headers)).status_code == 403
    own = {"Origin": "http://testserver.local", "Sec-Fetch-Site": "same-origin"}
    assert (await client.post("/portal/notes", data=form, headers=own)).status_code == 200


async def test_nobody_is_signed_in_by_another_sites_form(client) -> None:
    await client.get("/login")
    form = {"email": ADA, "password": "correct horse battery"}
    assert (await client.post("/login", data=form)).status_code == 403
    right = {**form, "csrf_token": client.cookies["trunkline_form"]}
    answer = await client.post("/login", data=right, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    client.cookies.delete("trunkline_form")
    assert (await client.post("/login", data=right)).status_code == 403


async def test_another_tenants_id_is_like_one_that_never_was(client, browser, db, people) -> None:
    ours = await _connection(db, people.tenants["globex"].id)
    theirs = await _connection(db, people.tenants["initech"].id)
    await browser.sign_in(client, ADA)
    assert (await client.get(f"/portal/connections/{ours}")).status_code == 200
    foreign = await client.get(f"/portal/connections/{theirs}")
    absent = await client.get(f"/portal/connections/{new_id()}")
    assert foreign.status_code == absent.status_code == 404
    assert _plain(foreign).replace(str(theirs), "") == _plain(absent)


def _plain(answer) -> str:
    """Without what differs in every answer: the nonce of its scripts."""
    return re.sub(r'nonce="[\w-]{24}"', "", answer.text)


async def _connection(db, tenant_id):
    connection_id = new_id()
    async with db.tenant(tenant_id) as session:
        await session.execute(
            insert(Connection).values(
                tenant_id=tenant_id,
                id=connection_id,
                connector="hubspot",
                name="HubSpot",
                state="active",
                oauth_client_tenant=tenant_id,
                oauth_client_id=new_id(),
                scopes=[],
                via="portal",
                created_by="test",
            )
        )
    return connection_id


async def test_a_console_page_scopes_to_the_tenant_in_its_path(client, browser, people) -> None:
    await browser.sign_in(client, SUPPORT)
    answer = await client.get("/console/tenants/globex")
    assert answer.json()["tenant"] == str(people.tenants["globex"].id)
    assert (await client.get("/console/tenants/nobody")).status_code == 404


async def test_https_cookies_are_bound_to_the_host(db, directory, people, app) -> None:
    from trunkline.kernel.settings import Settings
    from trunkline_tenants import cookies

    secure = Settings(public_url="https://trunkline.example")
    header = cookies.session_cookie(secure, "x").to_header(header="")
    assert header.startswith("__Host-trunkline_session=x")
    assert "Secure" in header
    assert "Path=/" in header
    assert "domain" not in header.lower()
