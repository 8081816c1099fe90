"""Chromium for journeys: one browser a session, a page a test, and the questions every page must answer.

`open_page(width=..., theme=..., cookies=...)` gives a page whose faults (console, policy, failed or foreign
requests) fail the test at its end. `check(page)` asks axe-core and looks for overflow. `serve(app)` runs a
Litestar app on a free port of 127.0.0.1 and returns its origin. `demo` is everything, running;
`organisation(slug)` adds a customer of the test's own to it, so that journeys do not meet; `portal` signs in.

A busy machine only makes a journey slower: whatever is looked at after a click is waited for by what it shows
(`expect`), never by time, and an address is only gone to, or a page reloaded, once the click before has arrived.
"""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import msgspec
import pytest
import uvicorn
from playwright.async_api import (
    Browser,
    BrowserContext,
    Frame,
    JSHandle,
    Locator,
    Page,
    async_playwright,
    expect,
)
from playwright.async_api import Error as PlaywrightError

from trunkline.kernel.db import Database
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kit.scaffolding import scaffold
from trunkline_tenants.directory import Directory

CHROMIUM = Path(os.environ.get("TRUNKLINE_CHROMIUM", "/usr/bin/chromium"))
SHOTS = os.environ.get("TRUNKLINE_SCREENSHOTS")
"""A folder: journeys that call `shoot` leave their pictures there; unset: none are taken."""

PATIENCE = 60.0
"""Seconds that anything may take which the machine alone decides on; what is there at once costs none of it."""
expect.set_options(timeout=PATIENCE * 1000)

AXE_RUN = """() => axe.run(document, {
    iframes: false, resultTypes: ["violations"],
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
})"""

PASTED = """
[webhooks]
owner = "connection"
keyed_by = "pasted"
signatures = [{ header = "X-Beacon-Signature", prefix = "sha256=" }]
type = "event"
id = ["delivery"]
kinds = [{ type = "contact.*", stream = "contacts", ids = ["contact.id"], document = "contact" }]

[webhooks.by_hand]
steps = [
  "In Beacon, open Settings, Developers, Webhooks, and choose Add endpoint.",
  "Paste the address into Endpoint URL, and choose the contact events.",
  "Save. Beacon shows the endpoint's secret once: copy it.",
]
secret = "Endpoint secret"
test = "In Beacon, on the endpoint's page, choose Send a test event."
"""

OpenPage = Callable[..., Awaitable[Page]]
Check = Callable[[Page], Awaitable[None]]
Serve = Callable[..., Awaitable[str]]
Shoot = Callable[[Page, str], Awaitable[None]]
Organise = Callable[[str, str], Awaitable[None]]
Until = Callable[[Page, str, Locator], Awaitable[None]]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is not installed; journeys need Chromium (apt-get install chromium)."
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return str(CHROMIUM)


@pytest.fixture(scope="session")
async def browser(chromium_path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=chromium_path)
        yield chromium
        await chromium.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def start(app: object, *, host: str = "127.0.0.1") -> str:
        listener = socket.socket()
        listener.bind((host, 0))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, ws="none")  # type: ignore[arg-type]
        server = uvicorn.Server(config)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        running.append((server, task))
        while not server.started:
            if task.done():
                task.result()
                raise AssertionError("the server ended before it started; see its log above")
            await asyncio.sleep(0.02)
        return f"http://{host}:{listener.getsockname()[1]}"

    yield start
    for server, _ in running:
        server.should_exit = True
    for _, task in running:
        await task


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Arguments: width (1280), height (900), theme ("light" or "dark"), javascript (true), hosts (origins
    besides the page's own that may be asked), allow (words of console messages that the test expects)."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    async def make(
        *,
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
        javascript: bool = True,
        hosts: tuple[str, ...] = ("127.0.0.1",),
        allow: tuple[str, ...] = (),
        context: BrowserContext | None = None,
    ) -> Page:
        if context is None:
            context = await browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,  # type: ignore[arg-type]
                java_script_enabled=javascript,
                reduced_motion="reduce",
            )
            contexts.append(context)
        page = await context.new_page()

        def note(kind: str, text: str) -> None:
            if not any(word in text for word in allow):
                faults.append(f"{kind}: {text}")

        page.on("console", lambda m: note(m.type, m.text) if m.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: note("exception", str(error)))
        page.on(
            "request",
            lambda r: (
                note("foreign request", r.url)
                if urlsplit(r.url).scheme in {"http", "https", "ws", "wss"}
                and urlsplit(r.url).hostname not in hosts
                else None
            ),
        )
        return page

    yield make
    for context in contexts:
        await context.close()
    assert not faults, "the browser complained:\n" + "\n".join(faults)


