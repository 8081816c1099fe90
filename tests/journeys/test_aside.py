"""A record that the product's model does not take is set aside with its cause, and tried again alone once it does."""

import os
import re

import httpx2
from playwright.async_api import expect

from .connecting import control

SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
SHAPES = [("narrow-dark", 390, "dark")]
if SHOTS:
    SHAPES += [("wide-light", 1280, "light"), ("wide-dark", 1280, "dark"), ("narrow-light", 390, "light")]

ACCOUNT, ACCOUNT_ID, TENANT = "Blue Harbor Studio", "48120002", "nakatomi"


def declare(demo, version, *levels):
    """The product's own model, in that version."""
    model = {
        "name": "assignment",
        "label": "Assignment",
        "version": version,
        "description": "Something that somebody is to do.",
        "fields": [
            {"name": "subject", "label": "Subject", "type": "string"},
            {
                "name": "level",
                "label": "Level",
                "type": "enum",
                "required": True,
                "enum_values": [{"value": one} for one in levels],
            },
        ],
    }
    headers = {"authorization": f"Bearer {demo.api_key}"}
    answer = httpx2.post(f"{demo.origin}/v1/models", json=model, headers=headers, timeout=20)
    assert answer.status_code == 201, answer.text


async def make_recipe(page, address):
    """Every ticket becomes an assignment, with its stage as the level."""
    await page.goto(address)
    await page.get_by_role("link", name="Start from scratch").click()
    await page.get_by_role("radio", name=re.compile("^Tickets")).check()
    await page.get_by_role("radio", name=re.compile("^Assignment")).check()
    await page.get_by_role("button", name="Continue").last.click()
    await page.get_by_label("Level: filled from").select_option(label="A field")
    await page.get_by_label("Level: field").select_option("hs_pipeline_stage")
    await page.get_by_role("button", name="Continue").last.click()
    await page.get_by_label("Name of the recipe").fill("Assignments")
    await page.get_by_role("button", name="Continue").last.click()
    await page.get_by_role("button", name="Save recipe").click()
    await expect(page.get_by_text("“Assignments” is saved.")).to_be_visible()


async def test_one_record_is_set_aside_and_tried_again_alone(
    demo, organisation, portal, open_page, check, shoot, until
):
    await organisation(TENANT, "Nakatomi")
    declare(demo, 1, "1", "2", "3", "4")
    (odd,) = control(
        demo,
        "hubspot",
        "records/change",
        {
            "account": ACCOUNT_ID,
            "object": "tickets",
            "values": {"hs_pipeline_stage": "77", "subject": "The odd one"},
        },
    )["ids"]
    page = await open_page()
    await portal.sign_in(page, f"owner@{TENANT}.example")
    connection_id = await portal.connect(page, ACCOUNT)
    home = f"{demo.origin}/portal/connections/{connection_id}"
    await make_recipe(page, f"{home}/recipes/new")

    # one is set aside, with its reason; all others flow
    await page.goto(home)
    await expect(page.get_by_text("Up to date", exact=True)).to_be_visible()
    held = demo.live(ACCOUNT_ID, "tickets")
    await until(page, home, page.get_by_role("link", name=f"{held - 1:,}", exact=True))
    aside = f"{demo.origin}/portal/records?connection={connection_id}&show=quarantined"
    await page.goto(aside)
    row = page.get_by_role("table", name="Records set aside").get_by_role("row", name=re.compile(odd))
    await expect(row).to_contain_text("77")
    await expect(page.get_by_role("table", name="Records set aside").get_by_role("row")).to_have_count(2)
    await check(page)
    await row.get_by_role("link").click()
    await expect(page.get_by_text("“Assignments” could not map this record")).to_be_visible()
    why = page.get_by_role("table", name=re.compile("could not map it"))
    await expect(why).to_contain_text("77")
    await check(page)
    record = page.url

    # tried again while nothing has changed, it stays where it is
    await page.get_by_role("button", name="Try again").click()
    await until(page, record, page.get_by_text(re.compile(r"^2 tries by version 1")))
    for name, width, theme in SHAPES:
        looked = await open_page(width=width, height=800, theme=theme)
        await portal.sign_in(looked, f"owner@{TENANT}.example")
        for what, address in (("list", aside), ("record", record), ("connection", home)):
            await looked.goto(address)
            await check(looked)
            await shoot(looked, f"aside-{what}-{name}")

    # the product takes such records from now on: tried again alone, it comes good
    declare(demo, 2, "1", "2", "3", "4", "77")
    await page.get_by_role("button", name="Try again").click()
    await until(page, record, page.locator("#mapped-1"))
    await expect(page.locator("#mapped-1")).to_contain_text('"level": "77"')
    await expect(page.get_by_text("could not map this record")).to_have_count(0)
    await check(page)
    await page.goto(aside)
    await expect(page.get_by_text("Nothing is set aside")).to_be_visible()
    runs = demo.api(f"connections/{connection_id}/runs", tenant=TENANT)["runs"]
    tried = [(run["mode"], run["state"], run["fetched"]) for run in runs if run["mode"] == "retry"]
    assert tried == [("retry", "succeeded", 1)] * 2
    await page.goto(f"{demo.origin}/portal/activity")
    await expect(page.get_by_text("had set-aside records of “HubSpot” tried again").first).to_be_visible()
