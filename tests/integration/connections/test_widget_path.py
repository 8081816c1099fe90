import asyncio
import re
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest
from sqlalchemy import text

from trunkline.connections.errors import NotUsableError
from trunkline.connections.jobs import expire_pending
from trunkline.kernel.clock import now
from trunkline.work.lease import Done

ORIGIN = "http://127.0.0.1:8700"
PRODUCT = "http://localhost:9999"


def data_of(answer) -> dict[str, str]:
    """The data attributes of the popup's last page."""
    main = re.search(r"<main id=\"main\"([^>]*)>", answer.text)[1]
    return dict(re.findall(r'data-(\w+)="([^"]*)"', main))


class StubLease(SimpleNamespace):
    """A lease that is held: what the job needs of one."""

    async def finish(self, session, outcome) -> None:
        self.outcome = outcome


async def run_expiry(db, connections, tenant, connection_id):
    lease = StubLease(tenant_id=tenant, key=str(connection_id), outcome=None)
    return await expire_pending(db, connections)(lease)


async def test_the_whole_path_ends_active_once_the_product_confirms(
    widget, browser, connections, events, db, world, product, hubspot
):
    session, page = await widget.finish(browser)
    assert page.status_code == 200
    data = data_of(page)
    assert (data["ok"], data["nonce"]) == ("yes", "nonce-of-the-frame-1")
    connection_id = UUID(data["connection"])
    assert data["code"] not in str(page.url)
    with pytest.raises(NotUsableError):
        await connections.access_token(world.tenant, connection_id)
    pending = (await product.get(f"/v1/connections/{connection_id}", params={"tenant": "globex"})).json()
    assert (pending["state"], pending["end_user_id"]) == ("pending", "user-1")
    assert events.heard == []

    answer = await widget.confirm(data["code"])
    assert answer.status_code == 200, answer.text
    assert (answer.json()["id"], answer.json()["state"]) == (str(connection_id), "active")
    assert events.heard == [("activated", connection_id, ("contacts",), "api_key")]
    assert (await connections.access_token(world.tenant, connection_id)).generation == 1
    async with db.tenant(world.tenant) as s:
        assert await s.scalar(text("select count(*) from work")) == 0
    state = await product.get(f"/v1/connect-sessions/{session['id']}", params={"tenant": "globex"})
    assert state.json()["state"] == "confirmed"


