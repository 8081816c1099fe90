"""Authenticator apps: setting one up, signing in with it, and every way around it that was thought of."""

import asyncio
import re
import time

import pyotp
import pytest
from sqlalchemy import select, update

from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.settings import Settings
from trunkline_tenants import factor_repository
from trunkline_tenants.keys import new_secret
from trunkline_tenants.models import LoginChallenge, LoginSession, RecoveryCode, SecondFactor

ADA, GRACE, SUPPORT = "ada@globex.example", "grace@globex.example", "support@trunkline.example"
PASSWORD = "correct horse battery"
SESSION, STEP, FORM = "trunkline_session", "trunkline_step", "trunkline_form"


async def csrf_of(client) -> str:
    text = (await client.get("/account")).text
    return text.partition('name="csrf-token" content="')[2].partition('"')[0]


async def post(client, path, **data):
    return await client.post(path, data={"csrf_token": await csrf_of(client), **data})


async def enrol(client) -> tuple[str, list[str]]:
    """The secret and the recovery codes of whoever is signed in."""
    page = await post(client, "/account/second-factor", password=PASSWORD)
    assert page.status_code == 200, page.text
    secret = re.search(r'id="totp-key">([A-Z2-7 ]+)<', page.text)[1].replace(" ", "")
    done = await post(client, "/account/second-factor/confirm", code=pyotp.TOTP(secret).now())
    assert done.status_code == 200, done.text
    codes = re.findall(r"^(?:.*>)?((?:[a-z2-7]{4}-){3}[a-z2-7]{4})$", done.text, re.MULTILINE)
    assert len(codes) == 10
    return secret, codes


async def answer(client, code: str):
    page = await client.get("/login/code")
    token = page.text.partition('name="csrf_token" value="')[2].partition('"')[0]
    return await client.post("/login/code", data={"code": code, "csrf_token": token})


async def forget_steps(db) -> None:
    """As if the last code had been typed long ago: a test need not wait for the next half minute."""
    async with db.tenant(OPERATOR) as session:
        await session.execute(update(SecondFactor).values(last_step=0))


async def rows(db, table):
    async with db.tenant(OPERATOR) as session:
        return (await session.execute(select(table))).scalars().all()


@pytest.fixture
async def enrolled(client, browser, db):
    """Ada with a second factor, signed out; (secret, codes)."""
    await browser.sign_in(client, ADA)
    made = await enrol(client)
    client.cookies.clear()
    await forget_steps(db)
    return made


async def test_the_password_alone_opens_nothing_any_more(client, browser, enrolled, db) -> None:
    first = await browser.sign_in(client, ADA, next="/portal/owners")
    assert (first.status_code, first.headers["location"]) == (303, "/login/code")
    assert SESSION not in client.cookies
    assert (await client.get("/portal")).status_code == 303
    secret, _ = enrolled
    done = await answer(client, pyotp.TOTP(secret).now())
    assert (done.status_code, done.headers["location"]) == (303, "/portal/owners")
    assert STEP not in client.cookies
    assert (await client.get("/portal")).status_code == 200
    async with db.system() as session:
        opened = (await session.execute(select(LoginSession.second_factor))).scalars().all()
    assert opened[-1] is True


async def test_the_half_done_sign_in_is_no_session(client, browser, enrolled) -> None:
    await browser.sign_in(client, ADA)
    step = client.cookies[STEP]
    client.cookies.set(SESSION, step)
    assert (await client.get("/portal")).headers["location"].startswith("/login")


async def test_a_code_works_once(client, other, browser, enrolled) -> None:
    code = pyotp.TOTP(enrolled[0]).now()
    await browser.sign_in(client, ADA)
    assert (await answer(client, code)).status_code == 303
    await browser.sign_in(other, ADA)
    again = await answer(other, code)
    assert again.status_code == 401
    assert "has been used" in again.text
    assert SESSION not in other.cookies


async def test_of_two_at_once_with_the_same_code_one_gets_in(client, other, browser, enrolled) -> None:
    code = pyotp.TOTP(enrolled[0]).now()
    await browser.sign_in(client, ADA)
    await browser.sign_in(other, ADA)
    both = await asyncio.gather(answer(client, code), answer(other, code))
    assert sorted(one.status_code for one in both) == [303, 401]


