"""A customer's own system: made, a signed event sent, its key chosen, a recipe made, and the entity seen."""

import json
import re
import time
from datetime import UTC, datetime

import httpx2
from playwright.async_api import expect
from standardwebhooks import Webhook


async def test_from_an_address_to_an_entity(demo, organisation, portal, open_page, check, shoot, until):
    await organisation("vandelay", "Vandelay")
    page = await open_page()
    await portal.sign_in(page, "owner@vandelay.example")
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("link", name="give it an address").click()
    await expect(page.get_by_role("heading", name="Own systems", exact=True)).to_be_visible()
    await check(page)
    await page.get_by_label("Name of the system").fill("Our shop")
    await page.get_by_role("button", name="Make an address").click()
    secret = (await page.get_by_label("Secret of this system").inner_text()).strip()
    url = (await page.get_by_label("Its address").inner_text()).strip()
    await check(page)
    await page.get_by_role("link", name="Send a first event").click()
    await expect(page.get_by_text("Waiting for the first event")).to_be_visible()
    await expect(page.get_by_text("Send one with Python")).to_be_visible()
    await check(page)
    await shoot(page, "system-waiting-wide-light")

    async def send(number: int, **values: str) -> None:
        document = {"type": "customer.updated", "timestamp": datetime.now(UTC).isoformat()}
        body = json.dumps(document | {"data": {"id": "1001", **values}})
        at = int(time.time())
        signature = Webhook(secret).sign(f"msg_{number}", datetime.fromtimestamp(at, UTC), body)
        headers = {
            "webhook-id": f"msg_{number}",
            "webhook-timestamp": str(at),
            "webhook-signature": signature,
        }
        async with httpx2.AsyncClient() as client:
            assert (await client.post(url, content=body, headers=headers)).status_code == 200

    await send(1, email="ada@example.com", first_name="Ada", last_name="Byron")
    await expect(page.get_by_text("An event has come.")).to_be_visible()  # by itself
    await check(page)
    await page.get_by_role("link", name="Choose how it is read").click()
    await expect(page.get_by_label("Key", exact=True)).to_have_value("data.id")
    await expect(page.get_by_role("row", name=re.compile("1001.*A record"))).to_be_visible()
    await page.get_by_label("Key", exact=True).fill("data.nothing")
    await expect(page.get_by_text("data.nothing is missing")).to_be_visible()
    await page.get_by_label("Key", exact=True).fill("data.id")
    await expect(page.get_by_role("row", name=re.compile("1001.*A record"))).to_be_visible()
    await page.get_by_label("What it sends").fill("Customers")
    await check(page)
    await shoot(page, "system-reading-wide-light")
    await page.set_viewport_size({"width": 390, "height": 900})
    await page.emulate_media(color_scheme="dark")
    await check(page)
    await shoot(page, "system-reading-narrow-dark")
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.emulate_media(color_scheme="light")
    await page.get_by_role("button", name="Read it like this").click()
    await expect(page.get_by_text("What it sends becomes records.")).to_be_visible()
    await check(page)
    await shoot(page, "system-wide-light")

    await page.get_by_role("link", name="Set up a recipe").click()
    await page.get_by_role("link", name="Start from scratch").click()
    await page.get_by_text("Contact", exact=True).first.click()
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#preview").get_by_text("ada@example.com").first).to_be_visible()
    await check(page)
    await shoot(page, "system-recipe-wide-light")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_label("Name of the recipe")).to_have_value("Customers")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.get_by_role("button", name="Save recipe")).to_be_visible()
    await check(page)
    await page.get_by_role("button", name="Save recipe").click()
    await expect(page).to_have_url(re.compile("/portal/recipes/[0-9a-f-]{36}$"))

    await page.goto(f"{demo.origin}/portal")
    await page.get_by_role("link", name="Our shop").click()
    await expect(page.get_by_role("heading", name="Our shop", level=1)).to_be_visible()
    contacts = page.get_by_role("link", name="1", exact=True)
    await until(page, page.url, contacts)
    await check(page)
    await shoot(page, "system-connection-wide-light")
    await page.set_viewport_size({"width": 390, "height": 900})
    await page.emulate_media(color_scheme="dark")
    await check(page)
    await shoot(page, "system-connection-narrow-dark")
    await page.set_viewport_size({"width": 1280, "height": 900})
    await page.emulate_media(color_scheme="light")
    await contacts.first.click()
    await expect(page.get_by_text("Ada Byron").first).to_be_visible()
    await send(2, email="ada@new.example", first_name="Ada", last_name="Lovelace")
    await until(page, page.url, page.get_by_text("Ada Lovelace"))
