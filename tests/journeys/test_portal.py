"""The portal's path: sign in, connect, make a recipe on real records, watch it, look behind it, change it."""

import re

from playwright.async_api import expect

ACCOUNT, ACCOUNT_ID, DEALS = "Northwind Outfitters", "48120001", "/crm/objects/2026-03/deals"
TENANT = "pied-piper"


async def test_from_signing_in_to_a_second_version(demo, organisation, portal, open_page, check, shoot):
    await organisation(TENANT, "Pied Piper")
    page = await open_page(allow=("422 (",))
    await portal.sign_in(page, f"owner@{TENANT}.example")
    await expect(page.get_by_text("No connections yet")).to_be_visible()
    await check(page)
    await shoot(page, "portal-empty")
    await page.get_by_role("link", name="Connect an account").first.click()
    await check(page)
    await shoot(page, "portal-connect")
    connection_id = await portal.connect(page, ACCOUNT)
    await check(page)
    await shoot(page, "portal-connected")

    await page.get_by_role("link", name="Look at them first").click()
    await check(page)
    await page.get_by_role("link", name="Start from scratch").click()
    try:
        recipe = await make_recipe(demo, page, check, shoot)
        await watch_it(demo, portal, page, check, shoot, connection_id)
    finally:
        demo.control("DELETE", "faults")
    record = await look_behind_it(demo, page, check, shoot)
    await second_version(page, check, shoot, recipe, record)
    await expect_remapped(portal, page, connection_id, record)
    await sign_out(demo, page)
    await viewer_looks(demo, portal, await open_page(allow=("403 (",)), check, connection_id, recipe)
    places = {"overview": "", "connection": f"/connections/{connection_id}", "records": "/records"}
    addresses = {name: f"{demo.origin}/portal{path}" for name, path in places.items()}
    addresses |= {"recipe": recipe, "edit": f"{recipe}/edit", "record": record}
    small = await open_page(width=390, height=800, theme="dark")
    await small_and_dark(portal, small, check, shoot, addresses)


async def make_recipe(demo, page, check, shoot):
    """Deals that are not lost, under a name of our own; the address of the recipe's page."""
    await page.get_by_role("radio", name=re.compile("^Deals")).check()
    await expect(page.get_by_role("radio", name=re.compile("^Deal A sale"))).to_be_checked()
    preview = page.locator("#preview")
    await expect(preview.get_by_role("status")).to_contain_text("5 real records from HubSpot: 5 mapped")
    await check(page)
    await shoot(page, "wizard-1-source")
    await page.get_by_role("button", name="Continue").last.click()

    # An expression that cannot be right: the step stays, and the error stands at its field.
    await page.get_by_label("Name: filled from").select_option(label="An expression")
    expression = page.get_by_label("Name: expression")
    await expression.fill("'Deal: ' + text(record.dealname")
    await page.get_by_role("button", name="Continue").last.click()
    summary = page.locator("[data-error-summary]")
    await expect(summary).to_be_focused()
    await expect(expression).to_have_attribute("aria-invalid", "true")
    await expect(page.locator("#m-name-expression-error")).to_be_visible()
    await check(page)
    await shoot(page, "wizard-2-error")
    await summary.get_by_role("link").click()
    await expect(expression).to_be_focused()
    await expression.fill("'Deal: ' + text(record.dealname)")
    await expect(page.locator("#after-name")).to_contain_text("Deal: ")
    await check(page)
    await shoot(page, "wizard-2-mapping")
    await page.get_by_role("button", name="Continue").last.click()

    await page.get_by_role("radio", name=re.compile("^Only some")).check()
    await page.get_by_label("Condition 1: field").select_option("dealstage")
    await page.get_by_label("Condition 1: comparison").select_option(label="is not")
    await page.get_by_label("Condition 1: value").fill("closedlost")
    await page.get_by_label("Name of the recipe").fill("Open deals")
    await page.get_by_role("radio", name="Every 15 minutes").check()
    counted = re.compile(r"[1-5] mapped, [1-5] filtered out")
    await expect(preview.get_by_role("status")).to_contain_text(counted)
    await check(page)
    await shoot(page, "wizard-3-filter")
    await page.get_by_role("button", name="Continue").last.click()

    await expect(page.get_by_text("This is what will happen. Nothing is saved yet.")).to_be_visible()
    await expect(preview.get_by_role("status")).to_contain_text(counted)
    cells = preview.locator("details[open]").get_by_role("row", name=re.compile("^Name")).get_by_role("cell")
    before, after = await cells.nth(0).inner_text(), await cells.nth(1).inner_text()
    assert after == f"Deal: {before}"
    await check(page)
    await shoot(page, "wizard-4-review")
    # A slow answer keeps the sync in sight for as long as anybody needs to look at it.
    demo.control("POST", "faults", {"kind": "latency", "latency_ms": 5000, "seconds": 600, "path": DEALS})
    await page.get_by_role("button", name="Save recipe").click()
    await expect(page.get_by_text("“Open deals” is saved.")).to_be_visible()
    return page.url