async def test_a_recovery_code_signs_in_once_and_is_gone(client, other, browser, enrolled, db) -> None:
    _, codes = enrolled
    stored = await rows(db, RecoveryCode)
    assert len(stored) == 10
    assert not [row for row in stored if codes[0].replace("-", "").encode() in row.code_hash]
    await browser.sign_in(client, ADA)
    assert (await answer(client, codes[3].upper())).status_code == 303
    assert len(await rows(db, RecoveryCode)) == 9
    await browser.sign_in(other, ADA)
    assert (await answer(other, codes[3])).status_code == 401
    assert "9 of 10 recovery codes" in (await client.get("/account")).text


async def test_five_wrong_codes_end_the_sign_in(client, browser, enrolled, db) -> None:
    await browser.sign_in(client, ADA)
    for _ in range(4):
        assert (await answer(client, "000000")).status_code == 401
    assert len(await rows(db, LoginChallenge)) == 1
    assert (await answer(client, "000000")).status_code == 401
    assert await rows(db, LoginChallenge) == []
    assert (await client.get("/login/code")).headers["location"] == "/login"
    assert SESSION not in client.cookies


async def test_codes_are_throttled_over_all_sign_ins_and_addresses(client, other, browser, enrolled) -> None:
    guesses = 0
    for who in (client, other, client, other):
        await browser.sign_in(who, ADA)
        for _ in range(4):
            if (await answer(who, "000000")).status_code == 401:
                guesses += 1
    assert guesses <= 5
    await browser.sign_in(client, ADA)
    refused = await answer(client, pyotp.TOTP(enrolled[0]).now())
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


async def test_a_half_done_sign_in_ends_after_ten_minutes(client, browser, enrolled, db) -> None:
    await browser.sign_in(client, ADA)
    async with db.tenant(OPERATOR) as session:
        left = (await session.execute(select(LoginChallenge.expires_at))).scalar_one() - now()
        assert left.total_seconds() <= 600
        await session.execute(update(LoginChallenge).values(expires_at=now()))
    assert (await client.get("/login/code")).headers["location"] == "/login"
    token = client.cookies[FORM]
    late = await client.post("/login/code", data={"code": pyotp.TOTP(enrolled[0]).now(), "csrf_token": token})
    assert late.status_code == 401
    assert SESSION not in client.cookies


async def test_another_browser_cannot_finish_it(client, other, browser, enrolled) -> None:
    await browser.sign_in(client, ADA)
    await other.get("/login")
    for step in (None, new_secret()):
        if step:
            other.cookies.set(STEP, step)
        form = {"code": pyotp.TOTP(enrolled[0]).now(), "csrf_token": other.cookies[FORM]}
        await other.post("/login/code", data=form)
        assert SESSION not in other.cookies


async def test_a_wrong_password_is_not_asked_for_a_code(client, browser, enrolled) -> None:
    wrong = await browser.sign_in(client, ADA, "wrong password!")
    assert wrong.status_code == 401
    assert STEP not in client.cookies
    nobody = await browser.sign_in(client, "nobody@globex.example", "wrong password!")
    assert (nobody.status_code, len(nobody.text)) == (401, len(wrong.text) + len("nobody") - len("ada"))


async def test_the_secret_is_sealed_in_its_row(client, browser, enrolled, db, vault) -> None:
    [row] = await rows(db, SecondFactor)
    assert enrolled[0].encode() not in row.secret
    async with db.tenant(OPERATOR) as session:
        box = await vault.box(session, OPERATOR)
    place = f"second_factors/{row.user_id}/secret"
    assert box.open(row.secret, row.key_version, place).decode() == enrolled[0]
    with pytest.raises(Exception, match="does not open"):
        box.open(row.secret, row.key_version, place.replace(str(row.user_id), str(OPERATOR)))


