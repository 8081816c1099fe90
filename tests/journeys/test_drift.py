"""A field goes at the provider, comes back as another type, and goes for good: shown, nothing nulled, decided."""

import os
import re

from playwright.async_api import expect

from .connecting import control

SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
SHAPES = [("narrow-dark", 390, "dark")]
if SHOTS:
    SHAPES += [("wide-light", 1280, "light"), ("wide-dark", 1280, "dark"), ("narrow-light", 390, "light")]

ACCOUNT, ACCOUNT_ID, TENANT = "Blue Harbor Studio", "48120002", "weyland"
FIELD = {"object": "tickets", "field": "content"}


def make_field(demo, kind):
    """What the account's administrator makes of the field; nothing: it goes."""
    control(demo, "hubspot", "fields", {**FIELD, "type": kind})


def descriptions(demo):
    found = demo.api("records/ticket", tenant=TENANT, limit=1000)["records"]
    return {one["id"]: one["data"].get("description") for one in found}


async def test_a_field_that_changes_is_shown_and_decided_by_the_customer(
    demo, organisation, portal, open_page, check, shoot, until
):
    await organisation(TENANT, "Weyland")
    page = await open_page()
    await portal.sign_in(page, f"owner@{TENANT}.example")
    connection_id = await portal.connect(page, ACCOUNT)
    await portal.use_suggested(page, connection_id, "Tickets")
    await portal.open(page, connection_id)
    healthy = page.get_by_text("Up to date", exact=True)
    await expect(healthy).to_be_visible()
    before = descriptions(demo)
    assert any(before.values())
    difference = page.get_by_role("table", name="Fields of Tickets that changed")
    row = difference.get_by_role("row", name=re.compile("content"))
    again = page.get_by_role("button", name="Check again")
    try:
        # it goes: the stream stops, says what was and what is, and holds what it held
        make_field(demo, "")
        await page.get_by_role("button", name="Sync now").click()
        await expect(row).to_contain_text("Gone")
        await expect(row).to_contain_text("Not there any more")
        await expect(row).to_contain_text("Used by Tickets")
        await expect(page.get_by_text("Stopped: fields changed at HubSpot")).to_be_visible()
        await expect(page.get_by_text("every value that you had is as it was")).to_be_visible()
        await check(page)
        assert descriptions(demo) == before
        for name, width, theme in SHAPES:
            looked = await open_page(width=width, height=800, theme=theme)
            await portal.sign_in(looked, f"owner@{TENANT}.example")
            for what, path in (("gone", ""), ("accept", "/drift/tickets")):
                await looked.goto(f"{demo.origin}/portal/connections/{connection_id}{path}")
                await check(looked)
                await shoot(looked, f"drift-{what}-{name}")
            await looked.close()

        # somebody there brings it back as something else, then as what it was: that ends it without a decision
        make_field(demo, "number")
        await again.click()
        await expect(row).to_contain_text("Another type")
        await expect(row.locator("ins")).to_have_text("Number")
        assert descriptions(demo) == before
        make_field(demo, "string")
        await again.click()
        await expect(healthy).to_be_visible()
        await expect(difference).to_have_count(0)

        # it goes for good: accepted, the values that are held stay, and everything else flows on
        make_field(demo, "")
        await page.get_by_role("button", name="Sync now").click()
        await expect(row).to_contain_text("Gone")
        await page.get_by_role("link", name="Accept the change").click()
        await check(page)
        await page.get_by_role("button", name="Accept").click()
        await expect(page.get_by_text("What was held stays, and the stream goes on.")).to_be_visible()
        await expect(healthy).to_be_visible()
        values = {"subject": "Changed after the field had gone"}
        asked = {"account": ACCOUNT_ID, "object": "tickets", "values": values}
        (changed,) = control(demo, "hubspot", "records/change", asked)["ids"]
        await page.get_by_role("button", name="Sync now").click()
        await expect(page.locator("#flashes")).to_be_visible()
        records = f"{demo.origin}/portal/records?connection={connection_id}&q={changed}"
        await until(page, records, page.get_by_role("row", name=re.compile(values["subject"])))
    finally:
        make_field(demo, "string")
    await page.goto(f"{demo.origin}/portal/activity")
    await expect(page.get_by_text("accepted changed fields of “HubSpot”")).to_be_visible()
    assert descriptions(demo) == before
