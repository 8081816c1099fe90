"""An endpoint from its registration to a verified event, a failure, and the event sent again; as it really runs."""

import os
import re

import httpx2
from litestar import Litestar, Request, Response, post
from playwright.async_api import expect
from standardwebhooks import Webhook

from trunkline.cli import bench

SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
SHAPES = [("wide-dark", 1280, "dark"), ("narrow-light", 390, "light")]
if SHOTS:
    SHAPES += [("wide-light", 1280, "light"), ("narrow-dark", 390, "dark")]


async def test_from_registering_to_sending_again(demo, organisation, portal, open_page, check, shoot, serve):
    await organisation("stark", "Stark Industries")
    got, refusing = [], {"status": 204}

    @post("/hooks", status_code=200)
    async def receive(request: Request) -> Response[bytes]:
        got.append((await request.body(), dict(request.headers)))
        return Response(b"out of order" if refusing["status"] == 500 else b"", status_code=refusing["status"])

    receiver = await serve(Litestar([receive]))
    page = await open_page()
    await portal.sign_in(page, "owner@stark.example")
    await page.get_by_role("navigation", name="Main").get_by_role("link", name="Webhooks").first.click()
    await expect(page.get_by_text("No endpoints yet")).to_be_visible()
    await check(page)
    await page.get_by_role("link", name="New endpoint").first.click()
    await page.get_by_label("What it is for").fill("Backend of our product")
    await page.get_by_label("Every change of a connection").check()
    await page.get_by_label("A connection stands better or worse than before.").check()
    await page.get_by_label("By record").check()
    await check(page)
    await shoot(page, "webhooks-form-wide-light")
    await page.get_by_label("Address").fill(f"{receiver}/hooks")
    await page.get_by_role("button", name="Register").click()
    secret = await page.get_by_label("Secret of this endpoint").inner_text()
    judge = Webhook(secret.strip())
    await check(page)
    await shoot(page, "webhooks-secret-wide-light")
    await page.get_by_role("link", name="To the endpoint").click()
    endpoint = page.url
    await expect(page.get_by_text("kept for each record")).to_be_visible()

    await page.get_by_role("button", name="Send a test").click()
    await expect(
        page.get_by_role("row", name=re.compile("webhook.test")).get_by_text("Succeeded")
    ).to_be_visible()
    body, headers = got[-1]
    assert judge.verify(body, headers)["type"] == "webhook.test"

    await portal.connect(page, "Blue Harbor Studio")
    await page.goto(endpoint)
    for name in ("connection.created", "connection.confirmed"):
        await expect(page.get_by_role("row", name=re.compile(name)).get_by_text("Succeeded")).to_be_visible()
    types = [judge.verify(body, headers)["type"] for body, headers in got]
    assert {"connection.created", "connection.confirmed"} <= set(types)

    refusing["status"] = 500
    await page.get_by_role("button", name="Send a test").click()
    row = page.get_by_role("row", name=re.compile("webhook.test.*500 not taken"))
    await expect(row).to_be_visible()
    await check(page)
    await row.get_by_role("link").click()
    await expect(page.get_by_text("out of order").first).to_be_visible()
    await check(page)
    refused = judge.verify(*got[-1])
    refusing["status"] = 204
    await page.get_by_role("button", name="Send again").click()
    await expect(page.get_by_text("Succeeded", exact=True)).to_be_visible()
    assert judge.verify(*got[-1]) == refused
    delivery = page.url

    for name, width, theme in SHAPES:
        looked = await open_page(width=width, theme=theme)
        await portal.sign_in(looked, "owner@stark.example")
        for what, address in (
            ("list", f"{demo.origin}/portal/webhooks"),
            ("endpoint", endpoint),
            ("delivery", delivery),
            ("verify", f"{demo.origin}/portal/webhooks/verify"),
            ("change", f"{endpoint}/change"),
        ):
            await looked.goto(address)
            await check(looked)
            await shoot(looked, f"webhooks-{what}-{name}")


async def test_the_installations_own_in_the_console(demo, open_page, check, shoot):
    api = httpx2.AsyncClient(
        base_url=f"{demo.origin}/v1", headers={"authorization": f"Bearer {demo.api_key}"}
    )
    async with api:
        wanted = {"url": "http://127.0.0.1:9/hooks", "types": ["*"], "description": "Every tenant's events"}
        made = (await api.post("/webhook-endpoints", json=wanted)).json()
        pem, key = bench._load("egress").Authority().client("Every tenant")  # it ends in an hour
        ending = {"url": "https://hooks.example.com/mtls", "types": ["review.requested"]}
        ending |= {"client_certificate": {"certificate": pem, "key": key}}
        shown = (await api.post("/webhook-endpoints", json=ending)).json()
        try:
            await api.post(f"/webhook-endpoints/{made['id']}/test", json={})
            for name, width, theme in SHAPES:
                page = await open_page(width=width, theme=theme)
                await page.goto(f"{demo.origin}/login")
                await page.get_by_label("E-mail address").fill("chief@trunkline.example")
                await page.get_by_label("Password").fill(demo.staff_password)
                await page.get_by_role("button", name="Sign in").click()
                await expect(page).to_have_url(f"{demo.origin}/console")
                await page.goto(f"{demo.origin}/console/webhooks")
                await check(page)
                await shoot(page, f"webhooks-console-{name}")
                await page.get_by_role("link", name="Every tenant's events").click()
                await expect(
                    page.get_by_role("row", name="webhook.test").filter(has_text="Could not be reached")
                ).to_be_visible()
                await expect(page.get_by_role("heading", name="Tenants' deliveries")).to_be_visible()
                await check(page)
                await shoot(page, f"webhooks-console-endpoint-{name}")
                await page.goto(f"{demo.origin}/console/issues")
                row = page.get_by_role("row", name="https://hooks.example.com/mtls")
                await expect(row.get_by_text("Expiring")).to_be_visible()
                await check(page)
                await shoot(page, f"webhooks-console-issues-{name}")
        finally:
            for one in (made, shown):
                await api.delete(f"/webhook-endpoints/{one['id']}")
