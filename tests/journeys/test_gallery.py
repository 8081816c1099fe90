"""Every component in Chromium: accessible, within the window, silent, in both themes and both widths."""

import re

import pytest
from litestar import Litestar
from playwright.async_api import expect

from trunkline_ui import assets, gallery, rendering, theme

LAYOUTS = ["", "?area=console", "/wizard", "/auth", "/frame", "/popup", "/403", "/404", "/500", "/409"]


@pytest.fixture
async def origin(serve):
    app = Litestar(
        route_handlers=[assets.static_file, theme.choose_theme, *gallery.HANDLERS],
        template_config=rendering.template_config(),
    )
    return await serve(app)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_every_layout_is_accessible_and_fits(origin, open_page, check, shoot, width, scheme):
    page = await open_page(width=width, theme=scheme, allow=("status of 40", "status of 500"))
    for layout in LAYOUTS:
        answer = await page.goto(f"{origin}/ui/gallery{layout}")
        assert "script-src 'nonce-" in answer.headers["content-security-policy"]
        await check(page)
        await shoot(page, f"gallery{re.sub(r'[^a-z0-9]+', '-', layout)}-{width}-{scheme}")


async def test_live_part_renews_itself_and_keeps_focus(origin, open_page):
    page = await open_page()
    await page.goto(f"{origin}/ui/gallery")
    await page.locator("#live-pause").focus()
    async with page.expect_response(
        lambda answer: answer.request.headers.get("hx-request") == "true"
    ) as found:
        pass
    body = await (await found.value).text()
    assert body.strip().startswith('<div id="live"')
    assert "<html" not in body
    await expect(page.locator("#live-pause")).to_be_focused()


async def renewing(page, origin):
    """The gallery, its live part different each time: with a link and a form, neither of which has an id."""
    number = 0

    async def answer(route):
        nonlocal number
        if "hx-request" not in route.request.headers:
            await route.continue_()
            return
        number += 1
        await route.fulfill(
            content_type="text/html",
            body=f"""<div id="live" data-live hx-get="/ui/gallery" hx-trigger="every 1s" hx-target="this"
                hx-swap="outerHTML"><p data-number>{number}</p><a href="#actions">Run {number}</a>
                <form action="/elsewhere"><label>Note <input name="note"></label>
                <select aria-label="Pace"><option>slow</option><option>fast</option></select>
                <button type="button">Pause</button><button type="button">Stop</button></form></div>""",
        )

    await page.route("**/ui/gallery", answer)
    await page.goto(f"{origin}/ui/gallery")
    await expect(page.locator("[data-number]")).to_be_visible()
    return page


async def shown_next(page):
    before = await page.locator("[data-number]").text_content()
    await expect(page.locator("[data-number]")).not_to_have_text(before)


async def test_a_live_part_keeps_the_keyboards_place_without_ids(origin, open_page):
    page = await renewing(await open_page(), origin)
    for name, role in (("Stop", "button"), ("Run", "link")):
        found = page.get_by_role("main").locator("#live").get_by_role(role, name=name)
        await found.focus()
        await shown_next(page)
        await expect(found).to_be_focused()


async def test_a_live_part_waits_for_what_is_half_filled_in(origin, open_page):
    page = await renewing(await open_page(), origin)
    note, pause = page.get_by_label("Note"), page.locator("#live").get_by_role("button", name="Pause")
    for fill, clear in (
        (note.fill("half a"), note.fill("")),
        (page.get_by_label("Pace").select_option("fast"), page.get_by_label("Pace").select_option("slow")),
    ):
        await fill
        await pause.focus()
        before = await page.locator("[data-number]").text_content()
        for _ in range(2):  # an answer that came is not shown
            async with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
                pass
        await expect(page.locator("[data-number]")).to_have_text(before)
        await clear
        await pause.focus()
        await shown_next(page)


async def test_hidden_tab_does_not_ask(origin, open_page):
    page = await open_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "hx-request" in request.headers else None)
    await page.add_init_script("Object.defineProperty(document, 'hidden', {get: () => window.away === true})")
    await page.goto(f"{origin}/ui/gallery")
    await page.evaluate(
        """() => new Promise((polled) => {
          window.away = true;
          document.addEventListener("htmx:beforeRequest", polled, {once: true});
        })"""
    )
    assert asked == []
    async with page.expect_request(lambda request: "hx-request" in request.headers):
        await page.evaluate("window.away = false")


async def test_dialog_opens_closes_and_returns_focus(origin, open_page, axe):
    page = await open_page()
    await page.goto(f"{origin}/ui/gallery")
    trigger = page.get_by_role("link", name="Disconnect")
    await trigger.focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Disconnect HubSpot?")
    await expect(dialog).to_be_visible()
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await axe(page)
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()
    await expect(trigger).to_be_focused()


async def test_theme_choice_lasts(origin, open_page, check):
    page = await open_page()
    await page.goto(f"{origin}/ui/gallery")
    await page.locator(".sidebar summary").click()
    await page.get_by_role("button", name="Dark").click()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await check(page)
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.locator(".sidebar summary").click()
    await page.get_by_role("button", name="System").click()
    await page.reload()
    assert await page.locator("html").get_attribute("data-theme") is None


async def test_theme_choice_works_without_javascript(origin, open_page):
    page = await open_page(javascript=False)
    await page.goto(f"{origin}/ui/gallery/wizard")
    await page.locator(".sidebar summary").click()
    await page.get_by_role("button", name="Dark").click()
    await page.wait_for_url("**/ui/gallery/wizard")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_menu_at_phone_width(origin, open_page, check):
    page = await open_page(width=390)
    await page.goto(f"{origin}/ui/gallery")
    await page.locator(".topbar summary").click()
    await expect(page.get_by_role("link", name="Connections").first).to_be_visible()
    await check(page)
    await page.keyboard.press("Escape")
    await expect(page.locator(".topbar details")).not_to_have_attribute("open", "")


async def test_skip_link_is_first_and_leads_to_the_content(origin, open_page):
    page = await open_page()
    await page.goto(f"{origin}/ui/gallery/wizard")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.locator("#main")).to_be_focused()


async def test_failed_request_is_told_in_a_plain_sentence(origin, open_page, axe):
    page = await open_page(allow=("404", "htmx:responseError", "Response Status Error"))
    await page.goto(f"{origin}/ui/gallery/wizard")
    await page.evaluate("htmx.ajax('GET', '/ui/gallery/nothing', {target: '#main', swap: 'innerHTML'})")
    await expect(page.locator("#toasts .toast")).to_contain_text("This no longer exists.")
    await axe(page)


async def test_copy_says_so(origin, open_page, browser):
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = await open_page(context=context)
    await page.goto(f"{origin}/ui/gallery")
    button = page.locator("[data-copy='tl_live_123']")
    await button.click()
    await expect(button).to_contain_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == "tl_live_123"
    await context.close()
