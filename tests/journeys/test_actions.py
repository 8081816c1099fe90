"""The product writes to a customer's account: allowed by the customer, written once, explained where it is not."""

from uuid import uuid4

import httpx2
from playwright.async_api import expect

ACCOUNT, ACCOUNT_ID = "Blue Harbor Studio", "48120002"


def run_action(demo, connection_id, name, key=None, **given):
    return httpx2.post(
        f"{demo.origin}/v1/connections/{connection_id}/actions/{name}",
        json={"input": given, "tenant": "quill"},
        headers={"authorization": f"Bearer {demo.api_key}", "idempotency-key": key or str(uuid4())},
        timeout=30,
    )


async def test_what_the_product_writes_is_allowed_written_once_and_explained(
    demo, organisation, portal, open_page, check, shoot
):
    await organisation("quill", "Quill")
    page = await open_page(allow=("400 (Bad Request)",))
    await portal.sign_in(page, "owner@quill.example")
    connection_id = await portal.connect(page, ACCOUNT)
    refused = run_action(demo, connection_id, "upsert_contact", email="nora@quill.example")
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    assert refused.json()["missing"] == ["crm.objects.contacts.write"]

    await portal.open(page, connection_id)
    await expect(page.get_by_text("This connection may only read.")).to_be_visible()
    await check(page)
    await page.get_by_role("button", name="Allow writing").click()
    await portal.consent(page, ACCOUNT)
    await expect(page).to_have_url(f"{demo.origin}/portal/connections/{connection_id}")
    await expect(page.get_by_text("This connection may only read.")).to_have_count(0)

    before, key = demo.live(ACCOUNT_ID, "contacts"), str(uuid4())
    answers = [
        run_action(demo, connection_id, "upsert_contact", key, email="nora@quill.example", first_name="Nora")
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert answers[0].json() == answers[1].json()
    assert demo.live(ACCOUNT_ID, "contacts") == before + 1
    wrong = run_action(
        demo, connection_id, "upsert_contact", email="x@quill.example", fields={"lifecyclestage": "king"}
    )
    assert (wrong.status_code, wrong.json()["field"]) == (422, "input.fields.lifecyclestage"), wrong.text

    await portal.open(page, connection_id)
    written = page.get_by_role("table", name="What was written")
    await expect(written.get_by_text("Written", exact=True)).to_be_visible()
    await expect(written.get_by_text("Not accepted: lifecyclestage (INVALID_OPTION).")).to_be_visible()
    await expect(written.get_by_role("button", name="Try again: Create or update contacts")).to_be_visible()
    await check(page)
    await shoot(page, "action-calls")
    await page.set_viewport_size({"width": 390, "height": 844})
    await check(page)
    await shoot(page, "action-calls-narrow")
    await page.emulate_media(color_scheme="dark")
    await shoot(page, "action-calls-narrow-dark")
