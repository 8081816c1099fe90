"""One's own account: sessions and password; ids that change with rights; who can lock whom out."""

import re
from datetime import timedelta
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, update

from trunkline.audit import service as audit
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.errors import NotFoundError
from trunkline_tenants import sessions
from trunkline_tenants.errors import SignInFailedError, TooManyAttemptsError
from trunkline_tenants.keys import digest, new_secret
from trunkline_tenants.logins import Logins
from trunkline_tenants.models import KnownBrowser, LoginSession
from trunkline_tenants.schemas import OpenedLogin
from trunkline_tenants.throttle import LIMITS, Throttle

ADA, GRACE, SUPPORT = "ada@globex.example", "grace@globex.example", "support@trunkline.example"
PASSWORD, FRESH = "correct horse battery", "four quite other words"
SESSION, BROWSER = "trunkline_session", "trunkline_browser"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"


async def csrf_of(client) -> str:
    return (await client.get("/account")).text.partition('name="csrf-token" content="')[2].partition('"')[0]


async def post(client, path, **data):
    return await client.post(path, data={"csrf_token": await csrf_of(client), **data})


async def open_sessions(db) -> list[tuple[UUID, str]]:
    async with db.system() as session:
        rows = await session.execute(select(LoginSession.id, LoginSession.device))
        return [tuple(row) for row in rows]


async def test_the_list_shows_ones_own_sessions_only(client, other, browser, directory, people) -> None:
    other.headers["user-agent"] = FIREFOX
    await browser.sign_in(other, ADA)
    await browser.sign_in(client, ADA)
    page = (await client.get("/account")).text
    assert "Firefox on Linux" in page
    assert "127.0.0.1" in page
    assert page.count("this one") == 1
    assert page.count("/end") - page.count("/end-others") == 1
    await browser.sign_in(other, GRACE)
    alone = (await client.get("/account")).text
    assert "Firefox" not in alone
    assert "/account/sessions/" not in alone


async def test_every_person_has_the_page(client, browser) -> None:
    for email in (ADA, "vera@globex.example", SUPPORT, "chief@trunkline.example"):
        await browser.sign_in(client, email)
        page = await client.get("/account")
        assert page.status_code == 200
        assert email in page.text
        client.cookies.clear()


async def test_one_session_is_ended(client, other, browser, db) -> None:
    await browser.sign_in(client, ADA)
    other.headers["user-agent"] = FIREFOX
    await browser.sign_in(other, ADA)
    target = next(one for one, device in await open_sessions(db) if "Firefox" in device)
    assert (await post(client, f"/account/sessions/{target}/end")).headers["location"] == "/account"
    assert (await other.get("/portal")).status_code == 303
    assert (await client.get("/portal")).status_code == 200
    assert (await post(client, f"/account/sessions/{target}/end")).status_code == 404


async def test_nobody_ends_anothers_session(client, other, browser, db) -> None:
    other.headers["user-agent"] = FIREFOX
    await browser.sign_in(other, GRACE)
    await browser.sign_in(client, ADA)
    target = next(one for one, device in await open_sessions(db) if "Firefox" in device)
    assert (await post(client, f"/account/sessions/{target}/end")).status_code == 404
    await post(client, "/account/sessions/end-others")
    assert (await other.get("/portal")).status_code == 200


async def test_all_others_are_ended_and_their_browsers_forgotten(client, other, browser, db) -> None:
    await browser.sign_in(client, ADA)
    await browser.sign_in(other, ADA)
    page = await post(client, "/account/sessions/end-others")
    assert "1 other session is signed out." in (await client.get(page.headers["location"])).text
    assert (await other.get("/portal")).status_code == 303
    assert (await client.get("/portal")).status_code == 200
    async with db.tenant(OPERATOR) as session:
        assert (await session.execute(select(KnownBrowser))).first() is None


