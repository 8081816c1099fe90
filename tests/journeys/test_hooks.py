"""A connection's webhook on its page: registered with it, told within seconds, or refused and taken by hand."""

import os
import re

import httpx2
from playwright.async_api import expect

SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
SHAPES = [("narrow-dark", 390, "dark")]
if SHOTS:
    SHAPES += [("wide-light", 1280, "light"), ("wide-dark", 1280, "dark"), ("narrow-light", 390, "light")]

TENANT = "soylent"


def control(demo, provider, path, body):
    url = f"{demo.sandbox}/{provider}/_control/api/{path}"
    answer = httpx2.post(url, json=body, headers={"origin": demo.sandbox}, trust_env=False)
    assert answer.is_success, answer.text
    return answer.json()


async def test_from_registration_to_a_change_on_screen(
    demo, organisation, portal, open_page, check, shoot, until
):
    await organisation(TENANT, "Soylent")
    page = await open_page()
    await portal.sign_in(page, f"owner@{TENANT}.example")
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("button", name="Connect Pipedrive").click()
    await page.get_by_text(re.compile("Account 9120002")).click()
    await page.get_by_role("button", name="Connect app").click()
    await expect(page.get_by_role("status").get_by_text("Pipedrive is connected.")).to_be_visible()
    told = re.search(r"connections/([0-9a-f-]{36})", page.url)[1]
    home = f"{demo.origin}/portal/connections/{told}"
    card = page.locator("#telling")
    await until(page, home, card.get_by_text("Registered", exact=True).first)
    await portal.use_suggested(page, told, "Deals")
    await page.goto(home)
    await expect(page.get_by_text("up to date").first).to_be_visible()

    made = control(
        demo,
        "pipedrive",
        "records",
        {"account": "9120002", "object": "deals", "count": 1, "values": {"title": "Told by a webhook"}},
    )["ids"][0]
    await until(
        page,
        f"{demo.origin}/portal/records?connection={told}&q={made}",
        page.get_by_role("row", name=re.compile("Told by a webhook")),
    )
    await page.goto(home)
    await card.get_by_role("button", name="Check now").click()
    await expect(page.get_by_text("The webhook is being checked.")).to_be_visible()
    await check(page)

    key = control(demo, "stripe", "keys", {"account": "acct_1TLquietvalley03", "scopes": ["read_only"]})[
        "key"
    ]
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("button", name="Connect Stripe").click()
    await page.get_by_role("textbox", name="Restricted key").fill(key)
    await page.get_by_role("button", name="Connect Stripe").click()
    await expect(page.get_by_role("status").get_by_text("Stripe is connected.")).to_be_visible()
    refused = f"{demo.origin}/portal/connections/" + re.search(r"connections/([0-9a-f-]{36})", page.url)[1]
    await until(page, refused, card.get_by_text("without the permission to tell us of changes"))
    await card.get_by_role("link", name="Enter it by hand").click()
    await check(page)
    await page.get_by_label("Signing secret").fill("whsec_0123456789abcdef")
    await page.get_by_role("button", name="Keep the secret").click()
    await expect(page.get_by_text("The secret is kept.")).to_be_visible()
    await check(page)
    for name, width, theme in SHAPES:
        small = await open_page(width=width, height=800, theme=theme)
        await portal.sign_in(small, f"owner@{TENANT}.example")
        for what, address in (("told", home), ("by-hand", refused), ("webhook", f"{refused}/webhook")):
            await small.goto(address)
            await check(small)
            await shoot(small, f"{what}-{name}")