async def test_a_code_is_good_once_in_its_tenant_for_ten_minutes(widget, browser, database_url):
    import asyncpg

    _, page = await widget.finish(browser)
    code = data_of(page)["code"]
    wrong = code[:-4] + ("AAAA" if not code.endswith("AAAA") else "BBBB")
    for bad in (wrong, "", "cc_x", "x" * 5000, code.replace("cc_", "cs_")):
        answer = await widget.confirm(bad)
        assert (answer.status_code, answer.json()["code"]) == (400, "completion_code_invalid")
    foreign = await widget.confirm(code, tenant="initech")
    assert (foreign.status_code, foreign.json()["detail"]) == (400, answer.json()["detail"])
    owner = await asyncpg.connect(database_url)
    await owner.execute("update connect_sessions set completed_at = completed_at - interval '601 seconds'")
    assert (await widget.confirm(code)).status_code == 400
    await owner.execute("update connect_sessions set completed_at = completed_at + interval '601 seconds'")
    await owner.close()
    answers = await asyncio.gather(*(widget.confirm(code) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7


async def test_a_link_that_is_forwarded_connects_nothing(
    widget, browser, make_browser, exchanges, db, world, hubspot, connections
):
    """The attacker opens the widget and sends the victim the provider's address instead of going there."""
    victim = make_browser()
    session = await widget.session()
    key = await widget.redeem(browser, session)
    begun = await widget.authorize(browser, session, key)
    location = await victim.consent(begun.headers["location"], hubspot.accounts[0])
    answer = await victim.back(location)
    assert answer.status_code == 400
    assert 'data-code="authorization_unknown"' in answer.text
    assert exchanges() == 0
    assert (await widget.status(browser, session, key))["state"] == "open"


async def test_a_stolen_frame_key_cannot_send_another_browser_out(widget, browser, make_browser, hubspot):
    """The attacker's page posts its own frame key from the victim's browser: the browser tells its origin."""
    session = await widget.session()
    key = await widget.redeem(browser, session)
    for origin in ("https://attacker.example", "null", PRODUCT, f"{ORIGIN}.attacker.example"):
        answer = await widget.authorize(make_browser(), session, key, origin=origin)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers or "trunkline_flow" not in answer.headers["set-cookie"]


async def test_even_a_victim_who_went_all_the_way_is_ended_unconfirmed(
    widget, make_browser, db, world, connections, hubspot
):
    """Only the window that set out hears the code; without it the tokens are revoked and purged."""
    victim = make_browser()
    _, page = await widget.finish(victim)
    connection_id = UUID(data_of(page)["connection"])
    assert len(hubspot.oauth.grants) == 1
    outcome = await run_expiry(db, connections, world.tenant, connection_id)
    assert isinstance(outcome, Done)
    assert timedelta(minutes=9) < outcome.again_at - now() <= timedelta(minutes=10)
    async with db.tenant(world.tenant) as session:
        await session.execute(
            text("update connect_sessions set completed_at = completed_at - interval '601 seconds'")
        )
    assert await run_expiry(db, connections, world.tenant, connection_id) == Done()
    assert all(grant.revoked_at for grant in hubspot.oauth.grants.values())
    async with db.tenant(world.tenant) as session:
        for table in ("connections", "credentials", "authorizations"):
            assert await session.scalar(text(f"select count(*) from {table}")) == 0
        last = (
            await session.execute(text("select action, detail from audit_entries order by at desc"))
        ).first()
    assert last.action == "connection.expired"
    assert last.detail["revocation"] == "revoked"
    assert (await widget.confirm(data_of(page)["code"])).status_code == 400


async def test_the_expiry_waits_for_a_trip_under_way_and_leaves_the_confirmed_alone(
    widget, browser, db, world, connections
):
    session = await widget.session()
    key = await widget.redeem(browser, session)
    await widget.authorize(browser, session, key)
    async with db.tenant(world.tenant) as s:
        waiting = await s.scalar(text("select id from connections"))
        work = (await s.execute(text("select kind, key, due_at - now() as wait from work"))).one()
    assert (work.kind, work.key) == ("expire_pending", str(waiting))
    assert timedelta(minutes=9) < work.wait <= timedelta(minutes=10)
    assert (await run_expiry(db, connections, world.tenant, waiting)).again_at > now()
    _, page = await widget.finish(browser)
    await widget.confirm(data_of(page)["code"])
    confirmed = UUID(data_of(page)["connection"])
    assert await run_expiry(db, connections, world.tenant, confirmed) == Done()
    async with db.tenant(world.tenant) as s:
        assert (await connections.get(s, world.tenant, confirmed)).state == "active"


async def test_a_token_is_redeemed_once_by_one_of_a_hundred(widget, make_browser, world):
    session = await widget.session()
    browser = make_browser()
    path = f"/widget/sessions/{session['id']}/redeem"
    answers = await asyncio.gather(
        *(browser.client.post(path, json={"token": session["token"]}) for _ in range(100))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 99
    refused = next(answer for answer in answers if answer.status_code == 400)
    assert refused.json() == {
        "code": "connect_session_spent",
        "message": "This connect window has expired. Close it and open it again.",
    }


async def test_tokens_that_are_wrong_old_or_of_another_session_are_refused_alike(
    widget, browser, database_url
):
    import asyncpg

    one, two = await widget.session(), await widget.session()
    path = f"/widget/sessions/{one['id']}/redeem"
    for token in ("", "cs_", two["token"], one["token"][:-1] + "é", one["token"].replace("cs_", "fk_")):
        assert (await browser.client.post(path, json={"token": token})).status_code == 400
    owner = await asyncpg.connect(database_url)
    await owner.execute("update connect_sessions set expires_at = now()")
    await owner.close()
    assert (await browser.client.post(path, json={"token": one["token"]})).status_code == 400
    unknown = path.replace(one["id"], "0198c0de-0000-7000-8000-000000000000")
    assert (await browser.client.post(unknown, json={"token": one["token"]})).status_code == 400


async def test_the_frame_may_be_framed_by_its_sessions_origin_only(widget, browser, hubspot):
    session = await widget.session()
    answer = await browser.client.get(f"/widget/frame/{UUID(session['id']).hex}")
    policy = answer.headers["content-security-policy"]
    assert f"frame-ancestors {PRODUCT}" in policy
    assert "'unsafe" not in policy
    assert f"form-action 'self' {hubspot.url}" in policy
    assert f'data-origin="{PRODUCT}"' in answer.text
    assert session["token"] not in answer.text
    unknown = await browser.client.get("/widget/frame/0198c0de-0000-7000-8000-000000000000")
    assert unknown.status_code == 404
    assert "frame-ancestors 'none'" in unknown.headers["content-security-policy"]


async def test_the_frame_hears_of_a_refusal_and_can_try_again(widget, browser, hubspot):
    session = await widget.session()
    key = await widget.redeem(browser, session)
    begun = await widget.authorize(browser, session, key)
    location = await browser.consent(begun.headers["location"], hubspot.accounts[0], "deny")
    page = await browser.back(location)
    data = data_of(page)
    assert (data["ok"], data["nonce"], data["code"]) == ("", "nonce-of-the-frame-1", "authorization_denied")
    status = await widget.status(browser, session, key)
    assert (status["state"], status["code"]) == ("failed", "authorization_denied")
    assert status["message"]
    again = await widget.authorize(browser, session, key)
    location = await browser.consent(again.headers["location"], hubspot.accounts[0])
    assert data_of(await browser.back(location))["ok"] == "yes"
    assert (await widget.status(browser, session, key))["state"] == "completed"
    spent = await widget.authorize(browser, session, key)
    assert spent.status_code == 400
    assert 'data-code="connect_session_spent"' in spent.text


async def test_of_two_windows_only_the_newer_connects(widget, browser, hubspot, exchanges, db, world):
    session = await widget.session()
    key = await widget.redeem(browser, session)
    older = (await widget.authorize(browser, session, key)).headers["location"]
    newer = (await widget.authorize(browser, session, key)).headers["location"]
    refused = await browser.back(await browser.consent(older, hubspot.accounts[0]))
    assert data_of(refused)["ok"] == ""
    assert "Another window has taken over" in refused.text
    done = await browser.back(await browser.consent(newer, hubspot.accounts[0]))
    assert data_of(done)["ok"] == "yes"


async def test_a_connector_or_nonce_that_was_not_offered_is_refused(widget, browser):
    session = await widget.session()
    key = await widget.redeem(browser, session)
    path = f"/widget/sessions/{session['id']}/authorize"
    for connector, nonce in (("salesforce", "nonce-of-the-frame-1"), ("hubspot", "x"), ("hubspot", "<" * 20)):
        form = {"frame_key": key, "connector": connector, "nonce": nonce}
        answer = await browser.client.post(path, data=form)
        assert answer.status_code == 400
        assert "<<<" not in answer.text


async def test_a_session_can_reconnect_one_connection(widget, browser, connected, events, hubspot):
    connection_id = await connected()
    other = await widget.finish(browser, hubspot.accounts[1], connection_id=str(connection_id))
    assert data_of(other[1])["code"] == "account_mismatch"
    _, page = await widget.finish(browser, connection_id=str(connection_id))
    assert data_of(page)["connection"] == str(connection_id)
    assert ("reconnected", connection_id) not in events.heard
    assert (await widget.confirm(data_of(page)["code"])).json()["state"] == "active"
    assert ("reconnected", connection_id) in events.heard
