"""Pages: the Jinja environment, and `page()`, the only way HTML leaves the server.

    @get("/portal/connections/{connection_id:uuid}")
    async def show(request: Request, ...) -> Page:
        return page("portal/connection.html", {"shell": shell, "connection": view}, block="status")

    {% extends "layouts/app.html" %}
    {% block title %}{{ connection.name }}{% endblock %}
    {% block main %}
      {{ ui.page_header(connection.name, [("Connections", "/portal/connections")]) }}
      {% block status %}
        {% call ui.live("status", "/portal/connections/1", when=running) %}...{% endcall %}
      {% endblock %}
    {% endblock %}

A browser gets the whole page; an htmx request gets only the block `status`. With several blocks, name each
after the id it replaces: `block=("status", "history")` answers `HX-Target: history` with the block `history`.
Every macro in `templates/components/` is at hand everywhere as `ui.<name>` (no import, blocks included).
The context always holds `csrf_token`, `principal`, `flashes`, `theme`, `request`, `nonce`
(see `Page.create_template_context`); a post form carries `{{ csrf_field() }}`.
"""

import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2_fragments import render_block
from litestar import Request
from litestar.background_tasks import BackgroundTask, BackgroundTasks
from litestar.datastructures import Cookie
from litestar.exceptions import ImproperlyConfiguredException
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response.base import ASGIResponse
from litestar.response.template import Template
from litestar.template import TemplateConfig
from markupsafe import Markup

from trunkline_ui.assets import Assets
from trunkline_ui.filters import FILTERS

Tone = Literal["neutral", "info", "success", "warning", "danger"]


NONCE = "{nonce}"


class NavItem(msgspec.Struct, frozen=True):
    label: str
    href: str
    icon: str = "dot"
    count: int | None = None
    """Shown beside the label unless None or 0."""
    tone: Literal["neutral", "danger"] = "neutral"


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """What `layouts/app.html` shows around a page; its context name is `shell`."""

    area: Literal["portal", "console"]
    nav: Sequence[NavItem]
    current: str
    """The href of the nav item this page belongs to."""
    name: str
    """Who is signed in."""
    detail: str = ""
    """Their e-mail or role."""
    organisation: str = ""
    switch: str = ""
    """Where another organisation is chosen; empty for who belongs to one."""
    home: str = "/"
    logout: str = "/logout"


class Flash(msgspec.Struct, frozen=True):
    """One message shown once, after a redirect."""

    text: str
    tone: Tone = "success"


