"""Attacks on the connect flow, in real browsers: pages that look like the product's, and links passed on."""

import asyncio

import httpx2
import pytest
from litestar import Litestar, MediaType, get
from playwright.async_api import expect

KNOWN = "nonce-that-everybody-knows"
CODE = f"cc_{'0' * 32}_{'x' * 43}"
SEEN = "window.seen = 0; addEventListener('message', () => { window.seen += 1; })"
SEEN_FROM = """([from]) => { window.seen = 0;
    addEventListener("message", (event) => { window.seen += event.origin === from; }); }"""
EVENTS = """([token]) => { window.events = []; const note = (name) => (detail) => window.events.push([name, detail]);
    window.handle = Trunkline.open({ token, onReady: note("ready"), onConnected: note("connected"),
      onError: note("error"), onClose: note("close") }); }"""
EXPECTED = ("frame-ancestors", "Refused to frame", "violates the following", "does not match the recipient",
            "400 (Bad Request)", "Framing")  # fmt: skip


def page_of(origin: str) -> str:
    return f'<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,"><script src="{origin}/widget/v1.js"></script>'


def connect_session(demo, tenant: str, origin: str) -> dict[str, str]:
    body = {
        "tenant": tenant,
        "end_user": {"id": "mallory", "name": "Mallory"},
        "connectors": ["hubspot"],
        "origin": origin,
    }
    headers = {"authorization": f"Bearer {demo.api_key}"}
    answer = httpx2.post(f"{demo.origin}/v1/connect-sessions", json=body, headers=headers, timeout=20)
    assert answer.status_code == 201, answer.text
    return answer.json()


def state(demo, tenant: str, session) -> str:
    return demo.api(f"connect-sessions/{session['id']}", tenant=tenant)["state"]


@pytest.fixture
async def host(serve, demo):
    """Two servers whose pages load the widget, under every name that ends in localhost: two ports."""

    @get("/", media_type=MediaType.HTML, sync_to_thread=False)
    def root() -> str:
        return page_of(demo.origin)

    return [(await serve(Litestar([root]))).rpartition(":")[2] for _ in range(2)]


class Anywhere:
    """Hosts of requests that a test may make: all of this machine."""

    def __contains__(self, name: object) -> bool:
        return str(name) in {"127.0.0.1", "localhost"} or str(name).endswith(".localhost")


SEND = "([target, messages]) => { for (const one of messages) eval(target).postMessage(one, '*'); }"


async def window_of(page, address: str):
    """A window that `page` has opened, so that it has a hold on it."""
    async with page.expect_popup() as opened:
        await page.evaluate("([address]) => { window.open(address); }", [address])
    found = await opened.value
    await found.wait_for_load_state()
    return found


async def sandboxed(page, content: str = "<p>null</p>"):
    """A frame of origin `null` in the page."""
    async with page.expect_event("framenavigated", lambda one: one.url == "about:srcdoc") as found:
        await page.evaluate(
            """([content]) => { const frame = document.createElement("iframe"); frame.sandbox = "allow-scripts";
                frame.srcdoc = content; document.body.append(frame); }""",
            [content],
        )
    return await found.value


async def until(page, expression: str, seconds: float = 30) -> None:
    """Until it holds in the page. `wait_for_function` polls with `eval`, which the frame's own policy refuses."""
    end = asyncio.get_running_loop().time() + seconds
    while not await page.evaluate(expression):
        assert asyncio.get_running_loop().time() < end, (
            f"{expression} did not come true within {seconds:.0f} s"
        )
        await asyncio.sleep(0.05)


async def listening(frame) -> None:
    """Once the widget's own script runs in it; counts messages from now on."""
    await frame.wait_for_load_state()
    await until(
        frame,
        "performance.getEntriesByType('resource').some((one) => one.name.endsWith('/frame.js')"
        " && one.responseStatus === 200)",
    )
    await frame.evaluate(SEEN)


def blocked(request) -> bool:
    """By frame-ancestors: asked for, and not shown."""
    return "/widget/frame/" in request.url and request.failure == "net::ERR_BLOCKED_BY_RESPONSE"


