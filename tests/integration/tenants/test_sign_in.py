"""Sign-in, rotation, expiry, throttle, sign-out, another tenant."""

from datetime import timedelta

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis
from sqlalchemy import func, select, text, update

from trunkline.kernel.clock import now
from trunkline_tenants.errors import SignInFailedError, TooManyAttemptsError
from trunkline_tenants.keys import digest, new_secret
from trunkline_tenants.logins import Logins
from trunkline_tenants.models import LoginSession, User
from trunkline_tenants.passwords import HASHER
from trunkline_tenants.throttle import LIMITS, Throttle

ADA = "ada@globex.example"
NAME = "trunkline_session"


async def rows(db) -> int:
    async with db.system() as session:
        return (await session.execute(select(func.count()).select_from(LoginSession))).scalar_one()


async def move(db, **values) -> None:
    async with db.system() as session:
        await session.execute(update(LoginSession).values(**values))


async def test_a_member_lands_in_the_portal_and_staff_in_the_console(client, other, browser) -> None:
    answer = await browser.sign_in(client, f"  {ADA.upper()} ")
    assert (answer.status_code, answer.headers["location"]) == (303, "/portal")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    assert (await client.get("/portal")).json()["name"] == "Ada Byron"
    answer = await browser.sign_in(other, "support@trunkline.example")
    assert answer.headers["location"] == "/console"
    assert (await other.get("/console")).json() == {"name": "Sam Okafor", "role": "support"}


async def test_only_a_hash_of_the_cookie_is_stored(client, browser, db) -> None:
    await browser.sign_in(client, ADA)
    async with db.system() as session:
        stored = (await session.execute(select(LoginSession.id_hash))).scalar_one()
    assert stored == digest(client.cookies[NAME])
    assert client.cookies[NAME].encode() not in stored


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (ADA, "wrong password!"),
        ("nobody@globex.example", "correct horse battery"),
        ("no address", ""),
        (ADA, ""),
    ],
)
async def test_every_failure_reads_the_same(client, browser, email, password) -> None:
    answer = await browser.sign_in(client, email, password)
    assert answer.status_code == 401
    assert "do not match an account" in answer.text
    assert NAME not in client.cookies


