"""The customer's path: from the widget on the product's own page to a finished sync."""

import re

from playwright.async_api import expect


async def test_from_the_products_page_to_a_finished_sync(demo, open_page, check, axe, shoot):
    page = await open_page()
    await page.goto(demo.product)
    await check(page)
    await page.get_by_role("button", name="Connect HubSpot").click()
    frame = page.frame_locator("iframe")
    connect = frame.get_by_role("button", name="Connect HubSpot")
    await expect(connect).to_be_visible()
    await axe(page)
    await shoot(page, "widget-choose")

    async with page.context.expect_page() as opened:
        await connect.click()
    popup = await opened.value
    await popup.get_by_text("Northwind Outfitters").click()
    await axe(popup)
    await shoot(popup, "widget-consent")
    async with popup.expect_event("close"):
        await popup.get_by_role("button", name="Connect app").click()

    await expect(frame.get_by_text("HubSpot is connected")).to_be_visible()
    await axe(page)
    await shoot(page, "widget-connected")
    await frame.get_by_role("button", name="Done").click()
    await expect(page.locator("iframe")).to_have_count(0)

    await expect(page.get_by_text(re.compile(r"4[,.]?883"))).to_be_visible()
    await check(page)
    await shoot(page, "product-synced")
    changes = demo.api("changes", tenant="globex", after=0, limit=1)
    assert changes["head"] == 4883
    assert demo.api("records/contact", tenant="initech")["records"] == []


async def test_cancelling_at_the_provider_says_so_and_offers_another_try(demo, open_page, axe):
    page = await open_page()
    await page.goto(demo.product)
    await page.get_by_role("button", name="Initech").click()
    await page.get_by_role("button", name="Connect HubSpot").click()
    frame = page.frame_locator("iframe")
    async with page.context.expect_page() as opened:
        await frame.get_by_role("button", name="Connect HubSpot").click()
    popup = await opened.value
    await popup.get_by_role("button", name="Cancel").click()
    retry = frame.get_by_role("button", name=re.compile("try again|connect", re.IGNORECASE))
    await expect(frame.get_by_role("alert")).to_be_visible()
    await expect(retry.first).to_be_visible()
    await axe(page)
    await page.keyboard.press("Escape")
    await expect(page.locator("iframe")).to_have_count(0)
    states = {row["state"] for row in demo.api("connections", tenant="initech")["connections"]}
    assert "active" not in states
