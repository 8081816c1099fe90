"""Most of an account's records vanish at once: nothing is deleted before somebody has said so."""

import re

from playwright.async_api import expect

ACCOUNT, ACCOUNT_ID = "Quiet Valley Labs", "48120003"
COMPANIES = {"account": ACCOUNT_ID, "object": "companies"}
HELD, GONE = 80, 60


async def test_a_mass_deletion_waits_for_a_decision(
    demo, organisation, portal, open_page, check, shoot, until
):
    def deleted() -> int:
        found = demo.api("changes", tenant="umbrella", after=0, limit=1000)["changes"]
        return sum(one["operation"] == "deleted" for one in found)

    await organisation("umbrella", "Umbrella")
    demo.control("POST", "records", {**COMPANIES, "count": HELD})
    page = await open_page()
    await portal.sign_in(page, "owner@umbrella.example")
    connection_id = await portal.connect(page, ACCOUNT)
    await portal.use_suggested(page, connection_id, "Companies")
    await portal.open(page, connection_id)
    await expect(page.get_by_text("Up to date", exact=True)).to_be_visible()
    assert demo.api("changes", tenant="umbrella", after=0, limit=1)["head"] == HELD

    demo.control("POST", "records/archive", {**COMPANIES, "count": GONE})
    await page.get_by_role("button", name="Sync now").click()
    await expect(page.locator("#flashes")).to_be_visible()
    waiting = page.get_by_text(re.compile(f"{GONE} records of {HELD} disappeared at once"))
    await until(page, f"{demo.origin}/portal/reviews", waiting)
    await check(page)
    await page.get_by_role("link", name=re.compile("Companies")).first.click()
    await expect(page.get_by_role("heading", level=1)).to_have_text(
        re.compile(f"{GONE} companies disappeared")
    )
    await check(page)
    await shoot(page, "review")
    assert deleted() == 0

    await page.get_by_label("Reason").fill("They were test companies")
    await page.get_by_role("button", name=f"Delete {GONE} records").click()
    await expect(page.get_by_text(re.compile("[Aa]pproved")).first).to_be_visible()
    await portal.open(page, connection_id)
    for _ in range(40):
        if deleted() == GONE:
            break
        await page.wait_for_timeout(500)
    assert deleted() == GONE
    await page.goto(f"{demo.origin}/portal/activity")
    await expect(page.get_by_text("approved the deletion of vanished records")).to_be_visible()
    await expect(page.get_by_text("They were test companies")).to_be_visible()