async def test_only_the_sessions_own_origin_may_frame_the_widget(demo, organisation, host, open_page):
    await organisation("lookalike", "Lookalike")
    port, other = host
    product = f"http://product.localhost:{port}"
    session = connect_session(demo, "lookalike", product)
    page = await open_page(hosts=Anywhere(), allow=EXPECTED)
    # made to look as if it came from there; Chromium asks before such a page may call this machine
    await page.context.route(
        "https://product.localhost/**",
        lambda route: route.fulfill(body=page_of(demo.origin), content_type="text/html"),
    )
    await page.context.grant_permissions(["local-network-access"], origin="https://product.localhost")
    lookalikes = [
        f"http://product.localhost.evil.localhost:{port}",  # as product.example.evil is to product.example
        f"http://evilproduct.localhost:{port}",
        f"http://product-localhost.localhost:{port}",
        f"http://sub.product.localhost:{port}",
        f"http://localhost:{port}",
        f"http://127.0.0.1:{port}",
        f"http://product.localhost:{other}",  # another port
        "https://product.localhost",  # another scheme
    ]
    for origin in lookalikes:
        await page.goto(f"{origin}/")
        async with page.expect_event("requestfailed") as refused:
            await page.evaluate(EVENTS, [session["token"]])
        assert blocked(await refused.value), origin
        assert await page.evaluate("window.events") == [], origin
    # `null`: a sandboxed frame in the product's very page, with the widget's frame inside it
    await page.goto(f"{product}/")
    address = f"{demo.origin}/widget/frame/{session['id'].replace('-', '')}"
    async with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
        await sandboxed(page, f'<iframe src="{address}"></iframe>')
    assert state(demo, "lookalike", session) == "open", "nobody has redeemed the token"
    # and the session's own page can
    await page.goto(f"{product}/")
    await page.evaluate(EVENTS, [session["token"]])
    await until(page, "window.events.length")
    assert await page.evaluate("window.events[0][0]") == "ready"
    assert state(demo, "lookalike", session) == "redeemed"


async def test_the_frame_heeds_its_parent_at_the_right_origin_with_nonce_and_shape(
    demo, organisation, host, open_page
):
    """The attacker knows token and nonce, and has a hold on the frame; only who he is gives him away."""
    await organisation("postbox", "Postbox")
    port, _ = host
    product, evil = f"http://product.localhost:{port}", f"http://evil.localhost:{port}"
    session = connect_session(demo, "postbox", product)
    address = f"{demo.origin}/widget/frame/{session['id'].replace('-', '')}"
    page = await open_page(hosts=Anywhere(), allow=EXPECTED)
    asked: list[str] = []
    page.context.on(
        "request", lambda request: asked.append(request.url) if "/redeem" in request.url else None
    )
    await page.context.grant_permissions(["local-network-access"])
    await page.context.add_init_script(f"crypto.randomUUID = () => '{KNOWN}'")
    good = {"trunkline": 1, "type": "open", "nonce": KNOWN, "token": session["token"]}
    embed = """([address]) => { const frame = document.createElement("iframe"); frame.src = address;
        document.body.append(frame); }"""

    # a page of another origin that holds the frame itself: as if frame-ancestors did not exist
    async def unguarded(route):
        answer = await route.fetch()
        headers = {name: value for name, value in answer.headers.items() if name != "content-security-policy"}
        await route.fulfill(response=answer, headers=headers)

    await page.route("**/widget/frame/**", unguarded)
    await page.goto(f"{evil}/")
    await page.evaluate(embed, [address])
    await until(page, "frames.length")
    frame = page.frames[1]
    await listening(frame)
    await page.evaluate(SEND, ["frames[0]", [good]])
    await until(frame, "window.seen === 1")
    assert asked == []

    await page.unroute("**/widget/frame/**")
    assert asked == []

    # the product's own page, and others that have a hold on it
    await page.goto(f"{product}/")
    await page.evaluate(embed, [address])
    await until(page, "frames.length")
    frame = page.frames[1]
    await listening(frame)
    for opened in (await window_of(page, f"{evil}/"), await window_of(page, f"{product}/")):
        await opened.evaluate(SEND, ["opener.frames[0]", [good]])  # the second: right origin, wrong window
    await (await sandboxed(page)).evaluate(SEND, ["parent.frames[0]", [good]])
    await page.evaluate(
        SEND,
        [
            "frames[0]",
            [
                {**good, "nonce": "another-nonce-altogether"},
                {name: value for name, value in good.items() if name != "nonce"},
                {**good, "trunkline": "1"},
                {**good, "type": ["open"]},
                {**good, "token": [session["token"]]},
                {**good, "token": session["token"] + "x"},
                {**good, "more": 1},
                session["token"],
                None,
                [good],
            ],
        ],
    )
    await until(frame, "window.seen === 13")
    assert asked == []
    assert state(demo, "postbox", session) == "open"
    async with page.expect_response("**/redeem") as answered:
        await page.evaluate(SEND, ["frames[0]", [good]])
    assert (await answered.value).status == 200
    assert len(asked) == 1


