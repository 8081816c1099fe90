"""Five providers tell of a change by a webhook each: connected by hand, changed over there, seen on the records page."""

import os
import re

import msgspec
from playwright.async_api import expect

from .connecting import NAMES, arrives, begin, consent, control, fill_in

SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
SHAPES = [("narrow-dark", 390, "dark")]
if SHOTS:
    SHAPES += [("wide-light", 1280, "light"), ("wide-dark", 1280, "dark"), ("narrow-light", 390, "light")]


class Teller(msgspec.Struct, frozen=True, kw_only=True):
    account: str
    recipe: str
    stream: str
    values: dict[str, str]
    """What somebody over there makes of a record."""
    shown: str
    """What it is called here from then on."""
    by_form: bool = False
    """Whether our form is all there is, without a page of the provider's."""
    registered: bool = True
    """With each connection; else the app has one address for all accounts."""


TELLERS = {
    "hubspot": Teller(
        account="48120002",
        recipe="Contacts",
        stream="contacts",
        values={"firstname": "Told", "lastname": "by HubSpot"},
        shown="Told by HubSpot",
        registered=False,
    ),
    "intercom": Teller(
        account="tlbh02bb",
        recipe="Contacts",
        stream="contacts",
        values={"name": "Told by Intercom"},
        shown="Told by Intercom",
        registered=False,
    ),
    "pipedrive": Teller(
        account="9120002",
        recipe="Deals",
        stream="deals",
        values={"title": "Told by Pipedrive"},
        shown="Told by Pipedrive",
    ),
    "stripe": Teller(
        account="acct_1TLblueharbor002",
        recipe="Customers",
        stream="customers",
        values={"name": "Told by Stripe"},
        shown="Told by Stripe",
        by_form=True,
    ),
    "zendesk": Teller(
        account="12510002",
        recipe="Tickets",
        stream="tickets",
        values={"subject": "Told by Zendesk"},
        shown="Told by Zendesk",
    ),
}


async def test_a_change_at_each_of_five_providers_comes_on_screen(
    demo, organisation, portal, open_page, check, shoot, until
):
    await organisation("tellers", "Tellers")
    page = await open_page()
    await portal.sign_in(page, "owner@tellers.example")
    connections = {}
    for connector, teller in TELLERS.items():
        await begin(demo, page, connector)
        await fill_in(demo, page, connector)
        if not teller.by_form:
            await consent(page, connector)
        connections[connector] = await arrives(page, connector)
        await portal.use_suggested(page, connections[connector], teller.recipe)

    for connector, teller in TELLERS.items():
        home = f"{demo.origin}/portal/connections/{connections[connector]}"
        await page.goto(home)
        if teller.registered:
            await until(page, home, page.locator("#telling").get_by_text("Registered", exact=True).first)
        await expect(page.get_by_text("Up to date", exact=True)).to_be_visible()
        asked = {"account": teller.account, "object": teller.stream, "values": teller.values}
        (changed,) = control(demo, connector, "records/change", asked)["ids"]
        row = page.get_by_role("row", name=re.compile(teller.shown))
        records = f"{demo.origin}/portal/records?connection={connections[connector]}&q={changed}"
        await until(page, records, row)
        await check(page)
        # and it was told, not found by looking
        await page.goto(f"{home}/events")
        await expect(page.get_by_role("row", name=re.compile("Applied")).first).to_be_visible()
        await check(page)

    home = f"{demo.origin}/portal/connections"
    for name, width, theme in SHAPES:
        small = await open_page(width=width, height=800, theme=theme)
        await portal.sign_in(small, "owner@tellers.example")
        await shoot(small, f"told-overview-{name}")
        await check(small)
        for connector in TELLERS if SHOTS else ["intercom"]:
            for what, address in (("connection", ""), ("events", "/events")):
                await small.goto(f"{home}/{connections[connector]}{address}")
                await check(small)
                await shoot(small, f"told-{NAMES[connector]}-{what}-{name}")
