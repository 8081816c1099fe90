"""Each connector of the demo, connected by hand in the portal: our form where there is one, the provider's page."""

import re

import httpx2
import pytest
from playwright.async_api import expect

NAMES = {
    "freshdesk": "Freshdesk",
    "intercom": "Intercom",
    "pipedrive": "Pipedrive",
    "salesforce": "Salesforce",
    "stripe": "Stripe",
    "zendesk": "Zendesk",
}
ACCOUNTS = {"pipedrive": "9120002", "zendesk": "12510002"}
"""Which of the demo accounts; of the others the one named Blue Harbor Studio."""


def api_key(demo, connector, account):
    """As the customer makes one on the provider's own pages."""
    url = f"{demo.sandbox}/{connector}/_control/api/keys"
    answer = httpx2.post(url, json={"account": account}, headers={"origin": demo.sandbox}, trust_env=False)
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]


async def begin(demo, organisation, portal, page, connector, tenant):
    await organisation(tenant, f"Hand and {NAMES[connector]}")
    await portal.sign_in(page, f"owner@{tenant}.example")
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("button", name=f"Connect {NAMES[connector]}").click()
    await page.wait_for_url(re.compile("/connect/[a-z]+\\?state=|authorize|/oauth"))
    await page.wait_for_load_state("load")


async def arrives(page, connector):
    says = page.get_by_role("status").get_by_text(f"{NAMES[connector]} is connected.")
    await expect(says).to_be_visible()


async def consent(page, connector):
    account = ACCOUNTS.get(connector)
    if account is None:
        await page.get_by_text("Blue Harbor Studio").click()
    else:
        await page.get_by_text(re.compile(f"Account {account}")).click()
    await page.get_by_role("button", name="Connect app").click()


@pytest.mark.parametrize("connector", ["salesforce", "pipedrive"])
async def test_straight_to_the_provider(demo, organisation, portal, open_page, connector):
    page = await open_page()
    await begin(demo, organisation, portal, page, connector, f"hand-{connector}")
    await consent(page, connector)
    await arrives(page, connector)


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
async def test_intercom_asks_for_the_region_first(
    demo, organisation, portal, open_page, check, shoot, width, theme
):
    page = await open_page(width=width, theme=theme)
    await begin(demo, organisation, portal, page, "intercom", f"hand-intercom-{width}")
    await check(page)
    await shoot(page, f"form-intercom-{width}")
    form = page.get_by_role("form", name="Sign in to Intercom")
    await form.get_by_label("Where your workspace is").select_option(label="European Union")
    await form.get_by_role("button", name="Go on to Intercom").click()
    await consent(page, "intercom")
    await arrives(page, "intercom")


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
async def test_stripe_by_key_or_by_signing_in(
    demo, organisation, portal, open_page, check, shoot, width, theme
):
    page = await open_page(width=width, theme=theme)
    await begin(demo, organisation, portal, page, "stripe", f"hand-stripe-{width}")
    await check(page)
    await shoot(page, f"form-stripe-{width}")
    if theme == "light":
        await page.get_by_role("button", name="Go on to Stripe").click()
        await consent(page, "stripe")
    else:
        key = api_key(demo, "stripe", "acct_1TLblueharbor002")
        await page.get_by_role("textbox", name="Restricted key").fill(key)
        await page.get_by_role("button", name="Connect Stripe").click()
    await arrives(page, "stripe")


async def test_zendesk_by_its_address(demo, organisation, portal, open_page):
    page = await open_page()
    await begin(demo, organisation, portal, page, "zendesk", "hand-zendesk")
    await page.get_by_label("Your Zendesk address").fill("tinyrobots")
    await page.get_by_role("button", name="Go on to Zendesk").click()
    await consent(page, "zendesk")
    await arrives(page, "zendesk")


async def test_freshdesk_by_its_address_and_a_key(demo, organisation, portal, open_page):
    page = await open_page()
    await begin(demo, organisation, portal, page, "freshdesk", "hand-freshdesk")
    await page.get_by_label("Your Freshdesk address").fill("paperlantern.freshdesk.com")
    await page.get_by_label("API key").fill(api_key(demo, "freshdesk", "2043002"))
    await page.get_by_role("button", name="Connect Freshdesk").click()
    await arrives(page, "freshdesk")
