"""A provider in trouble during a sync: told as what it is, waited for, and nothing lost."""

import re

import pytest
from playwright.async_api import expect

ACCOUNT, ACCOUNT_ID = "Blue Harbor Studio", "48120002"


@pytest.mark.parametrize(
    ("slug", "kind", "stream", "told"),
    [
        ("vehement", "429", "tickets", r"Waiting for HubSpot's limit until \d\d:\d\d:\d\d"),
        ("duff", "500", "deals", r"has a problem on its side.*Next try at \d\d:\d\d:\d\d"),
    ],
)
async def test_a_sync_gets_through_the_providers_trouble(
    demo, organisation, portal, open_page, check, shoot, slug, kind, stream, told
):
    await organisation(slug, slug.title())
    page = await open_page()
    await portal.sign_in(page, f"owner@{slug}.example")
    connection_id = await portal.connect(page, ACCOUNT)
    # for as long as it takes to be seen: how long a try is put off is left to chance
    fault = {"kind": kind, "seconds": 600, "path": f"/crm/objects/2026-03/{stream}"}
    demo.control("POST", "faults", fault)
    try:
        await portal.use_suggested(page, connection_id, stream.title())
        await portal.open(page, connection_id)
        await expect(page.get_by_text(re.compile(told))).to_be_visible()
        await check(page)
        await shoot(page, f"trouble-{kind}")
    finally:
        demo.control("DELETE", "faults")
    await expect(page.get_by_text("Up to date", exact=True)).to_be_visible()
    assert demo.api("changes", tenant=slug, after=0, limit=1)["head"] == demo.live(ACCOUNT_ID, stream)
    runs = demo.api(f"connections/{connection_id}/runs", tenant=slug)["runs"]
    assert [(run["state"], run["quarantined"]) for run in runs] == [("succeeded", 0)]
    await expect(page.get_by_text("Healthy", exact=True)).to_be_visible()
