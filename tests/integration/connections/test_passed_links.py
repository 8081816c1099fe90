"""A link to connect that is passed on: whoever follows it connects nothing for somebody else."""

from types import SimpleNamespace
from uuid import UUID

import asyncpg
import pytest
from attacks_kit.steps import connected_count, set_out
from sqlalchemy import text

from trunkline.connections.cookies import digest
from trunkline.connections.jobs import expire_pending


@pytest.fixture(params=["portal", "widget"])
async def attack(request, browser, widget, db):
    """The attacker has set out and holds every link of the trip."""
    if request.param == "portal":
        return SimpleNamespace(via="portal", url=await set_out(browser, db), links=["/portal/connect"])
    session = await widget.session()
    key = await widget.redeem(browser, session)
    begun = await widget.authorize(browser, session, key)
    path = f"/widget/sessions/{session['id']}"
    return SimpleNamespace(
        via="widget",
        url=begun.headers["location"],
        links=[f"{path}/authorize", f"{path}/redeem", f"/widget/frame/{session['id']}"],
        session=session,
        key=key,
    )


async def test_a_victim_who_follows_any_link_connects_nothing(
    attack, make_browser, world, db, hubspot, asked, widget, browser
):
    victim = make_browser()
    await victim.sign_in("initech")  # also a customer, who might think nothing of it
    for link in attack.links:
        answer = await victim.client.get(link)
        assert "trunkline_flow" not in answer.headers.get("set-cookie", "")
    # all the way: the provider's page, consent, callback
    location = await victim.consent(attack.url, hubspot.accounts[0])
    assert (await victim.back(location)).status_code == 400
    # and the attacker, who gets hold of nothing but the state, cannot finish it with a code of the victim's
    assert asked() == 0
    assert await connected_count(db, *(tenant.id for tenant in world.tenants.values())) == 0
    if attack.via == "widget":
        assert (await widget.status(browser, attack.session, attack.key))["state"] == "open"


async def test_even_with_the_attackers_cookie_planted_nothing_becomes_active(
    attack, make_browser, world, db, hubspot, connections, browser, widget, database_url
):
    """A host beside ours could set a cookie for both, were it not for __Host-. Suppose that it did."""
    victim = make_browser()
    await victim.sign_in("initech")
    for cookie in browser.client.cookies.jar:
        if cookie.name.startswith("trunkline_flow"):
            victim.client.cookies.set(cookie.name, cookie.value)
    location = await victim.consent(attack.url, hubspot.accounts[0])
    page = await victim.back(location)
    assert await connected_count(db, *(tenant.id for tenant in world.tenants.values())) == 0
    if attack.via == "portal":
        assert page.status_code == 400
        assert not hubspot.oauth.grants
        return
    # the tokens are there, sealed, and nobody can use them; the code is in the victim's window only
    assert "cc_" in page.text
    seen = [await widget.status(browser, attack.session, attack.key)]
    seen.append((await browser.client.get(f"/widget/frame/{attack.session['id']}")).text)
    assert "cc_" not in repr(seen)
    owner = await asyncpg.connect(database_url)
    due, completed, key = await owner.fetchrow(
        "select w.due_at, s.completed_at, w.key from work w, connect_sessions s where w.kind = 'expire_pending'"
    )
    assert (due - completed).total_seconds() <= 600
    # ten minutes later at the latest the work row has them revoked and purged
    await owner.execute("update connect_sessions set completed_at = completed_at - interval '575 seconds'")
    await owner.close()

    class Lease(SimpleNamespace):
        async def finish(self, session, outcome) -> None: ...

    await expire_pending(db, connections)(Lease(tenant_id=world.tenant, key=key))
    assert all(grant.revoked_at for grant in hubspot.oauth.grants.values())
    async with db.tenant(world.tenant) as session:
        assert await session.scalar(text("select count(*) from credentials")) == 0
        assert await session.scalar(text("select count(*) from connections")) == 0


def test_on_https_the_flow_cookie_cannot_be_planted_by_a_sibling():
    """__Host-: Secure, for the whole site, and without a domain, or the browser refuses it."""
    from trunkline.connections.cookies import flow_cookie
    from trunkline.connections.schemas import Begun

    begun = Begun(connection_id=UUID(int=1), url="https://x", state_hash=digest("s"), flow="a.b")
    cookie = flow_cookie(begun, secure=True)
    assert cookie.key.startswith("__Host-trunkline_flow_")
    assert (cookie.secure, cookie.httponly, cookie.path, cookie.domain) == (True, True, "/", None)
    assert cookie.max_age == 600
