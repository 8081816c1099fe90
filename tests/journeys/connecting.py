"""Connecting each connector of the demo by hand: our form where there is one, then the provider's own page."""

import re

import httpx2
from playwright.async_api import expect

NAMES = {
    "freshdesk": "Freshdesk",
    "hubspot": "HubSpot",
    "intercom": "Intercom",
    "pipedrive": "Pipedrive",
    "salesforce": "Salesforce",
    "stripe": "Stripe",
    "zendesk": "Zendesk",
}
ACCOUNTS = {"pipedrive": "9120002", "zendesk": "12510002"}
"""Which of the demo accounts; of the others the one named Blue Harbor Studio."""


def control(demo, connector, path, body):
    """The control API of any simulated provider."""
    url = f"{demo.sandbox}/{connector}/_control/api/{path}"
    answer = httpx2.post(url, json=body, headers={"origin": demo.sandbox}, trust_env=False, timeout=20)
    assert answer.is_success, answer.text
    return answer.json()


def api_key(demo, connector, account, *scopes):
    """As the customer makes one on the provider's own pages."""
    return control(demo, connector, "keys", {"account": account, "scopes": scopes})["key"]


async def begin(demo, page, connector):
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("button", name=f"Connect {NAMES[connector]}").click()
    await page.wait_for_url(re.compile("/connect/[a-z]+\\?state=|authorize|/oauth"))
    await page.wait_for_load_state("load")


async def fill_in(demo, page, connector):
    """Our own form, before the provider's page or instead of it."""
    if connector == "intercom":
        form = page.get_by_role("form", name="Sign in to Intercom")
        await form.get_by_label("Where your workspace is").select_option(label="European Union")
        await form.get_by_role("button", name="Go on to Intercom").click()
    elif connector == "zendesk":
        await page.get_by_label("Your Zendesk address").fill("tinyrobots")
        await page.get_by_role("button", name="Go on to Zendesk").click()
    elif connector == "stripe":
        key = api_key(demo, "stripe", "acct_1TLblueharbor002")
        await page.get_by_role("textbox", name="Restricted key").fill(key)
        await page.get_by_role("button", name="Connect Stripe").click()


async def consent(page, connector):
    account = ACCOUNTS.get(connector)
    if account is None:
        await page.get_by_text("Blue Harbor Studio").click()
    else:
        await page.get_by_text(re.compile(f"Account {account}")).click()
    await page.get_by_role("button", name="Connect app").click()


async def arrives(page, connector):
    """The new connection's id."""
    says = page.get_by_role("status").get_by_text(f"{NAMES[connector]} is connected.")
    await expect(says).to_be_visible()
    return re.search(r"connections/([0-9a-f-]{36})", page.url)[1]
