"""A grant withdrawn at the provider: seen, explained, repaired, and nothing lost in between."""

import re

from playwright.async_api import expect

ACCOUNT, OTHER = "Blue Harbor Studio", "Northwind Outfitters"
ACCOUNT_ID = "48120002"
CAUSE = re.compile("no longer lets us in.*Press Reconnect")


async def staff_sees(demo, page, check, shoot):
    """The same cause, by its code, in the console of who runs the installation."""
    await page.goto(f"{demo.origin}/login")
    await page.get_by_label("E-mail address").fill("support@trunkline.example")
    await page.get_by_label("Password").fill(demo.staff_password)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page).to_have_url(f"{demo.origin}/console")
    await page.get_by_role("link", name="Hooli").click()
    await expect(page.get_by_text("Reconnect needed")).to_be_visible()
    await expect(page.get_by_text("grant_revoked", exact=True)).to_be_visible()
    await check(page)
    await shoot(page, "console-reconnect-needed")
    await page.get_by_role("main").locator("a[href='/console/runbooks/grant_revoked']").first.click()
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    await check(page)


async def test_a_revoked_grant_is_seen_explained_and_repaired(
    demo, organisation, portal, open_page, check, shoot
):
    await organisation("hooli", "Hooli")
    page = await open_page(allow=("400 (Bad Request)",))
    await portal.sign_in(page, "owner@hooli.example")
    connection_id = await portal.connect(page, ACCOUNT)
    await portal.use_suggested(page, connection_id, "Contacts")
    await portal.open(page, connection_id)
    await expect(page.get_by_text("Up to date", exact=True)).to_be_visible()
    await expect(page.get_by_role("button", name="Sync now")).to_be_visible()
    recipe = await page.get_by_role("row", name="Contacts →").get_by_role("link").first.get_attribute("href")
    head = demo.api("changes", tenant="hooli", after=0, limit=1)["head"]
    assert head == demo.live(ACCOUNT_ID, "contacts")

    # The customer takes the permission away at HubSpot; the open page learns of it by itself.
    state = demo.control("GET", "state")
    mine = [g for g in state["grants"] if g["account"] == ACCOUNT_ID and g["revoked_at"] is None]
    demo.control("POST", f"grants/{mine[-1]['id']}/revoke")
    await expect(page.get_by_text(CAUSE)).to_be_visible()
    await expect(page.get_by_text("Reconnect needed", exact=True)).to_be_visible()
    for useless in ("Sync now", "Pause", "Full re-read", "Reconnect account"):
        await expect(page.get_by_text(useless, exact=True)).to_be_hidden()
    await check(page)
    await shoot(page, "reconnect-needed")
    shown = demo.api(f"connections/{connection_id}", tenant="hooli")
    assert (shown["state"], shown["cause"]) == ("reconnect_required", "grant_revoked")
    await page.goto(f"{demo.origin}/portal/issues")
    await expect(page.get_by_text(CAUSE)).to_be_visible()
    await check(page)
    await staff_sees(demo, await open_page(), check, shoot)
    demo.control("POST", "records/change", {"account": ACCOUNT_ID, "object": "contacts", "count": 7})

    # Another account of HubSpot's is refused, and nothing is changed by it.
    await portal.open(page, connection_id)
    await page.get_by_role("button", name="Reconnect", exact=True).click()
    await portal.consent(page, OTHER)
    await expect(page.get_by_text(f"belongs to the HubSpot account {ACCOUNT_ID}")).to_be_visible()
    assert (await page.locator("svg.mark").bounding_box())["width"] < 64
    await check(page)
    await shoot(page, "reconnect-refused")
    await page.get_by_role("link", name="Go back").click()
    await expect(page.get_by_text(CAUSE)).to_be_visible()

    # The right one is taken: same connection, same recipe, and exactly what changed meanwhile.
    await page.get_by_role("button", name="Reconnect", exact=True).click()
    await portal.consent(page, ACCOUNT)
    await expect(page.get_by_role("status").get_by_text("HubSpot is reconnected.")).to_be_visible()
    assert page.url.endswith(connection_id)
    first = page.get_by_role("table", name="Runs").get_by_role("row").nth(1)
    await expect(first).to_contain_text("Changes only")
    await expect(first).to_contain_text("Succeeded")
    await expect(page.get_by_text("Healthy", exact=True)).to_be_visible()
    assert (
        await page.get_by_role("row", name="Contacts →").get_by_role("link").first.get_attribute("href")
        == recipe
    )
    found = demo.api("changes", tenant="hooli", after=head, limit=100)
    assert [change["position"] for change in found["changes"]] == list(range(head + 1, head + 8))
    assert {change["operation"] for change in found["changes"]} == {"updated"}
    assert all(c["data"]["job_title"].startswith("Changed in the sandbox") for c in found["changes"])
    assert len(demo.api("connections", tenant="hooli")["connections"]) == 1
    await page.goto(f"{demo.origin}/portal/activity")
    await expect(page.get_by_text("reconnected “HubSpot”")).to_be_visible()
    await expect(page.get_by_text("lost access to “HubSpot”")).to_be_visible()
    await check(page)