async def watch_it(demo, portal, page, check, shoot, connection_id):
    """Live to the end, then the history of what was done."""
    await portal.open(page, connection_id)
    await expect(page.get_by_role("progressbar")).to_be_visible()
    await expect(page.get_by_text("Syncing now: Deals.")).to_be_visible()
    await check(page)
    await shoot(page, "portal-syncing")
    demo.control("DELETE", "faults")
    await expect(page.get_by_text("Up to date", exact=True)).to_be_visible()
    held = demo.live(ACCOUNT_ID, "deals")
    await expect(page.get_by_role("link", name=f"{held:,} records")).to_be_visible()
    await shoot(page, "portal-synced")
    await page.get_by_role("table", name="Runs").get_by_role("link", name="Deals").click()
    await expect(page.get_by_text("Succeeded")).to_be_visible()
    await expect(page.get_by_role("main")).to_contain_text("A recipe is new or changed")
    await check(page)
    await shoot(page, "portal-run")
    run = demo.api(f"connections/{connection_id}/runs", tenant=TENANT)["runs"][0]
    head = demo.api("changes", tenant=TENANT, after=0, limit=1)["head"]
    assert (run["fetched"], run["quarantined"], run["filtered"] + head) == (held, 0, held)
    stages = {row["data"]["stage"] for row in demo.api("records/deal", tenant=TENANT, limit=100)["records"]}
    assert len(stages) > 1
    assert "closedlost" not in stages


async def look_behind_it(demo, page, check, shoot):
    """A record's page: the source document beside the mapped one, and what made it; its address."""
    await page.goto(f"{demo.origin}/portal/records")
    await check(page)
    await shoot(page, "portal-records")
    await page.get_by_role("link", name="By model").click()
    await check(page)
    await page.get_by_role("rowheader").get_by_role("link").first.click()
    await expect(page.locator("#source")).to_contain_text('"dealname"')
    await expect(page.locator("#mapped-1")).to_contain_text('"name": "Deal: ')
    await expect(page.get_by_role("link", name="Open deals")).to_be_visible()
    await expect(page.get_by_role("link", name="version 1")).to_be_visible()
    await expect(page.get_by_role("link", name="See the run").first).to_be_visible()
    await check(page)
    await shoot(page, "portal-record")
    return page.url


async def second_version(page, check, shoot, recipe, record):
    await page.goto(recipe)
    await check(page)
    await shoot(page, "recipe-page")
    await page.get_by_role("link", name="Edit").click()
    await page.get_by_label("Name: expression").fill("'Sale: ' + text(record.dealname)")
    await expect(page.locator("#after-name")).to_contain_text("Sale: ")
    for step in ("filter", "review"):
        await page.get_by_role("button", name="Continue").last.click()
        await expect(page.locator(f"#wizard[data-step={step}]")).to_be_visible()
    await page.get_by_label("What changed, and why").fill("Called sales from now on")
    await check(page)
    await page.get_by_role("button", name="Save as a new version").click()
    await expect(page.get_by_text("Version 2 is saved.")).to_be_visible()
    await expect(page.get_by_text("Version 2 · in force")).to_be_visible()
    await page.get_by_role("link", name="Version 1").click()
    await expect(page.get_by_role("main")).to_contain_text("'Deal: ' + text(record.dealname)")
    await expect(page.get_by_role("button", name="Restore as a new version")).to_be_visible()
    await check(page)
    await shoot(page, "recipe-version-1")
    await page.get_by_role("link", name="Version 2").click()
    await expect(page.get_by_role("main")).to_contain_text("Called sales from now on")
    await expect(page.get_by_role("main")).to_contain_text("'Sale: ' + text(record.dealname)")
    await check(page)
    await shoot(page, "recipe-version-2")