async def test_an_unknown_account_costs_as_much_as_a_known_one(db, people, monkeypatch) -> None:
    calls = []
    real = PasswordHasher.verify

    def counted(self, stored, password):
        calls.append(stored.split("$")[1:4])
        return real(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    logins = Logins(db, Throttle(None))
    for email in (ADA, "nobody@globex.example"):
        with pytest.raises(SignInFailedError):
            await logins.sign_in(email, "wrong password", address="1")
    assert calls == [["argon2id", "v=19", "m=19456,t=2,p=1"]] * 2


async def test_a_disabled_account_is_out_at_once(client, browser, directory, people) -> None:
    await browser.sign_in(client, ADA)
    await directory.disable_user(people.users[ADA].id)
    assert (await client.get("/portal")).status_code == 303
    assert (await browser.sign_in(client, ADA)).status_code == 401


async def test_a_chosen_cookie_is_never_adopted(client, browser, db) -> None:
    chosen = new_secret()
    client.cookies.set(NAME, chosen, domain="testserver.local")
    await browser.sign_in(client, ADA)
    client.cookies.clear()
    client.cookies.set(NAME, chosen)
    assert (await client.get("/portal")).headers["location"] == "/login?next=/portal"
    async with db.system() as session:
        known = (await session.execute(select(LoginSession.id_hash))).scalars().all()
    assert digest(chosen) not in known


async def test_signing_in_again_rotates_and_ends_the_old_session(client, browser, db) -> None:
    await browser.sign_in(client, ADA)
    first = client.cookies[NAME]
    await client.post(
        "/login",
        data={"email": ADA, "password": "correct horse battery", "csrf_token": await browser.csrf(client)},
    )
    assert client.cookies[NAME] != first
    assert await rows(db) == 1
    client.cookies.clear()
    client.cookies.set(NAME, first)
    assert (await client.get("/portal")).status_code == 303


@pytest.mark.parametrize(("minutes", "open_"), [(29, True), (31, False)])
async def test_idle_sessions_end_after_thirty_minutes(client, browser, db, minutes, open_) -> None:
    await browser.sign_in(client, ADA)
    await move(db, last_seen_at=now() - timedelta(minutes=minutes))
    assert ((await client.get("/portal")).status_code == 200) is open_


async def test_no_session_outlives_twelve_hours(client, browser, db) -> None:
    await browser.sign_in(client, ADA)
    async with db.system() as session:
        ends = (await session.execute(select(LoginSession.expires_at))).scalar_one()
    assert timedelta(hours=11, minutes=59) < ends - now() <= timedelta(hours=12)
    await move(db, expires_at=now() - timedelta(seconds=1))
    assert (await client.get("/portal")).status_code == 303


async def test_last_seen_moves_at_most_once_a_minute(client, browser, db) -> None:
    async def seen():
        async with db.system() as session:
            return (await session.execute(select(LoginSession.last_seen_at))).scalar_one()

    await browser.sign_in(client, ADA)
    recent = now() - timedelta(seconds=50)
    await move(db, last_seen_at=recent)
    await client.get("/portal")
    assert await seen() == recent
    await move(db, last_seen_at=now() - timedelta(seconds=70))
    await client.get("/portal")
    assert now() - await seen() < timedelta(seconds=50)


async def test_ended_sessions_are_forgotten_at_the_next_sign_in(client, other, browser, db) -> None:
    await browser.sign_in(client, ADA)
    await move(db, last_seen_at=now() - timedelta(hours=1))
    await browser.sign_in(other, "grace@globex.example")
    assert await rows(db) == 1


async def test_signing_out_ends_the_session_and_says_so_once(client, browser, db) -> None:
    await browser.sign_in(client, ADA)
    held = client.cookies[NAME]
    answer = await client.post("/logout", data={"csrf_token": await browser.csrf(client)})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert await rows(db) == 0
    assert "You are signed out." in (await client.get("/login")).text
    assert "You are signed out." not in (await client.get("/login")).text
    client.cookies.set(NAME, held)
    assert (await client.get("/portal")).status_code == 303


async def test_switching_rotates_and_only_to_a_tenant_of_ones_own(client, browser, people, db) -> None:
    await browser.sign_in(client, "iris@umbra.example")
    before, csrf = client.cookies[NAME], await browser.csrf(client)
    opened = (await client.get("/portal")).json()["tenant"]
    page = await client.get("/switch-tenant")
    assert page.status_code == 200
    assert "Umbra Analytics" in page.text
    foreign = await client.post(
        "/switch-tenant", data={"tenant": str(people.tenants["globex"].id), "csrf_token": csrf}
    )
    assert foreign.status_code == 404
    target = next(str(t.id) for s, t in people.tenants.items() if s != "globex" and str(t.id) != opened)
    answer = await client.post("/switch-tenant", data={"tenant": target, "csrf_token": csrf})
    assert answer.headers["location"] == "/portal"
    assert client.cookies[NAME] != before
    now_open = (await client.get("/portal")).json()
    assert now_open["tenant"] == target
    assert now_open["csrf"] != csrf
    assert await rows(db) == 1


async def test_a_removed_member_is_out_at_once(client, browser, directory, people) -> None:
    await browser.sign_in(client, "grace@globex.example")
    await directory.remove_member(people.tenants["globex"].id, people.users["grace@globex.example"].id)
    assert (await client.get("/portal")).status_code == 303


@pytest.mark.parametrize(
    ("target", "landed"),
    [
        ("/portal/owners?x=1", "/portal/owners?x=1"),
        ("//evil.example/portal", "/portal"),
        ("https://evil.example/", "/portal"),
        ("/\\evil.example", "/portal"),
        ("/portal\r\nset-cookie: a=b", "/portal"),
        ("/console", "/portal"),
        ("", "/portal"),
    ],
)
async def test_next_stays_on_this_site(client, browser, target, landed) -> None:
    answer = await browser.sign_in(client, ADA, next=target)
    assert answer.headers["location"] == landed


async def test_an_old_hash_is_renewed_at_sign_in(client, browser, db) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash("correct horse battery")
    async with db.system() as session:
        await session.execute(update(User).where(User.email == ADA).values(password_hash=weak))
    assert (await browser.sign_in(client, ADA)).status_code == 303
    async with db.system() as session:
        stored = (await session.execute(select(User.password_hash).where(User.email == ADA))).scalar_one()
    assert stored != weak
    assert not HASHER.check_needs_rehash(stored)


@pytest.mark.parametrize("shared", [True, False])
async def test_guessing_is_slowed_down_and_other_people_are_not(db, people, valkey_url, shared) -> None:
    valkey = Redis.from_url(valkey_url) if shared else None
    logins = Logins(db, Throttle(valkey))
    for _ in range(LIMITS["pair"]):
        with pytest.raises(SignInFailedError):
            await logins.sign_in(ADA, "wrong password", address="192.0.2.1")
    again = Logins(db, Throttle(valkey)) if shared else logins
    with pytest.raises(TooManyAttemptsError) as caught:
        await again.sign_in(ADA, "correct horse battery", address="192.0.2.1")
    assert 0 < caught.value.extra["retry_after"] <= 900
    assert await again.sign_in(ADA, "correct horse battery", address="192.0.2.2")
    assert await again.sign_in("grace@globex.example", "correct horse battery", address="192.0.2.1")
    if valkey is not None:
        assert not [key for key in await valkey.keys() if b"ada" in key or b"192" in key]
        await valkey.aclose()


async def test_a_throttled_page_says_when_to_come_back(client, browser) -> None:
    for _ in range(LIMITS["pair"]):
        await browser.sign_in(client, ADA, "wrong password")
    answer = await browser.sign_in(client, ADA)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0
    assert "Wait 15 minutes" in answer.text


async def test_a_throttle_without_valkey_counts_alone(db, people, tmp_path) -> None:
    gone = Redis(unix_socket_path=str(tmp_path / "nobody"))
    throttle = Throttle(gone)
    for _ in range(LIMITS["pair"]):
        await throttle.failed("a", "b")
    assert await throttle.wait("a", "b") > 0
    await throttle.succeeded("a", "b")
    assert await throttle.wait("a", "b") == 0
    await gone.aclose()


async def test_the_runtime_role_reads_no_accounts(db, people) -> None:
    for table in ("users", "login_sessions", "api_keys"):
        with pytest.raises(Exception, match="permission denied"):
            async with db.tenant(people.tenants["globex"].id) as session:
                await session.execute(text(f"SELECT 1 FROM {table}"))
