"""Support's view: who needs help, why, and what to do about it; nobody else gets in."""

import re

import pytest
from playwright.async_api import expect

ACCOUNT = "Northwind Outfitters"
PAGES = (
    *("/console", "/console?q=nobody-is-called-so", "/console?sort=freshness", "/console/tenants/wonka"),
    *("/console/tenants/umbra", "/console/issues", "/console/issues/grant_revoked"),
    *("/console/issues/rate_limited", "/console/runbooks", "/console/runbooks/grant_revoked"),
)
FOR_ADMINISTRATORS = ("/console/keys",)


async def enter(demo, page, email="support@trunkline.example"):
    await page.goto(f"{demo.origin}/login?next=/console")
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_label("Password").fill(
        demo.staff_password if "@trunkline." in email else demo.member_password
    )
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url(re.compile("^(?!.*/login)"))


@pytest.fixture(scope="module")
async def wonka(demo, organisation):
    """Two customers to compare; the first one's account is connected by the test itself."""
    await organisation("wonka", "Wonka Industries")
    await organisation("tyrell", "Tyrell Corporation")


def rows(page):
    return page.get_by_role("table", name=re.compile("^Tenants")).locator("tbody tr")


async def test_from_the_list_to_the_runbook_of_a_cause(demo, wonka, portal, open_page, check, shoot):
    customer = await open_page()
    await portal.sign_in(customer, "owner@wonka.example")
    connection_id = await portal.connect(customer, ACCOUNT)
    account = demo.api(f"connections/{connection_id}", tenant="wonka")["account_id"]
    grants = demo.control("GET", "state")["grants"]
    mine = [grant for grant in grants if grant["account"] == account and grant["revoked_at"] is None]

    page = await open_page()
    await enter(demo, page)
    await expect(page).to_have_url(f"{demo.origin}/console")
    mark = page.get_by_role("row", name=re.compile("Wonka Industries"))
    await expect(mark.get_by_text("Healthy")).to_be_visible()

    # The grant goes; the open page says so by itself, and puts the tenant first.
    demo.control("POST", f"grants/{mine[-1]['id']}/revoke")
    await expect(mark.get_by_text("Reconnect needed")).to_be_visible()
    first = rows(page).first
    await expect(first).to_contain_text("Reconnect needed")
    await expect(mark).to_contain_text("Access withdrawn")
    health = page.get_by_role("columnheader", name="Health")
    await expect(health).to_have_attribute("aria-sort", "descending")
    await check(page)
    await shoot(page, "console-tenants")

    # Another order, by keyboard; a filter; a search.
    name = page.get_by_role("columnheader", name="Tenant")
    await name.get_by_role("link").focus()
    await page.keyboard.press("Enter")
    await expect(name).to_have_attribute("aria-sort", "ascending")
    names = [text.strip().casefold() for text in await rows(page).locator("th a").all_inner_texts()]
    assert len(names) >= 5
    assert names == sorted(names)
    await page.get_by_role("link", name=re.compile("^Reconnect needed")).click()
    await expect(mark).to_be_visible()
    await expect(page.get_by_role("row", name=re.compile("Tyrell"))).to_have_count(0)
    await page.get_by_role("link", name=re.compile("^All")).click()
    search = page.get_by_role("searchbox")
    await search.fill("TYRELL")
    await search.press("Enter")
    await expect(rows(page)).to_have_count(1)
    await expect(rows(page)).to_contain_text("Not connected")
    await page.goto(f"{demo.origin}/console?q=wonka")

    # The tenant, its cause, the runbook, and everybody else who has it.
    await page.get_by_role("link", name="Wonka Industries").click()
    await expect(page.get_by_role("heading", name="Wonka Industries", level=1)).to_be_visible()
    await expect(page.get_by_text("The provider refuses the refresh token").first).to_be_visible()
    assert "owner@wonka.example" not in await page.content()
    await check(page)
    await shoot(page, "console-tenant")
    await page.get_by_role("table", name="Open issues").get_by_role("link", name="Access withdrawn").click()
    await expect(page.get_by_role("heading", name="Access withdrawn", level=1)).to_be_visible()
    await expect(page.get_by_text("Ask the customer to press Reconnect")).to_be_visible()
    await check(page)
    await shoot(page, "console-runbook")
    await page.get_by_role("link", name=re.compile(r"\d+ tenants? affected")).click()
    await expect(page.get_by_role("link", name="Wonka Industries")).to_be_visible()
    await check(page)

    # Reconnecting ends it everywhere.
    await portal.open(customer, connection_id)
    await customer.get_by_role("button", name="Reconnect", exact=True).click()
    await portal.consent(customer, ACCOUNT)
    await expect(customer.get_by_role("status").get_by_text("HubSpot is reconnected.")).to_be_visible()
    await expect(page.get_by_role("link", name="Wonka Industries")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_every_page_is_sound(demo, wonka, open_page, check, shoot, width, theme):
    page = await open_page(width=width, theme=theme)
    await enter(demo, page, "chief@trunkline.example")
    await expect(page).to_have_url(f"{demo.origin}/console")
    for path in (*PAGES, *FOR_ADMINISTRATORS):
        answer = await page.goto(f"{demo.origin}{path}")
        assert answer.status == 200, path
        await check(page)
        await shoot(page, f"console{re.sub('[^a-z]+', '-', path.removeprefix('/console'))}-{width}-{theme}")


async def test_a_live_update_moves_nothing(demo, wonka, open_page):
    page = await open_page()
    await enter(demo, page)
    await expect(rows(page).first).to_be_visible()
    await page.evaluate(
        """() => { window.moved = 0; new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.moved += entry.value;
        }).observe({type: "layout-shift", buffered: false}); }"""
    )
    for _ in range(5):
        before = await listed(page)
        await page.evaluate("window.moved = 0")
        async with page.expect_response(lambda answer: answer.request.headers.get("hx-target") == "live"):
            pass
        await expect(rows(page).first).to_be_visible()
        await page.wait_for_timeout(300)
        if await listed(page) == before:  # else the list itself changed: others' syncs began or ended
            assert await page.evaluate("window.moved") == 0
            return
    pytest.fail("the list never stayed as it was from one update to the next")


async def listed(page):
    """The tenants shown, in order."""
    return [text.split("\n")[0] for text in await rows(page).all_inner_texts()]


async def test_keys_are_made_and_revoked_by_staff_administrators(demo, open_page, check, shoot):
    page = await open_page()
    await enter(demo, page, "chief@trunkline.example")
    await page.get_by_role("link", name="API keys").click()
    await page.get_by_role("textbox", name="Name").fill("Journey")
    await page.get_by_role("radio", name="One tenant").check()
    await page.get_by_label("Tenant's slug").fill("globex")
    await page.get_by_role("checkbox", name="Read records").check()
    await page.get_by_role("button", name="Make key").click()
    await expect(page.get_by_role("region", name="New API key")).to_contain_text("tl_live_")
    await check(page)
    await shoot(page, "console-key-made")
    await page.get_by_role("link", name="Revoke Journey").click()
    await check(page)
    await page.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_text("“Journey” is revoked.")).to_be_visible()