async def expect_remapped(portal, page, connection_id, record):
    """The records that are held follow the new version by themselves."""
    await portal.open(page, connection_id)
    succeeded = page.get_by_role("table", name="Runs").get_by_text("Succeeded")
    await expect(succeeded).to_have_count(2)
    await page.goto(record)
    await expect(page.locator("#mapped-1")).to_contain_text('"name": "Sale: ')
    await expect(page.get_by_role("link", name="version 2")).to_be_visible()


async def sign_out(demo, page):
    await page.locator(".account > summary").click()
    await page.get_by_role("button", name="Sign out").locator("visible=true").click()
    await expect(page.get_by_text("You are signed out.")).to_be_visible()
    await page.goto(f"{demo.origin}/portal/records")
    await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def viewer_looks(demo, portal, page, check, connection_id, recipe):
    """May see everything and change nothing, also not by an address typed by hand."""
    await portal.sign_in(page, f"viewer@{TENANT}.example")
    await portal.open(page, connection_id)
    await expect(page.get_by_role("row", name="Open deals")).to_be_visible()
    buttons = page.get_by_role("main").get_by_role("button")
    await expect(buttons).to_have_count(0)
    await check(page)
    await page.goto(recipe)
    await expect(page.get_by_text("Version 2 · in force")).to_be_visible()
    await expect(page.get_by_role("link", name="Edit")).to_have_count(0)
    await check(page)
    answer = await page.goto(f"{recipe}/edit")
    assert answer.status == 403
    await check(page)


async def small_and_dark(portal, page, check, shoot, addresses):
    await portal.sign_in(page, f"owner@{TENANT}.example")
    for name, address in addresses.items():
        await page.goto(address)
        await check(page)
        await shoot(page, f"small-{name}")


async def test_signing_in_says_what_is_wrong_and_where_to_go_on(demo, open_page, check, shoot):
    for width, theme in ((1280, "light"), (390, "dark")):
        page = await open_page(width=width, theme=theme, allow=("401 (",))
        await page.goto(f"{demo.origin}/portal/issues")
        await check(page)
        await page.get_by_label("E-mail address").fill("grace@globex.example")
        await page.get_by_label("Password").fill("not her password")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("do not match an account")
        await check(page)
        await shoot(page, f"sign-in-{width}")
        await page.get_by_label("Password").fill(demo.member_password)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{demo.origin}/portal/issues")
        await expect(page.get_by_role("heading", name="Issues", level=1)).to_be_visible()


async def test_a_member_of_two_organisations_goes_from_one_to_the_other(
    demo, portal, open_page, check, shoot
):
    page = await open_page()
    await portal.sign_in(page, "iris@umbra.example")
    here = page.locator("aside .org-name")
    first = await here.inner_text()
    other = {"Umbra Analytics": "Initech", "Initech": "Umbra Analytics"}[first]
    await page.locator(".account > summary").click()
    await page.get_by_role("link", name="Switch organisation").locator("visible=true").click()
    await check(page)
    await shoot(page, "switch-organisation")
    await page.get_by_role("button", name=other).click()
    await expect(here).to_have_text(other)
    await check(page)


async def test_the_api_is_described_without_help_from_elsewhere(demo, open_page, check, shoot):
    """`open_page` fails on any request to another host."""
    page = await open_page()
    await page.goto(f"{demo.origin}/schema")
    await expect(page.get_by_text("/v1/changes").first).to_be_visible()
    await check(page)
    await shoot(page, "schema")
    small = await open_page(width=390, theme="dark")
    await small.goto(f"{demo.origin}/schema")
    await check(small)
    await shoot(small, "small-schema")