async def _is_shown(frame: Frame, document: JSHandle) -> bool:
    """Whether a frame still shows this document; one that it has left is of a world that no call reaches."""
    try:
        return bool(await frame.evaluate("(asked) => asked === document", document))
    except PlaywrightError:
        return False


@pytest.fixture(scope="session")
def axe_source() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


@pytest.fixture
def axe(axe_source: str) -> Check:
    """Zero violations of axe-core, in every frame; the report names rule, element and reason."""

    async def look(frame: Frame) -> dict[str, Any]:
        """What axe-core says of a frame's document; of the next one where a click is still bringing it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            await frame.wait_for_load_state()
            document: JSHandle | None = None
            try:
                document = await frame.evaluate_handle("() => document")
                # A page's own policy forbids injected scripts, so axe enters through the debugger, not a script tag.
                await frame.evaluate(axe_source + "; undefined")
                return dict(await frame.evaluate(AXE_RUN))
            except PlaywrightError:
                if time.monotonic() > deadline or (document and await _is_shown(frame, document)):
                    raise
            await asyncio.sleep(0.1)

    async def ask(page: Page) -> None:
        report: list[str] = []
        for frame in page.frames:
            # Frame by frame: from the top, axe posts messages that a frame of another origin refuses loudly.
            result = await look(frame)
            assert result["passes"], "axe-core looked at nothing"
            report += [
                f"{frame.url}: {found['id']}: {found['help']}\n    {node['html'][:220]}"
                f"\n    {node['failureSummary']}"
                for found in result["violations"]
                for node in found["nodes"]
            ]
        assert not report, f"axe-core at {page.url}:\n" + "\n".join(report)

    return ask


@pytest.fixture
def check(axe: Check) -> Check:
    """axe-core, and nothing wider than the window."""

    async def ask(page: Page) -> None:
        await axe(page)
        wide = await page.evaluate(
            """() => {
              const room = document.documentElement.clientWidth;
              if (document.documentElement.scrollWidth <= room) return [];
              return [...document.querySelectorAll("body *")]
                .filter((e) => e.getBoundingClientRect().right > room + 1 && !e.closest(".table-wrap, pre"))
                .map((e) => e.outerHTML.slice(0, 160)).concat("(document)").slice(0, 8);
            }"""
        )
        assert not wide, f"wider than the window at {page.url}:\n" + "\n".join(wide)

    return ask


@pytest.fixture
def shoot() -> Shoot:
    async def take(page: Page, name: str) -> None:
        if SHOTS:
            await page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)

    return take


@pytest.fixture
def until() -> Until:
    async def look(page: Page, address: str, shown: Locator) -> None:
        """Looked at again and again, as somebody who waits would; for pages that do not renew themselves."""
        deadline = time.monotonic() + PATIENCE
        await page.goto(address)
        while not await shown.count():
            assert time.monotonic() < deadline, f"{address} never showed {shown}"
            await page.wait_for_timeout(300)
            await page.reload()

    return look


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """`trunkline up --demo`, running: the real processes, servers and data, in a folder of the session's own."""

    origin: str
    sandbox: str
    product: str
    data: Path
    member_password: str
    staff_password: str
    api_key: str
    acme: Path
    """A partner's connector, as the scaffold made it; the sandbox simulates it."""
    beacon: Path
    """Another one, whose webhooks are signed with a secret that only its own pages show."""

    def control(self, method: str, path: str, body: object = None) -> Any:
        """The simulated HubSpot's control API."""
        url = f"{self.sandbox}/hubspot/_control/api/{path}"
        answer = httpx2.request(method, url, json=body, headers={"origin": self.sandbox}, timeout=20)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def live(self, account: str, kind: str) -> int:
        """How many objects of a kind the simulated account has."""
        state = self.control("GET", "state")
        return next(
            row["live"] for row in state["counts"] if (row["account"], row["object"]) == (account, kind)
        )

    def api(self, path: str, **params: object) -> Any:
        """The product's API, as its backend would ask."""
        headers = {"authorization": f"Bearer {self.api_key}"}
        answer = httpx2.get(f"{self.origin}/v1/{path}", params=params, headers=headers, timeout=20)  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="session")
