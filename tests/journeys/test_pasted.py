"""A webhook whose secret only the provider's pages show: pasted in the portal, and the first message seen."""

import os
import re

import httpx2
from playwright.async_api import expect

from trunkline.packages.archive import pack

SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
SHAPES = [("narrow-dark", 390, "dark")]
if SHOTS:
    SHAPES += [("wide-light", 1280, "light"), ("wide-dark", 1280, "dark"), ("narrow-light", 390, "light")]


def control(demo, path, body):
    url = f"{demo.sandbox}/beacon/_control/api/{path}"
    answer = httpx2.post(url, json=body, headers={"origin": demo.sandbox}, trust_env=False)
    assert answer.is_success, answer.text
    return answer.json()


async def approved(demo, page, path):
    await page.goto(f"{demo.origin}/login?next=/console/packages")
    await page.get_by_label("E-mail address").fill("chief@trunkline.example")
    await page.get_by_label("Password").fill(demo.staff_password)
    await page.get_by_role("button", name="Sign in").click()
    await page.get_by_label("Package").set_input_files(path)
    await page.get_by_label("Partner", exact=True).fill("Beacon Ltd")
    await page.get_by_label("Reason").fill("A customer asked for it")
    await page.get_by_role("button", name="Take in").click()
    await expect(page.get_by_text("No finding.", exact=True)).to_be_visible()
    form = page.locator("form[action$='/approve']")
    await form.get_by_text("Some tenants", exact=True).click()
    await form.get_by_label("Tenants' slugs").fill("lighthouse")
    await form.get_by_label("Reason").fill("They asked for it")
    await form.get_by_role("button", name="Approve").click()
    await expect(page.get_by_text("1 more tenant may connect it now.")).to_be_visible()


async def test_from_the_address_to_the_first_message(
    demo, organisation, portal, open_page, check, shoot, until, tmp_path
):
    await organisation("lighthouse", "Lighthouse Keepers")
    path = tmp_path / "beacon-0.1.0.zip"
    path.write_bytes(pack(demo.beacon))
    await approved(demo, await open_page(), path)

    page = await open_page()
    await portal.sign_in(page, "owner@lighthouse.example")
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("button", name="Connect Beacon").click()
    await page.get_by_label("Beacon subdomain").fill("globex")
    await page.get_by_label("API key").fill(control(demo, "keys", {"account": "1001"})["key"])
    await page.get_by_role("button", name="Connect Beacon").click()
    await expect(page.get_by_role("status").get_by_text("Beacon is connected.")).to_be_visible()
    connection = page.url.rsplit("/", 1)[1]
    home = f"{demo.origin}/portal/connections/{connection}"
    await portal.use_suggested(page, connection, "Contacts")
    card = page.locator("#telling")
    await until(page, home, card.get_by_text("Secret missing", exact=True))
    await check(page)
    await card.get_by_role("link", name="Enter it by hand").click()
    await expect(page.get_by_text("Beacon shows the endpoint's secret once")).to_be_visible()
    address = await page.get_by_text(re.compile("/hooks/beacon/")).first.inner_text()

    # too little was copied
    made = control(demo, "webhooks", {"account": "1001", "url": address.strip()})
    await page.get_by_label("Endpoint secret").fill(made["secret"][:12])
    await page.get_by_role("button", name="Keep the secret").click()
    await expect(page.get_by_text("The secret is kept.")).to_be_visible()
    await expect(page.get_by_text("Nothing yet", exact=True)).to_be_visible()
    await check(page)
    control(demo, "records", {"account": "1001", "object": "contacts", "count": 1})
    await expect(page.get_by_text("The last message was refused")).to_be_visible()
    await check(page)
    await shoot(page, "webhook-refused")

    # all of it: the next message shows as soon as it comes
    await page.goto(f"{home}/webhook")
    await page.get_by_label("Endpoint secret").fill(made["secret"])
    await page.get_by_role("button", name="Keep the secret").click()
    await expect(page.get_by_text("The secret is kept.")).to_be_visible()
    control(demo, "records", {"account": "1001", "object": "contacts", "count": 1})
    await expect(page.get_by_text("Received", exact=True)).to_be_visible()
    await expect(page.get_by_text("The last message was refused")).to_have_count(0)
    await page.goto(home)
    await expect(card.get_by_text("Entered by hand", exact=True)).to_be_visible()

    for name, width, theme in SHAPES:
        small = await open_page(width=width, height=800, theme=theme)
        await portal.sign_in(small, "owner@lighthouse.example")
        for what, where in (("connection", home), ("webhook", f"{home}/webhook")):
            await small.goto(where)
            await check(small)
            await shoot(small, f"pasted-{what}-{name}")
