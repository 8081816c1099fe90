"""The sandbox's own pages in a browser: consent, control, and the product without Trunkline."""

import pytest
from playwright.async_api import expect

from trunkline.sandbox.app import create_sandbox
from trunkline.sandbox.product import create_product
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_seed import PORTALS

LOOKS = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]


@pytest.fixture
def simulator():
    return HubSpotSimulator(portals=PORTALS[1:])


@pytest.fixture
async def origin(simulator, serve):
    origin = await serve(create_sandbox([simulator]))
    # The app sends people back to a page that exists, so that the redirect can be looked at.
    simulator.oauth.register(OAuthClient("app", "secret", (f"{origin}/healthz",), "The App"))
    return origin


def authorize(origin: str) -> str:
    scopes = "crm.objects.contacts.read+tickets&optional_scope=crm.objects.deals.read"
    return f"{origin}/hubspot/oauth/authorize?client_id=app&redirect_uri={origin}/healthz&scope={scopes}&state=s1"


@pytest.mark.parametrize(("width", "theme"), LOOKS)
async def test_consent(simulator, origin, open_page, check, width, theme):
    page = await open_page(width=width, theme=theme, allow=("404",))  # the landing page has no icon
    await page.goto(authorize(origin))
    await check(page)
    await page.get_by_label("Quiet Valley Labs").check()
    await page.get_by_label("See your deals").uncheck()
    await page.get_by_role("button", name="Connect app").click()
    await page.wait_for_url(f"{origin}/healthz?code=*&state=s1")


async def test_cancel_needs_no_choice_and_no_javascript(origin, open_page):
    page = await open_page(javascript=False, allow=("404 (",))  # nobody listens at the redirect URI
    await page.goto(authorize(origin))
    await page.get_by_role("button", name="Cancel").click()
    await page.wait_for_url("**error=access_denied**")


@pytest.mark.parametrize(("width", "theme"), LOOKS)
async def test_control(simulator, origin, open_page, check, width, theme):
    page = await open_page(width=width, theme=theme)
    await page.goto(f"{origin}/")
    await check(page)
    await page.get_by_role("link", name="Open HubSpot’s control page").click()
    await page.wait_for_load_state("load")
    await page.locator("#bulk-count").fill("7")
    await page.get_by_role("button", name="Change them").click()
    done = "Done. Changed 7 contacts in Blue Harbor Studio."
    await expect(page.get_by_role("status")).to_have_text(done)
    await page.get_by_label("Server error (500)").check()
    await page.get_by_role("button", name="Switch it on").click()
    await page.get_by_role("button", name="Clear all trouble").wait_for()
    await page.wait_for_load_state("load")  # a click waits for the answer only, not for its styles
    await check(page)
    assert [fault.kind for fault in simulator.faults.active()] == ["500"]
    await page.get_by_role("button", name="Clear all trouble").click()
    await expect(page.get_by_role("button", name="Clear all trouble")).to_have_count(0)
    assert simulator.faults.active() == []
    assert len(simulator.store.ledger) == 7


@pytest.mark.parametrize(("width", "theme"), LOOKS)
async def test_the_product_without_trunkline_says_so(serve, open_page, check, width, theme):
    # A sandbox without simulators answers every path of Trunkline's with 404.
    away = await serve(create_sandbox([]))
    origin = await serve(create_product(away, "key"))
    page = await open_page(width=width, theme=theme, allow=("404", "502", "MIME type"))
    await page.goto(origin)
    await page.get_by_text("The state of the connection is not known").wait_for()
    await page.get_by_role("button", name="Connect HubSpot").click()
    await page.get_by_role("alert").filter(has_text="script did not load").wait_for()
    await page.get_by_text("View the code").click()
    await check(page)
