"""A customer's own system: an address is made, an event is delivered, and it is on the page."""

import json
import time
from datetime import UTC, datetime

import httpx2
from playwright.async_api import expect
from standardwebhooks import Webhook


async def test_from_an_address_to_an_event_on_the_page(demo, organisation, portal, open_page, check, shoot):
    await organisation("vandelay", "Vandelay")
    page = await open_page()
    await portal.sign_in(page, "owner@vandelay.example")
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("link", name="give it an address").click()
    await check(page)
    await page.get_by_label("Name of the system").fill("Our shop")
    await page.get_by_role("button", name="Make an address").click()
    secret = (await page.get_by_label("Secret of this system").inner_text()).strip()
    url = (await page.get_by_label("Its address").inner_text()).strip()
    await check(page)
    await page.get_by_role("link", name="How to send").click()
    await expect(page.get_by_text("Nothing has come yet")).to_be_visible()
    body = json.dumps({"type": "order.paid", "data": {"id": "1001"}})
    signed = Webhook(secret)
    at = int(time.time())
    signature = signed.sign("msg_1", datetime.fromtimestamp(at, UTC), body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}
    async with httpx2.AsyncClient() as client:
        assert (await client.post(url, content=body, headers=headers)).status_code == 200
    await page.reload()
    await expect(page.get_by_role("row", name="order.paid")).to_be_visible()
    await expect(page.get_by_label("The event as it was sent")).to_contain_text("1001")
    await check(page)
    await shoot(page, "system-wide-light")
    for name, width, theme in (("narrow-light", 390, "light"), ("wide-dark", 1280, "dark")):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=theme)
        await check(page)
        await shoot(page, f"system-{name}")