def demo(chromium_path: str, free_ports: Callable[[int], list[int]]) -> Iterator[Demo]:
    folder = Path(tempfile.mkdtemp(prefix="trunkline-journey-"))
    web, sandbox, product = free_ports(3)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    environment |= {
        "TRUNKLINE_DATA": str(folder / "data"),
        "TRUNKLINE_PORT": str(web),
        "TRUNKLINE_SANDBOX_PORT": str(sandbox),
        "TRUNKLINE_PRODUCT_PORT": str(product),
        "TRUNKLINE_CHECK_SECONDS": "5",
        "TRUNKLINE_SANDBOX_CONNECTORS": os.pathsep.join(str(folder / name) for name in ("acme", "beacon")),
    }
    scaffold("acme", folder, "Roadrunner")
    scaffold("beacon", folder, "Beacon")
    with (folder / "beacon" / "manifest.toml").open("a") as manifest:
        manifest.write(PASTED)
    output = folder / "up.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "trunkline.main", "up", "--demo"],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 90
        while b"Ready after" not in output.read_bytes():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, f"not ready within 90 s:\n{output.read_text()}"
            time.sleep(0.1)
        secrets = msgspec.json.decode((folder / "data" / "sandbox" / "demo.json").read_bytes())
        yield Demo(
            origin=f"http://127.0.0.1:{web}",
            sandbox=f"http://127.0.0.1:{sandbox}",
            product=f"http://127.0.0.1:{product}",
            data=folder / "data",
            member_password=secrets["member_password"],
            staff_password=secrets["staff_password"],
            api_key=secrets["api_key"],
            acme=folder / "acme",
            beacon=folder / "beacon",
        )
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
async def organisation(demo: Demo) -> AsyncIterator[Organise]:
    """`await organisation("hooli", "Hooli")` makes the tenant, owner@hooli.example and viewer@hooli.example."""
    db = Database(EmbeddedServers(demo.data).database_url, application="journeys")
    directory = Directory(db)

    async def make(slug: str, name: str) -> None:
        tenant = await directory.create_tenant(slug, name)
        for role in ("owner", "viewer"):
            email = f"{role}@{slug}.example"
            user = await directory.create_user(email, f"{name} {role}", demo.member_password)
            await directory.set_member(tenant.id, user.id, role)

    yield make
    await db.dispose()


class Portal:
    """What every journey does in the portal, by hand."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo

    async def sign_in(self, page: Page, email: str) -> None:
        await page.goto(f"{self._demo.origin}/login")
        await page.get_by_label("E-mail address").fill(email)
        await page.get_by_label("Password").fill(self._demo.member_password)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page).to_have_url(f"{self._demo.origin}/portal")

    async def consent(self, page: Page, account: str) -> None:
        """On the provider's page: choose the account and say yes."""
        await page.get_by_text(account).click()
        await page.get_by_role("button", name="Connect app").click()

    async def connect(self, page: Page, account: str) -> str:
        """From the catalogue through the provider and back; the new connection's id."""
        await page.goto(f"{self._demo.origin}/portal/connect")
        await page.get_by_role("button", name="Connect HubSpot").click()
        await self.consent(page, account)
        await expect(page.get_by_role("status").get_by_text("HubSpot is connected.")).to_be_visible()
        return page.url.rsplit("/", 1)[1]

    async def use_suggested(self, page: Page, connection_id: str, name: str) -> None:
        await page.goto(f"{self._demo.origin}/portal/connections/{connection_id}/recipes/new")
        await page.get_by_role("button", name=f"Use this recipe: {name}").click()
        await expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()

    async def open(self, page: Page, connection_id: str) -> None:
        await page.goto(f"{self._demo.origin}/portal/connections/{connection_id}")


@pytest.fixture
def portal(demo: Demo) -> Portal:
    return Portal(demo)