async def test_a_new_password_rotates_and_ends_all_others(client, other, browser, db, people) -> None:
    await browser.sign_in(client, ADA)
    await browser.sign_in(other, ADA)
    before, csrf = client.cookies[SESSION], await csrf_of(client)
    done = await post(client, "/account/password", current=PASSWORD, wanted=FRESH, again=FRESH)
    assert (done.status_code, done.headers["location"]) == (303, "/account")
    assert client.cookies[SESSION] != before
    assert await csrf_of(client) != csrf
    assert (await client.get("/portal")).status_code == 200
    assert (await other.get("/portal")).status_code == 303
    other.cookies.clear()
    other.cookies.set(SESSION, before)
    assert (await other.get("/portal")).status_code == 303
    other.cookies.clear()
    assert (await browser.sign_in(other, ADA)).status_code == 401
    assert (await browser.sign_in(other, ADA, FRESH)).status_code == 303
    async with db.tenant(OPERATOR) as session:
        wanted = audit.Wanted(target_kind="user", target_id=str(people.users[ADA].id))
        [entry] = await audit.history(session, OPERATOR, wanted)
    assert (entry.action, entry.actor) == ("account.secured", "Ada Byron")


async def test_what_is_no_new_password(client, browser) -> None:
    await browser.sign_in(client, ADA)
    before = client.cookies[SESSION]
    for current, wanted, again, field in (
        ("not it at all", FRESH, FRESH, "current"),
        (PASSWORD, "eleven char", "eleven char", "wanted"),
        (PASSWORD, ADA, ADA, "wanted"),
        (PASSWORD, PASSWORD, PASSWORD, "wanted"),
        (PASSWORD, FRESH, FRESH + "x", "again"),
        (PASSWORD, "x" * 257, "x" * 257, "wanted"),
    ):
        page = await post(client, "/account/password", current=current, wanted=wanted, again=again)
        assert page.status_code == 400
        assert f'id="{field}-error"' in page.text
        assert f'value="{wanted}"' not in page.text
    assert client.cookies[SESSION] == before
    client.cookies.clear()
    assert (await browser.sign_in(client, ADA)).status_code == 303


async def test_the_current_password_cannot_be_guessed_from_an_open_browser(client, browser) -> None:
    await browser.sign_in(client, ADA)
    for _ in range(LIMITS["pair"]):
        await post(client, "/account/password", current="wrong wrong wrong", wanted=FRESH, again=FRESH)
    page = await post(client, "/account/password", current=PASSWORD, wanted=FRESH, again=FRESH)
    assert page.status_code == 429


async def test_a_changed_role_ends_the_sessions_that_had_the_old_one(
    client, other, browser, directory, people
) -> None:
    globex, grace = people.tenants["globex"].id, people.users[GRACE].id
    await browser.sign_in(client, GRACE)
    await browser.sign_in(other, ADA)
    await directory.set_member(globex, grace, "admin")
    assert (await client.get("/portal")).status_code == 200
    await directory.set_member(globex, grace, "viewer")
    assert (await client.get("/portal")).status_code == 303
    assert (await other.get("/portal")).status_code == 200


async def test_a_rotated_session_keeps_its_absolute_end(db, people) -> None:
    logins = Logins(db, Throttle(None))
    opened = await logins.sign_in(ADA, PASSWORD, address="192.0.2.1")
    assert isinstance(opened, OpenedLogin)
    soon = now() + timedelta(minutes=5)
    async with db.system() as session:
        await session.execute(update(LoginSession).values(expires_at=soon))
    rotated = await logins.rotate(opened.cookie)
    assert rotated.login.expires_at == soon
    assert await logins.resolve(opened.cookie) is None
    assert rotated.login.csrf != opened.login.csrf
    async with db.system() as session:
        with pytest.raises(NotFoundError):
            await logins.switch(opened.cookie, people.tenants["globex"].id)
        assert await sessions.load(session, digest(rotated.cookie), now()) is not None


# who can lock whom out


async def fail(logins: Logins, address: str, browser: str | None = None) -> None:
    with pytest.raises(SignInFailedError):
        await logins.sign_in(ADA, "wrong password", address=address, browser=browser)