class Components:
    """The macros of `templates/components/` as attributes."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._home = {
            macro: template
            for template in environment.list_templates()
            if template.startswith("components/")
            for macro in _exported(environment, template)
        }

    def __getattr__(self, macro: str) -> Callable[..., Markup]:
        try:
            template = self._environment.get_template(self._home[macro])
        except KeyError:
            raise AttributeError(f"There is no component {macro!r} in templates/components.") from None
        found: Callable[..., Markup] = getattr(template.module, macro)
        return found


def _exported(environment: Environment, template: str) -> Iterable[str]:
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, template)
    macros = environment.parse(source).find_all(nodes.Macro)
    return [macro.name for macro in macros if not macro.name.startswith("_")]


@pass_context
def csrf_field(context: Context) -> Markup:
    """The hidden field that every form with method post carries."""
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(context["csrf_token"])


def create_environment(*, reload: bool = False) -> Environment:
    """Autoescape always on, an unknown name is an error; `reload` looks at the files again (development)."""
    environment = Environment(
        loader=PackageLoader("trunkline_ui", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=reload,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    environment.filters.update(FILTERS)
    assets = Assets(reload=reload)
    environment.globals.update(assets=assets, asset=assets.url, csrf_field=csrf_field)
    environment.globals["nonce"] = ""  # a template rendered outside of a response: its scripts do not run
    environment.globals["ui"] = Components(environment)
    return environment


def template_config(*, reload: bool = False) -> TemplateConfig[JinjaTemplateEngine]:
    """For `Litestar(template_config=...)`."""
    return TemplateConfig(instance=JinjaTemplateEngine.from_environment(create_environment(reload=reload)))


def content_policy(*, form_targets: Sequence[str] = (), ancestors: Sequence[str] = ()) -> str:
    """Content-Security-Policy of a page: scripts by the response's nonce, the rest from this origin, nothing
    inline. `NONCE` stands where `Page` puts the nonce, a fresh one for each response.

    Chromium applies form-action to redirects that follow a form too: a form that ends at a provider's
    authorize page needs that origin in `form_targets`. `ancestors` may frame the page; nobody by default.
    ValueError for what is not an origin, so that no value can add a directive.
    """
    for origin in (*form_targets, *ancestors):
        if not re.fullmatch(r"https?://[\w.:\[\]-]+", origin, re.ASCII):
            raise ValueError(f"{origin!r} is not an origin such as https://app.example.com.")
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{NONCE}'",
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            " ".join(("form-action 'self'", *form_targets)),
            " ".join(("frame-ancestors", *(ancestors or ("'none'",)))),
        )
    )


class Page(Template):
    """A template, or one block of it for htmx; made by `page()`."""

    def __init__(
        self, template: str, context: dict[str, Any], blocks: tuple[str, ...], **response: Any
    ) -> None:
        super().__init__(template, context=context, media_type="text/html", **response)
        self.blocks = blocks

    def create_template_context(self, request: Request[Any, Any, Any]) -> dict[str, Any]:
        """What every page knows; a key given to `page()` wins.

        `csrf_token` and `flashes` come from `request.state` (set by whoever owns the session), `principal`
        from the authentication middleware's `request.user`, `theme` from the cookie of that name.
        """
        state = request.scope.setdefault("state", {})
        state["nonce"] = secrets.token_urlsafe(18)
        theme = request.cookies.get("theme", "")
        return {
            "csrf_token": state.get("csrf_token", ""),
            "flashes": state.get("flashes", ()),
            "principal": request.scope.get("user"),
            "theme": theme if theme in {"light", "dark"} else "",
            "request": request,
            "nonce": state["nonce"],
            **self.context,
        }

    def block_for(self, request: Request[Any, Any, Any]) -> str | None:
        """The block an htmx request wants; None, the whole page, for browsers, boosts and history."""
        headers = request.headers
        whole = headers.get("hx-boosted") or headers.get("hx-history-restore-request")
        if not self.blocks or headers.get("hx-request") != "true" or whole:
            return None
        if len(self.blocks) == 1:
            return self.blocks[0]
        target = headers.get("hx-target", "").replace("-", "_")
        return target if target in self.blocks else None

    def html(self, request: Request[Any, Any, Any]) -> str:
        engine = request.app.template_engine
        if not isinstance(engine, JinjaTemplateEngine):
            raise ImproperlyConfiguredException(
                "Litestar needs template_config=trunkline_ui.rendering.template_config()."
            )
        context = self.create_template_context(request)
        name = str(self.template_name)
        if block := self.block_for(request):
            return str(render_block(engine.engine, name, block, context))
        return engine.engine.get_template(name).render(context)

    def to_asgi_response(
        self,
        app: Any,  # noqa: ARG002  Litestar passes it, deprecated
        request: Request[Any, Any, Any],
        *,
        background: BackgroundTask | BackgroundTasks | None = None,
        cookies: Iterable[Cookie] | None = None,
        headers: dict[str, str] | None = None,
        is_head_response: bool = False,
        status_code: int | None = None,
        **_: Any,
    ) -> ASGIResponse:
        body = self.html(request).encode()
        nonce, given = request.scope["state"]["nonce"], {**(headers or {}), **self.headers}
        return ASGIResponse(
            background=self.background or background,
            body=body,
            cookies=[*self.cookies, *(cookies or ())],
            headers={name: value.replace(NONCE, nonce) for name, value in given.items()},
            is_head_response=is_head_response,
            media_type=self.media_type,
            status_code=self.status_code or status_code,
        )


def page(
    template: str,
    context: dict[str, Any] | None = None,
    *,
    block: str | tuple[str, ...] | None = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
    form_targets: Sequence[str] = (),
    ancestors: Sequence[str] = (),
) -> Page:
    """The response for a page; see the module's example. Never cached; strict policy by `content_policy`."""
    blocks = (block,) if isinstance(block, str) else block or ()
    safe = {
        "cache-control": "no-store",
        "content-security-policy": content_policy(form_targets=form_targets, ancestors=ancestors),
        "referrer-policy": "same-origin",
        "vary": "HX-Request, HX-Target, Cookie",
        "x-content-type-options": "nosniff",
    }
    return Page(template, context or {}, blocks, status_code=status, headers={**safe, **(headers or {})})


def error_page(
    status: int, *, code: str = "", detail: str = "", reference: str = "", home: str = "/"
) -> Page:
    """What happened and what to do; `detail` is a sentence for the reader, `reference` one for support,
    `code` the problem's. Who may not do something reads in `detail` whom to ask.
    """
    known: int | str = status if status in {403, 404, 500} else "generic"
    if code == "csrf":
        known = code
    told = known == 403 and bool(detail)
    context = {"status": status, "detail": detail, "reference": reference, "home": home, "told": told}
    return page(f"errors/{known}.html", context, status=status)