async def test_support_and_members_meet_a_closed_door(demo, wonka, open_page, check):
    page = await open_page(allow=("403 (Forbidden)",))
    await enter(demo, page)
    await expect(page.get_by_role("link", name="API keys")).to_have_count(0)
    answer = await page.goto(f"{demo.origin}/console/keys")
    assert answer.status == 403
    await expect(page.get_by_text("Ask a staff administrator to do it.")).to_be_visible()
    await check(page)
    member = await open_page(allow=("403 (Forbidden)",))
    await enter(demo, member, "owner@wonka.example")
    for path in (*PAGES, *FOR_ADMINISTRATORS):
        answer = await member.goto(f"{demo.origin}{path}")
        assert answer.status == 403, path
    await check(member)


async def test_without_javascript(demo, wonka, open_page):
    page = await open_page(javascript=False)
    await enter(demo, page)
    await expect(page).to_have_url(f"{demo.origin}/console")
    await page.get_by_role("columnheader", name="Tenant").get_by_role("link").click()
    await expect(page.get_by_role("columnheader", name="Tenant")).to_have_attribute("aria-sort", "ascending")
    await page.get_by_role("searchbox").fill("wonka")
    await page.get_by_role("searchbox").press("Enter")
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("link", name="Wonka Industries").click()
    await expect(page.get_by_role("heading", name="Wonka Industries", level=1)).to_be_visible()
