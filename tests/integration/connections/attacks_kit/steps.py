"""What attacks on connecting begin with, and what they must not have brought about."""

from uuid import UUID

from sqlalchemy import text


async def set_out(browser, db, slug="globex", connector="hubspot") -> str:
    """Through the portal; where the provider is asked."""
    if "trunkline_session" not in browser.client.cookies:
        await browser.sign_in(slug)
    form = {"csrf_token": await browser.csrf(db), "connector": connector}
    begun = await browser.client.post("/portal/connections/start", data=form)
    assert begun.status_code == 303, begun.text
    return begun.headers["location"]


async def connected_count(db, *tenants: UUID) -> int:
    found = 0
    for tenant in tenants:
        async with db.tenant(tenant) as session:
            found += await session.scalar(text("select count(*) from connections where state <> 'pending'"))
    return found