async def test_frame_and_loader_believe_only_their_own_windows(demo, organisation, host, open_page):
    await organisation("echo", "Echo")
    port, _ = host
    product, evil = f"http://product.localhost:{port}", f"http://evil.localhost:{port}"
    session = connect_session(demo, "echo", product)
    page = await open_page(hosts=Anywhere(), allow=EXPECTED)
    await page.context.add_init_script(f"crypto.randomUUID = () => '{KNOWN}'")
    await page.goto(f"{product}/")
    await page.evaluate(EVENTS, [session["token"]])
    await until(page, "window.events.length")
    frame = page.frames[1]
    async with page.expect_popup() as opened:
        await frame.get_by_role("button", name="Connect HubSpot").click()
    popup = await opened.value
    await frame.evaluate(SEEN)
    await page.evaluate(SEEN)
    # the last page of a trip, as a message: it says that all went well
    identity = "0198c0de-0000-7000-8000-000000000000"
    good = {
        "trunkline": 1,
        "type": "finished",
        "ok": True,
        "nonce": KNOWN,
        "code": CODE,
        "message": "",
        "connectionId": identity,
        "account": "1",
    }
    ours = f"{demo.origin}/oauth/callback/hubspot"  # a page of Trunkline's own that keeps its opener
    await page.evaluate(SEND, ["frames[0]", [good]])
    strangers = [await window_of(page, f"{evil}/"), await window_of(page, ours)]
    for stranger in strangers:
        await stranger.evaluate(SEND, ["opener.frames[0]", [good]])
    await (await sandboxed(page)).evaluate(SEND, ["parent.frames[0]", [good]])
    await popup.goto(ours)
    await popup.evaluate(
        SEND,
        [
            "opener",
            [
                {**good, "nonce": "another-nonce-altogether"},
                {**good, "ok": "yes"},
                {**good, "code": "cc_x"},
                {**good, "connectionId": "<b>"},
                {**good, "account": {"toString": "x"}},
                {**good, "more": 1},
                {name: value for name, value in good.items() if name != "account"},
            ],
        ],
    )
    await until(frame, "window.seen === 11")
    await expect(frame.get_by_role("heading", name="Waiting for HubSpot")).to_be_visible()
    # what the frame would tell the product, told by others, or by the frame in another shape
    told = {
        "trunkline": 1,
        "type": "connected",
        "connectionId": identity,
        "code": CODE,
        "connector": "hubspot",
    }
    for stranger in strangers:
        await stranger.evaluate(SEND, ["opener", [told]])
    await (await sandboxed(page)).evaluate(SEND, ["parent", [told]])
    await frame.evaluate(
        SEND, ["parent", [{**told, "code": "x"}, {**told, "more": 1}, {**told, "type": "toString"}]]
    )
    await until(page, "window.seen >= 6")
    assert await page.evaluate("window.events.map(([name]) => name)") == ["ready"]
    # the right window, nonce and shape: so none of the above was refused for another reason
    await popup.evaluate(SEND, ["opener", [good]])
    await until(page, "window.events.length === 2")
    assert await page.evaluate("window.events[1][1].code") == CODE
    assert await page.evaluate("window.events[1][0]") == "connected"