@pytest.mark.parametrize("shared", [True, False])
async def test_a_stranger_cannot_lock_a_known_browser_out(
    db, people, valkey_url, shared, monkeypatch
) -> None:
    monkeypatch.setitem(LIMITS, "account", 4)
    valkey = Redis.from_url(valkey_url) if shared else None
    logins = Logins(db, Throttle(valkey))
    opened = await logins.sign_in(ADA, PASSWORD, address="192.0.2.1")
    assert isinstance(opened, OpenedLogin)
    assert opened.browser is not None
    for number in range(4):
        await fail(logins, f"198.51.100.{number}")
    with pytest.raises(TooManyAttemptsError):
        await logins.sign_in(ADA, PASSWORD, address="203.0.113.9")
    again = await logins.sign_in(ADA, PASSWORD, address="203.0.113.9", browser=opened.browser)
    assert isinstance(again, OpenedLogin)
    assert again.browser is None  # known already
    if valkey is not None:
        await valkey.aclose()


async def test_a_known_browser_guesses_no_more_often_and_only_for_its_account(db, people) -> None:
    logins = Logins(db, Throttle(None))
    opened = await logins.sign_in(ADA, PASSWORD, address="192.0.2.1")
    assert isinstance(opened, OpenedLogin)
    for _ in range(LIMITS["browser"]):
        await fail(logins, "192.0.2.1", opened.browser)
    with pytest.raises(TooManyAttemptsError):
        await logins.sign_in(ADA, PASSWORD, address="192.0.2.7", browser=opened.browser)
    # for Grace it is a stranger, and so is a cookie that somebody made up: the address counts
    for number in range(LIMITS["pair"]):
        browser = new_secret() if number else opened.browser
        with pytest.raises(SignInFailedError):
            await logins.sign_in(GRACE, "wrong password", address="192.0.2.1", browser=browser)
    with pytest.raises(TooManyAttemptsError):
        await logins.sign_in(GRACE, PASSWORD, address="192.0.2.1", browser=new_secret())


async def test_only_a_hash_of_the_browsers_cookie_is_kept_and_it_ends(client, browser, db, people) -> None:
    await browser.sign_in(client, ADA)
    held = client.cookies[BROWSER]
    async with db.tenant(OPERATOR) as session:
        row = (await session.execute(select(KnownBrowser))).scalar_one()
        assert row.id_hash == digest(held)
        assert timedelta(days=179) < row.expires_at - now() <= timedelta(days=180)
        await session.execute(update(KnownBrowser).values(expires_at=now()))
    await browser.sign_in(client, ADA)
    assert client.cookies[BROWSER] != held


async def test_failures_read_and_wait_the_same_for_every_account(
    client, other, browser, directory, people
) -> None:
    """Unknown, wrong, disabled, without a tenant: the same answer, and the same count until it is refused."""
    await directory.create_user("lonely@nowhere.example", "Lonely", PASSWORD)
    await directory.disable_user(people.users["vera@globex.example"].id)
    seen = set()
    for email, password in (
        ("nobody@globex.example", PASSWORD),
        (ADA, "wrong password!"),
        ("vera@globex.example", PASSWORD),
        ("vera@globex.example", "wrong password!"),
        ("lonely@nowhere.example", PASSWORD),
        ("no address", PASSWORD),
    ):
        answer = await browser.sign_in(client, email, password)
        text = answer.text.replace(email, "")
        seen.add(
            (answer.status_code, re.sub(r'(nonce|csrf_token|content)="[^"]*"|value="[\w-]{43}"', "", text))
        )
        assert SESSION not in client.cookies
    assert len(seen) == 1
    counts = []
    for email in (ADA, "someone@globex.example"):
        statuses = [(await browser.sign_in(other, email, "wrong password!")).status_code for _ in range(9)]
        counts.append(statuses)
    assert counts[1] == [401] * 8 + [429]
    assert counts[0] == [401] * 7 + [429] * 2  # one failure more above
