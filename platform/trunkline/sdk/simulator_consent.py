"""The authorize page that every simulated OAuth provider shares."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import jinja2
from litestar import MediaType, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from trunkline.sdk.simulator_gate import HOST, AnyRequest
from trunkline.sdk.simulator_oauth import (
    AuthorizationPageError,
    AuthorizationRedirectError,
    AuthorizationRequest,
    OAuthServer,
)

PAGES = Path(__file__).parent / "simulator_pages"
PAGE_HEADERS = {
    # No frames: like the real consent pages, it must be a page or a popup of its own.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(PAGES),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class AccountCard(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def host(self) -> str: ...


class Consenting(Protocol):
    name: str
    title: str
    authorize_path: str
    oauth: OAuthServer

    @property
    def accounts(self) -> tuple[AccountCard, ...]: ...


def consent_handlers(simulator: Consenting) -> list[HTTPRouteHandler]:
    """GET and POST of the authorize page, and the style sheet it needs; only that where there is no page."""

    @get("/_static/simulator.css", media_type="text/css", sync_to_thread=False)
    def style() -> str:
        return (PAGES / "simulator.css").read_text(encoding="utf-8")

    if not simulator.authorize_path:
        return [style]

    @get(simulator.authorize_path)
    async def authorize(request: AnyRequest) -> Response[str] | Redirect:
        try:
            asked = simulator.oauth.begin(dict(request.query_params))
        except AuthorizationPageError as error:
            return _page("simulator_refused.html", simulator, {"message": str(error)}, 400)
        except AuthorizationRedirectError as error:
            return Redirect(error.location, status_code=302)
        host = request.scope.get(HOST)
        accounts = [item for item in simulator.accounts if not host or item.host in {"", host}]
        if not accounts:
            return _page(
                "simulator_refused.html", simulator, {"message": "No account has this address."}, 404
            )
        return _page("simulator_consent.html", simulator, _context(simulator, asked, accounts))

    @post(simulator.authorize_path)
    async def decide(request: AnyRequest) -> Response[str] | Redirect:
        form = await request.form()
        request_id = str(form.get("request", ""))
        account = str(form.get("account", ""))
        try:
            if form.get("decision") != "connect":
                return Redirect(simulator.oauth.deny(request_id), status_code=302)
            if account not in {item.id for item in simulator.accounts}:
                message = "Choose one of the accounts on the page. Go back and start again from the app."
                return _page("simulator_refused.html", simulator, {"message": message}, 400)
            optional = [str(value) for value in form.getall("optional", [])]
            return Redirect(simulator.oauth.approve(request_id, account, optional), status_code=302)
        except AuthorizationPageError as error:
            return _page("simulator_refused.html", simulator, {"message": str(error)}, 400)

    return [authorize, decide, style]


def _context(
    simulator: Consenting, asked: AuthorizationRequest, accounts: Sequence[AccountCard]
) -> dict[str, object]:
    words = simulator.oauth.scopes
    return {
        "asked": asked,
        "app": asked.client.name or asked.client.client_id,
        "host": urlsplit(asked.redirect_uri).netloc,
        "accounts": accounts,
        "scopes": [(scope, words.get(scope, scope)) for scope in asked.scopes],
        "optional": [(scope, words[scope]) for scope in asked.optional],
    }


def _page(
    template: str, simulator: Consenting, context: Mapping[str, object], status: int = 200
) -> Response[str]:
    body = _templates.get_template(template).render(simulator=simulator, **context)
    return Response(body, status_code=status, media_type=MediaType.HTML, headers=PAGE_HEADERS)
