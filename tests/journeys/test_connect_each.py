"""Connectors of the demo, connected by hand in the portal where `test_told` does not: forms, and ways beside."""

import pytest

from .connecting import NAMES, api_key, arrives, begin, consent, fill_in


async def enter(organisation, portal, page, connector, tenant):
    await organisation(tenant, f"Hand and {NAMES[connector]}")
    await portal.sign_in(page, f"owner@{tenant}.example")


async def test_straight_to_the_provider(demo, organisation, portal, open_page):
    page = await open_page()
    await enter(organisation, portal, page, "salesforce", "hand-salesforce")
    await begin(demo, page, "salesforce")
    await consent(page, "salesforce")
    await arrives(page, "salesforce")


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
async def test_intercom_asks_for_the_region_first(
    demo, organisation, portal, open_page, check, shoot, width, theme
):
    page = await open_page(width=width, theme=theme)
    await enter(organisation, portal, page, "intercom", f"hand-intercom-{width}")
    await begin(demo, page, "intercom")
    await check(page)
    await shoot(page, f"form-intercom-{width}")
    await fill_in(demo, page, "intercom")
    await consent(page, "intercom")
    await arrives(page, "intercom")


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light")])
async def test_stripe_by_key_or_by_signing_in(
    demo, organisation, portal, open_page, check, shoot, width, theme
):
    page = await open_page(width=width, theme=theme)
    await enter(organisation, portal, page, "stripe", f"hand-stripe-{width}")
    await begin(demo, page, "stripe")
    await check(page)
    await shoot(page, f"form-stripe-{width}")
    if theme == "light":
        await page.get_by_role("button", name="Go on to Stripe").click()
        await consent(page, "stripe")
    else:
        await fill_in(demo, page, "stripe")
    await arrives(page, "stripe")


async def test_freshdesk_by_its_address_and_a_key(demo, organisation, portal, open_page):
    page = await open_page()
    await enter(organisation, portal, page, "freshdesk", "hand-freshdesk")
    await begin(demo, page, "freshdesk")
    await page.get_by_label("Your Freshdesk address").fill("paperlantern.freshdesk.com")
    await page.get_by_label("API key").fill(api_key(demo, "freshdesk", "2043002"))
    await page.get_by_role("button", name="Connect Freshdesk").click()
    await arrives(page, "freshdesk")