async def test_a_frame_that_was_led_elsewhere_is_not_believed(demo, organisation, host, open_page):
    """Its window is still the loader's own; only its origin gives it away."""
    await organisation("foxtrot", "Foxtrot")
    port, _ = host
    product, evil = f"http://product.localhost:{port}", f"http://evil.localhost:{port}"
    page = await open_page(hosts=Anywhere(), allow=EXPECTED)
    await page.goto(f"{product}/")
    await page.evaluate(EVENTS, [connect_session(demo, "foxtrot", product)["token"]])
    await until(page, "window.events.length")
    await page.evaluate(SEEN_FROM, [evil])  # the loader's frame goes on telling of itself until it has left
    frame = page.frames[1]
    await frame.goto(f"{evil}/")
    identity = "0198c0de-0000-7000-8000-000000000000"
    told = {"trunkline": 1, "connectionId": identity, "code": CODE, "connector": "hubspot"}
    await frame.evaluate(SEND, ["parent", [{**told, "type": "connected"}]])
    await until(page, "window.seen === 1")
    assert await page.evaluate("window.events.map(([name]) => name)") == ["ready"]


def active(demo, *tenants: str) -> list[str]:
    return [
        one["state"] for tenant in tenants for one in demo.api("connections", tenant=tenant)["connections"]
    ]


async def test_a_victim_who_follows_the_attackers_link_connects_nothing(
    demo, organisation, portal, host, open_page, check, shoot
):
    """From the portal and from the widget: the attacker sends on the provider's address instead of going."""
    await organisation("mallory", "Mallory")
    await organisation("victor", "Victor")
    attacker = await open_page(hosts=Anywhere(), allow=EXPECTED)
    victim = await open_page(allow=EXPECTED)
    await portal.sign_in(attacker, "owner@mallory.example")
    await portal.sign_in(victim, "owner@victor.example")
    await attacker.goto(f"{demo.origin}/portal/connect")
    await attacker.get_by_role("button", name="Connect HubSpot").click()
    await attacker.wait_for_url("**/oauth/authorize**")
    links = [attacker.url]

    product = f"http://product.localhost:{host[0]}"
    session = connect_session(demo, "mallory", product)
    await attacker.goto(f"{product}/")
    await attacker.evaluate(EVENTS, [session["token"]])
    await until(attacker, "window.events.length")
    frame = attacker.frames[1]
    async with attacker.expect_popup() as opened:
        await frame.get_by_role("button", name="Connect HubSpot").click()
    popup = await opened.value
    await popup.wait_for_url("**/oauth/authorize**")
    links.append(popup.url)

    for link in links:
        await victim.goto(link)
        await portal.consent(victim, "Northwind Outfitters")
        await expect(victim.get_by_text("was not started in this browser")).to_be_visible()
        callback = victim.url
    await check(victim)
    await shoot(victim, "connect-refused")
    await victim.goto(f"{demo.origin}/widget/frame/{session['id'].replace('-', '')}")
    await expect(victim.get_by_role("alert")).to_be_visible()
    # nor is the callback, with the victim's own code in it, worth anything to another browser of the victim's
    await victim.goto(callback)
    await expect(victim.get_by_text("was not started in this browser")).to_be_visible()
    assert active(demo, "mallory", "victor") == []
    assert state(demo, "mallory", session) == "redeemed"
    assert await attacker.evaluate("window.events.map(([name]) => name)") == ["ready"]


async def test_an_owner_brings_the_organisations_own_app(demo, organisation, portal, open_page, check, shoot):
    await organisation("ownapp", "Ownapp")
    page = await open_page()
    await portal.sign_in(page, "owner@ownapp.example")
    await page.goto(f"{demo.origin}/portal/connect")
    await page.get_by_role("link", name="Connect through your own app").click()
    await check(page)
    await page.get_by_text("Use an app of your own").nth(0).click()  # HubSpot comes first
    form = page.locator("form", has=page.locator("#hubspot-client_id"))
    await form.get_by_label("Client ID").fill("own-app-1")
    await form.get_by_label("Secret").fill("a secret of its own")
    await form.get_by_role("button", name="Use your own app").click()
    await expect(page.get_by_text("through your own app from now on")).to_be_visible()
    assert "a secret of its own" not in await page.content()
    await check(page)
    await shoot(page, "own-apps")
    await page.get_by_role("button", name="Go back to our app").click()
    await expect(page.get_by_text("is forgotten")).to_be_visible()
