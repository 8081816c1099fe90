"""Templates: they compile, escape whatever is put in, and need nothing inline or from elsewhere."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError
from litestar import Litestar, get
from litestar.testing import RequestFactory, create_test_client

from trunkline.kernel.clock import now
from trunkline_ui import assets, gallery, rendering, theme
from trunkline_ui.rendering import Flash, NavItem, Shell, content_policy, create_environment, page

ENVIRONMENT = create_environment()
UI = ENVIRONMENT.globals["ui"]
TEMPLATES = ENVIRONMENT.list_templates()
HOSTILE = """"><script>alert(1)</script><img src=x onerror=alert(1)>' onmouseover='x {{ 1009*1013 }}"""


class Outline(HTMLParser):
    """Tags and attributes as a browser would read them; unbalanced tags fail."""

    VOID = frozenset({"input", "meta", "link", "hr", "br", "img"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"attribute twice on <{tag}>: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        self.text += data


def strict(text: str) -> Outline:
    outline = Outline(text)
    for tag, attributes in outline.tags:
        assert tag not in {"style", "iframe", "object", "embed", "base"}, tag
        assert tag != "script" or attributes.get("src"), "inline script"
        for name, value in attributes.items():
            assert not name.startswith("on"), f"{name} on <{tag}>"
            assert name != "style", f"style on <{tag}>"
            if name in {"src", "href", "action", "hx-get", "hx-post", "poster", "srcset"}:
                assert not re.match(r"\s*(https?:|//|javascript:|data:)", value or ""), f"{name}={value}"
    return outline


CASES = {
    "button": lambda: UI.button(HOSTILE, name=HOSTILE, value=HOSTILE, attrs={"title": HOSTILE}),
    "link_button": lambda: UI.link_button(HOSTILE, HOSTILE, attrs={"title": HOSTILE}),
    "action_form": lambda: UI.action_form(HOSTILE, HOSTILE, HOSTILE, hidden={HOSTILE: HOSTILE}),
    "copy_button": lambda: UI.copy_button(HOSTILE, label=HOSTILE),
    "confirm": lambda: UI.confirm(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, hidden={HOSTILE: HOSTILE}
    ),
    "confirm_panel": lambda: UI.confirm_panel(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, hidden={HOSTILE: HOSTILE}
    ),
    "csrf_input": lambda: UI.csrf_input(HOSTILE),
    "field": lambda: UI.field(
        HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, False, HOSTILE, HOSTILE, HOSTILE, HOSTILE
    ),
    "select": lambda: UI.select(
        HOSTILE,
        HOSTILE,
        [(HOSTILE, HOSTILE), {"label": HOSTILE, "options": [(HOSTILE, HOSTILE)]}],
        HOSTILE,
        HOSTILE,
        HOSTILE,
        empty=HOSTILE,
    ),
    "textarea": lambda: UI.textarea(HOSTILE, HOSTILE, "</textarea>" + HOSTILE, HOSTILE, HOSTILE, code=True),
    "checkbox": lambda: UI.checkbox(HOSTILE, HOSTILE, True, HOSTILE, HOSTILE, HOSTILE),
    "radio_cards": lambda: UI.radio_cards(
        HOSTILE,
        HOSTILE,
        [{"value": HOSTILE, "label": HOSTILE, "hint": HOSTILE, "meta": HOSTILE}],
        HOSTILE,
        HOSTILE,
        HOSTILE,
    ),
    "search": lambda: UI.search(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
    "error_summary": lambda: UI.error_summary([(HOSTILE, HOSTILE)], HOSTILE),
    "badge": lambda: UI.badge(HOSTILE),
    "pill": lambda: UI.pill(HOSTILE),
    "avatar": lambda: UI.avatar(HOSTILE),
    "connector_tile": lambda: UI.connector_tile(HOSTILE),
    "grade_badge": lambda: UI.grade_badge({"grade": HOSTILE}),
    "grade_evidence": lambda: UI.grade_evidence(
        {"rules": [{"title": HOSTILE, "grade": HOSTILE, "standing": HOSTILE, "detail": HOSTILE}]}
    ),
    "brand": lambda: UI.brand(HOSTILE, HOSTILE),
    "icon": lambda: UI.icon("x", HOSTILE, HOSTILE),
    "nav": lambda: UI.nav(
        Shell(area="portal", nav=[NavItem(HOSTILE, HOSTILE, count=3)], current=HOSTILE, name=HOSTILE)
    ),
    "account_panel": lambda: UI.account_panel(
        Shell(area="portal", nav=[], current="", name=HOSTILE, logout=HOSTILE), HOSTILE, HOSTILE, HOSTILE
    ),
    "theme_switch": lambda: UI.theme_switch(HOSTILE, HOSTILE, HOSTILE),
    "page_header": lambda: UI.page_header(HOSTILE, [(HOSTILE, HOSTILE)], HOSTILE),
    "card": lambda: UI.card(HOSTILE, HOSTILE, HOSTILE, id=HOSTILE, caller=lambda: HOSTILE),
    "tabs": lambda: UI.tabs([(HOSTILE, HOSTILE, True, 3)], HOSTILE),
    "key_values": lambda: UI.key_values([(HOSTILE, HOSTILE)]),
    "stats": lambda: UI.stats([{"label": HOSTILE, "value": HOSTILE, "hint": HOSTILE, "tone": HOSTILE}]),
    "empty": lambda: UI.empty(HOSTILE, HOSTILE),
    "timeline": lambda: UI.timeline(
        [{"title": HOSTILE, "at": datetime.now(UTC), "text": HOSTILE, "by": HOSTILE, "href": HOSTILE}]
    ),
    "stepper": lambda: UI.stepper([{"label": HOSTILE, "state": "done", "href": HOSTILE, "hint": HOSTILE}]),
    "list_row": lambda: UI.list_row(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    "list_rows": lambda: UI.list_rows(caller=lambda: HOSTILE),
    "live": lambda: UI.live(HOSTILE, HOSTILE, caller=lambda: HOSTILE),
    "callout": lambda: UI.callout(HOSTILE, HOSTILE),
    "hook_drift": lambda: UI.hook_drift(HOSTILE, [HOSTILE, HOSTILE]),
    "flashes": lambda: UI.flashes([Flash(HOSTILE)]),
    "pasted_secret": lambda: "".join(
        UI.pasted_secret(
            pasted, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, caller=lambda: HOSTILE
        )
        for pasted in (
            {"keyed": False, "guide": {"steps": [HOSTILE], "secret": HOSTILE, "test": HOSTILE}},
            {
                "keyed": True,
                "refused": "unverifiable",
                "refused_at": now(),
                "guide": {"steps": [], "secret": HOSTILE, "test": ""},
            },
        )
    ),
    "progress": lambda: UI.progress(HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    "spinner": lambda: UI.spinner(HOSTILE),
    "skeleton": lambda: UI.skeleton(2, HOSTILE),
    "table": lambda: UI.table(
        HOSTILE,
        [HOSTILE, {"label": HOSTILE, "href": HOSTILE, "sort": "none"}],
        False,
        HOSTILE,
        caller=lambda: HOSTILE,
    ),
    "cell": lambda: UI.cell(HOSTILE, HOSTILE, caller=lambda: HOSTILE),
    "pagination": lambda: UI.pagination(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    "diff": lambda: UI.diff(
        HOSTILE,
        [{"field": HOSTILE, "before": HOSTILE, "after": HOSTILE, "change": "changed", "note": HOSTILE}],
        HOSTILE,
        HOSTILE,
    ),
    "code_block": lambda: UI.code_block(HOSTILE, HOSTILE, HOSTILE),
    "json_view": lambda: UI.json_view({HOSTILE: [HOSTILE, None, 1.5, True]}, HOSTILE, HOSTILE),
}
WITHOUT_INPUT = {"mark", "icon_names", "badge_names", "toast_shelf"}


def test_every_component_is_tried_with_hostile_text():
    assert set(UI._home) == set(CASES) | WITHOUT_INPUT


@pytest.mark.parametrize("macro", sorted(CASES))
def test_component_escapes_whatever_is_put_in(macro):
    text = str(CASES[macro]())
    outline = strict(text)
    assert not [tag for tag, _ in outline.tags if tag in {"script", "img"}]
    visible = outline.text + "".join(
        value or "" for _, attributes in outline.tags for value in attributes.values()
    )
    assert "1022117" not in visible, "an expression was evaluated"
    if macro not in {"avatar", "connector_tile"}:
        assert "alert(1)" in visible


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_compiles_and_holds_nothing_inline(name):
    source, _, _ = ENVIRONMENT.loader.get_source(ENVIRONMENT, name)
    ENVIRONMENT.get_template(name)
    assert not re.search(r"<[a-z][^>{]*\sstyle\s*=", source), "style attribute"
    assert not re.search(r"<[a-z][^>{]*\son[a-z]+\s*=", source), "event attribute"
    assert not re.search(r"<script(?![^>]*\ssrc=)", source), "inline script"
    assert "<style" not in source
    assert not re.search(r"""(?:src|href|action|hx-[a-z]+)\s*=\s*["'](?:https?:)?//""", source), (
        "foreign address"
    )
    assert "hx-on" not in source, "htmx would evaluate it"
    assert not re.search(r"""hx-trigger\s*=\s*["'][^"']*\[""", source), "a trigger filter needs eval"


def test_every_form_that_posts_carries_the_token():
    for name in TEMPLATES:
        source, _, _ = ENVIRONMENT.loader.get_source(ENVIRONMENT, name)
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", source, re.DOTALL):
            # the widget's frame has no cookie session to borrow: its own secret key goes along instead
            token = "frame_key" if name == "widget/frame.html" else "csrf"
            assert token in form, f"{name}: {form[:120]}"


def test_unknown_component_and_unknown_name_are_errors():
    with pytest.raises(AttributeError, match="no component 'buton'"):
        _ = UI.buton
    with pytest.raises(UndefinedError):
        ENVIRONMENT.from_string("{{ nothing_like_it }}").render()


# ---- pages ----


def client():
    return create_test_client(
        [assets.static_file, theme.choose_theme, *gallery.HANDLERS],
        template_config=rendering.template_config(),
    )


@pytest.mark.parametrize(
    "path", ["", "?area=console", "/wizard", "/auth", "/frame", "/popup", "/403", "/404", "/500", "/409"]
)
def test_gallery_page_is_strict(path):
    with client() as http:
        answer = http.get(f"/ui/gallery{path}")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    outline = strict(answer.text.removeprefix("<!doctype html>"))
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), sorted(name for name in ids if ids.count(name) > 1)
    for _, attributes in outline.tags:
        described = (attributes.get("aria-describedby") or "").split() + (
            attributes.get("aria-labelledby") or ""
        ).split()
        assert set(described) <= set(ids)


def test_an_error_says_what_to_do_once():
    """Who may not do something is told whom to ask; whose form is stale, how to send it all the same."""

    @get("/refused", sync_to_thread=False)
    def refused() -> rendering.Page:
        return rendering.error_page(403, code="not_allowed", detail="Ask an owner to do it.")

    @get("/stale", sync_to_thread=False)
    def stale() -> rendering.Page:
        return rendering.error_page(403, code="csrf", detail="This form is too old. Reload the page.")

    with create_test_client([refused, stale], template_config=rendering.template_config()) as http:
        role, form = http.get("/refused").text, http.get("/stale").text
    assert "You may not do this" in role
    assert role.count("Ask an owner") == 1
    assert "form" not in role.partition("<main")[2]
    assert "Nothing was changed" in form
    assert "This form is too old." in form
    assert "role" not in form.partition("<main")[2].replace('role="status"', "")


def test_htmx_gets_the_block_and_browsers_the_page():
    with client() as http:
        full = http.get("/ui/gallery")
        block = http.get("/ui/gallery", headers={"HX-Request": "true"})
        boosted = http.get("/ui/gallery", headers={"HX-Request": "true", "HX-Boosted": "true"})
        history = http.get(
            "/ui/gallery", headers={"HX-Request": "true", "HX-History-Restore-Request": "true"}
        )
    assert block.text.strip().startswith('<div id="live"')
    assert "<html" not in block.text
    assert len(block.text) < len(full.text) / 5
    assert all("</html>" in answer.text for answer in (full, boosted, history))
    assert "HX-Request" in full.headers["vary"]


@pytest.mark.parametrize(
    ("target", "wanted"), [("status", "status"), ("run-history", "run_history"), ("other", None), ("", None)]
)
def test_of_several_blocks_the_target_decides(target, wanted):
    request = RequestFactory(app=Litestar([])).get("/", headers={"HX-Request": "true", "HX-Target": target})
    assert page("x.html", block=("status", "run_history")).block_for(request) == wanted


def test_policy_names_whom_it_is_told_and_nobody_else():
    assert "frame-ancestors 'none'" in content_policy()
    assert "form-action 'self';" in content_policy()
    told = content_policy(form_targets=["https://app.hubspot.com"], ancestors=["https://product.example"])
    assert "form-action 'self' https://app.hubspot.com;" in told
    assert told.endswith("frame-ancestors https://product.example")
    assert "unsafe" not in told
    with pytest.raises(ValueError, match="origin"):
        content_policy(ancestors=["https://a.example; script-src *"])


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("/portal?x=1", "/portal?x=1"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x=1", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
    ],
)
def test_theme_form_returns_within_the_site(wanted, got):
    with client() as http:
        answer = http.post("/ui/theme", data={"theme": "dark", "return_to": wanted}, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"] == got
        assert 'data-theme="dark"' in http.get("/ui/gallery").text
        http.post("/ui/theme", data={"theme": "system"}, follow_redirects=False)
        assert "data-theme=" not in http.get("/ui/gallery").text
        assert http.post("/ui/theme", data={"theme": '"><b>'}, follow_redirects=False).status_code == 400