async def test_adding_one_asks_for_the_password_and_a_code_and_rotates(client, other, browser, db) -> None:
    await browser.sign_in(client, ADA)
    await browser.sign_in(other, ADA)
    before, csrf = client.cookies[SESSION], await csrf_of(client)
    assert (await post(client, "/account/second-factor", password="wrong")).status_code == 400
    assert await rows(db, SecondFactor) == []
    await post(client, "/account/second-factor", password=PASSWORD)
    assert (await post(client, "/account/second-factor/confirm", code="000000")).status_code == 400
    [row] = await rows(db, SecondFactor)
    assert row.confirmed_at is None
    assert client.cookies[SESSION] == before
    await enrol(client)
    assert client.cookies[SESSION] != before
    assert await csrf_of(client) != csrf
    assert (await other.get("/portal")).status_code == 303
    async with db.system() as session:
        assert list((await session.execute(select(LoginSession.second_factor))).scalars()) == [True]


async def test_an_unconfirmed_one_asks_nobody_for_a_code(client, other, browser) -> None:
    await browser.sign_in(client, ADA)
    await post(client, "/account/second-factor", password=PASSWORD)
    assert (await browser.sign_in(other, ADA)).headers["location"] == "/portal"


async def test_one_in_force_is_not_replaced_without_being_removed(client, browser, db) -> None:
    await browser.sign_in(client, ADA)
    await enrol(client)
    [before] = await rows(db, SecondFactor)
    assert (await post(client, "/account/second-factor", password=PASSWORD)).status_code == 409
    async with db.tenant(OPERATOR) as session:
        assert not await factor_repository.put(session, before.user_id, b"x", 1)
    [after] = await rows(db, SecondFactor)
    assert after.secret == before.secret


async def test_removing_it_asks_for_the_password_and_rotates(client, other, browser, db) -> None:
    await browser.sign_in(client, ADA)
    secret, _codes = await enrol(client)
    await forget_steps(db)
    await browser.sign_in(other, ADA)
    await answer(other, pyotp.TOTP(secret).now())
    before = client.cookies[SESSION]
    assert (await post(client, "/account/second-factor/remove", password="wrong")).status_code == 400
    assert len(await rows(db, SecondFactor)) == 1
    done = await post(client, "/account/second-factor/remove", password=PASSWORD)
    assert done.headers["location"] == "/account"
    assert client.cookies[SESSION] != before
    assert await rows(db, SecondFactor) == await rows(db, RecoveryCode) == []
    assert (await other.get("/portal")).status_code == 303
    assert (await browser.sign_in(other, ADA)).headers["location"] == "/portal"


async def test_new_recovery_codes_end_the_old_ones(client, other, browser, db) -> None:
    await browser.sign_in(client, ADA)
    _, old = await enrol(client)
    assert (await post(client, "/account/second-factor/codes", password="wrong")).status_code == 400
    page = await post(client, "/account/second-factor/codes", password=PASSWORD)
    fresh = re.findall(r"(?:[a-z2-7]{4}-){3}[a-z2-7]{4}", page.text)
    assert not set(fresh) & set(old)
    await browser.sign_in(other, ADA)
    assert (await answer(other, old[0])).status_code == 401
    assert (await answer(other, fresh[0])).status_code == 303


async def test_codes_belong_to_their_account(client, other, browser, enrolled, db) -> None:
    await browser.sign_in(other, GRACE)
    grace, _ = await enrol(other)
    await forget_steps(db)
    await browser.sign_in(client, ADA)
    assert (await answer(client, pyotp.TOTP(grace).at(time.time()))).status_code == 401


class TestStaff:
    @pytest.fixture
    def settings(self) -> Settings:
        return Settings(public_url="http://testserver.local", staff_second_factor=True)

    async def test_staff_see_the_console_only_with_one(self, client, other, browser) -> None:
        await browser.sign_in(client, SUPPORT)
        for path in ("/console", "/console/tenants/globex", "/nowhere-declared"):
            sent = await client.get(path)
            assert (sent.status_code, sent.headers["location"]) == (303, "/account/second-factor")
        assert "before you see the console" in (await client.get("/account/second-factor")).text
        await enrol(client)
        assert (await client.get("/console")).status_code == 200
        # members are not asked
        await browser.sign_in(other, ADA)
        assert (await other.get("/portal")).status_code == 200

    async def test_staff_without_one_act_nowhere(self, client, browser) -> None:
        await browser.sign_in(client, "chief@trunkline.example")
        token = await csrf_of(client)
        acted = await client.post("/console/act", data={"csrf_token": token})
        assert acted.headers["location"] == "/account/second-factor"
        assert (await client.post("/logout", data={"csrf_token": token})).headers["location"] == "/login"
