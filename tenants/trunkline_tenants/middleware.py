"""Who is calling: an API key under /v1, a session's cookie elsewhere. Decides nothing; `AccessGuard` does.

Sets `scope["user"]` (Principal or None), `scope["auth"]` (Login or None), and in the request's state
`csrf_token` and `flashes` for templates. A `public` route costs no query unless it has `session` too.
"""

from collections.abc import Sequence
from typing import Any

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.enums import ScopeType
from litestar.middleware.base import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from trunkline.kernel.problems import is_api
from trunkline.kernel.settings import Settings
from trunkline_tenants import cookies
from trunkline_tenants.api_keys import Refused
from trunkline_tenants.directory import Directory
from trunkline_tenants.keys import new_secret
from trunkline_tenants.logins import Logins


class Authentication(ASGIMiddleware):
    scopes = (ScopeType.HTTP,)

    def __init__(self, settings: Settings, directory: Directory, logins: Logins) -> None:
        self._settings = settings
        self._directory = directory
        self._logins = logins

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        scope["user"] = scope["auth"] = None
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope)
        opt = connection.route_handler.opt
        if is_api(scope):
            scope["user"] = await self._api_key(connection)
        elif not opt.get("public") or opt.get("session"):
            send = await self._browser(connection, send)
        await next_app(scope, receive, send)

    async def _api_key(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Any:
        scheme, _, key = connection.headers.get("authorization", "").partition(" ")
        found = await self._directory.check_key(key.strip() if scheme.lower() == "bearer" else "")
        if isinstance(found, Refused):
            connection.scope["state"]["key_refused"] = found.reason
            return None
        return found

    async def _browser(self, connection: ASGIConnection[Any, Any, Any, Any], send: Send) -> Send:
        settings, scope, given = self._settings, connection.scope, connection.cookies
        state = scope.setdefault("state", {})
        held = cookies.secret_in(given.get(cookies.session_name(settings)))
        login = await self._logins.resolve(held) if held else None
        added: list[Cookie] = []
        form = cookies.secret_in(given.get(cookies.form_name(settings)))
        state["form_token"] = form
        if login is not None:
            scope["auth"], scope["user"] = login, login.principal
            state["csrf_token"] = login.csrf
        else:
            state["csrf_token"] = form or new_secret()
            if form is None:
                added.append(cookies.form_cookie(settings, state["csrf_token"]))
        whole = connection.headers.get("hx-request") != "true"
        state["flashes"] = cookies.read_flash(given.get(cookies.flash_name(settings))) if whole else ()
        if state["flashes"]:
            added.append(cookies.no_flash_cookie(settings))
        return _adding(send, added) if added else send


def _adding(send: Send, added: Sequence[Cookie]) -> Send:
    """Only pages: a redirect keeps the message for the page that it leads to."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            if message["status"] < 300 or message["status"] >= 400:
                for cookie in added:
                    headers.add("set-cookie", cookie.to_header(header=""))
        await send(message)

    return sending
