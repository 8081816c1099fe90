"""Reconnecting through the widget: the new tokens wait until the product has confirmed them."""

from types import SimpleNamespace

import asyncpg
import pytest
from sqlalchemy import text

from trunkline.connections.jobs import expire_pending


def code_of(page) -> str:
    return page.text.partition('data-code="')[2].partition('"')[0]


async def test_a_reconnect_through_the_widget_uses_nothing_new_until_confirmed(
    connected, connections, make_browser, widget, world, db, hubspot, product, database_url
):
    """Somebody else's consent, got by a link, must not bring a withdrawn connection back to life."""
    connection_id = await connected()
    hubspot.oauth.revoke_grant("grant-1")
    with pytest.raises(Exception, match="connected again"):
        await connections.token_rejected(world.tenant, connection_id, 1)
    victim = make_browser()
    _, page = await widget.finish(victim, connection_id=str(connection_id))
    shown = (await product.get(f"/v1/connections/{connection_id}", params={"tenant": "globex"})).json()
    assert shown["state"] == "reconnect_required"
    with pytest.raises(Exception, match="connected again"):
        await connections.access_token(world.tenant, connection_id)
    token = hubspot.oauth.grants["grant-2"]
    owner = await asyncpg.connect(database_url)
    held = await owner.fetchrow("select * from unconfirmed_credentials")
    assert held["created_at"] is not None
    assert not token.revoked_at
    await owner.execute("update unconfirmed_credentials set created_at = now() - interval '575 seconds'")

    class Lease(SimpleNamespace):
        async def finish(self, session, outcome) -> None: ...

    await expire_pending(db, connections)(Lease(tenant_id=world.tenant, key=str(connection_id)))
    assert token.revoked_at, "what nobody confirmed is given back"
    assert await owner.fetchval("select count(*) from unconfirmed_credentials") == 0
    await owner.close()
    assert (await widget.confirm(code_of(page))).status_code == 400
    shown = (await product.get(f"/v1/connections/{connection_id}", params={"tenant": "globex"})).json()
    assert shown["state"] == "reconnect_required"


async def test_a_confirmed_reconnect_uses_the_new_tokens(
    connected, connections, browser, widget, world, db, hubspot
):
    connection_id = await connected()
    hubspot.oauth.revoke_grant("grant-1")
    with pytest.raises(Exception, match="connected again"):
        await connections.token_rejected(world.tenant, connection_id, 1)
    _, page = await widget.finish(browser, connection_id=str(connection_id))
    assert (await widget.confirm(code_of(page))).json()["state"] == "active"
    assert (await widget.confirm(code_of(page))).status_code == 400
    token = await connections.access_token(world.tenant, connection_id)
    assert hubspot.oauth.authenticate(token.value)
    async with db.tenant(world.tenant) as session:
        for table in ("unconfirmed_credentials", "work"):
            assert await session.scalar(text(f"select count(*) from {table}")) == 0
