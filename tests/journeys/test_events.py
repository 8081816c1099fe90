"""A change in the sandbox, told by a signed webhook, on screen; opened, and replayed by a plan."""

import os
import re

from playwright.async_api import expect

SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
SHAPES = [("wide-dark", 1280, "dark"), ("narrow-light", 390, "light")]
if SHOTS:
    SHAPES += [("wide-light", 1280, "light"), ("narrow-dark", 390, "dark")]

ACCOUNT, ACCOUNT_ID = "Blue Harbor Studio", "48120002"
TENANT = "cyberdyne"


async def test_from_a_change_to_a_replay(demo, organisation, portal, open_page, check, shoot, until):
    await organisation(TENANT, "Cyberdyne")
    page = await open_page()
    await portal.sign_in(page, f"owner@{TENANT}.example")
    connection_id = await portal.connect(page, ACCOUNT)
    await portal.use_suggested(page, connection_id, "Contacts")
    home = f"{demo.origin}/portal/connections/{connection_id}"
    await page.goto(home)
    await expect(page.get_by_text("up to date").first).to_be_visible()
    made = demo.control(
        "POST",
        "records",
        {"account": ACCOUNT_ID, "object": "contacts", "count": 1, "values": {"email": "told@example.com"}},
    )["ids"][0]
    await page.get_by_role("link", name="See what it sent").click()
    await expect(page).to_have_url(f"{home}/events")
    await until(page, page.url, page.get_by_role("row", name=re.compile("contact.creation.*Applied")))
    await check(page)
    await shoot(page, "events-wide-light")
    await page.get_by_role("link", name="contact.creation").first.click()
    await expect(page.get_by_text(made).first).to_be_visible()
    await expect(page.get_by_text("Verified", exact=True)).to_be_visible()
    await check(page)
    event = page.url
    await page.get_by_role("button", name="Replay it").click()
    await expect(page.get_by_text("It is processed again.")).to_be_visible()
    await page.goto(f"{home}/events")
    await page.get_by_label("Reason").fill("To see what a replay does")
    await page.get_by_role("button", name="Plan a replay").click()
    await expect(page.get_by_text("Nothing was done yet")).to_be_visible()
    await page.get_by_role("link", name="Show what it would change").click()
    await expect(page.get_by_text("all that these events say is held already")).to_be_visible()
    await check(page)
    replay = page.url
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_text(re.compile(r"\d+ events? processed"))).to_be_visible()
    await check(page)
    for name, width, theme in SHAPES:
        small = await open_page(width=width, height=800, theme=theme)
        await portal.sign_in(small, f"owner@{TENANT}.example")
        for what, address in (("events", f"{home}/events"), ("event", event), ("replay", replay)):
            await small.goto(address)
            await check(small)
            await shoot(small, f"{what}-{name}")
