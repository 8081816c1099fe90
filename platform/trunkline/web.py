"""The web application, assembled from parts given to it: every response's frame, probes, errors, schema.

Cross-cutting rules live here so that no controller can forget them: a request id, one access line without
query or address, security headers, a body limit, problem documents, and only /v1 in the schema.
"""

import asyncio
import ipaddress
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import lru_cache
from typing import Any

import structlog
from litestar import Litestar, Response, Router, get
from litestar.datastructures import MutableScopeHeaders
from litestar.di import Provide
from litestar.middleware.base import ASGIMiddleware
from litestar.openapi.spec import PathItem
from litestar.template import TemplateConfig
from litestar.types import ASGIApp, ControllerRouterHandler, Guard, Message, Scope
from sqlalchemy import text

from trunkline.kernel.db import Database
from trunkline.kernel.openapi import openapi_config
from trunkline.kernel.principal import CLIENT_ADDRESS
from trunkline.kernel.problems import ErrorPage, exception_handlers
from trunkline.kernel.settings import Settings

BODY_LIMIT = 1024 * 1024
"""Bytes; a handler that needs another limit sets `request_max_body_size`."""

PROBE_SECONDS = 2.0

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of whatever is no page of ours: no script at all. A page brings its own, with a nonce for its scripts."""
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
        "magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"
    ),
    "cache-control": "no-store",
}
"""Defaults: a response's own value wins, which is how the widget's frame names who may frame it."""

HSTS = "max-age=31536000"

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

Check = Callable[[], Awaitable[object]]

_log = structlog.get_logger("trunkline.access")


class Web(Litestar):
    """Litestar with a frame around all it does, requests that match no route included."""

    settings: Settings
    mounts: Mapping[str, ASGIApp]
    """Prefix of a path -> a bare application: no session, no cookie and no guard is of any use to it."""
    frame: Sequence[tuple[bytes, bytes]]
    """Headers of every answer of such an application, which sets none of them itself."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        identity = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = identity
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=identity)
        address = CLIENT_ADDRESS.set(_client(scope))
        started, status = time.perf_counter(), 0

        async def plainly(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self.frame, (b"x-request-id", identity.encode())]
            await send(message)

        async def framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _set_headers(MutableScopeHeaders.from_message(message), scope, self.settings, identity)
            await send(message)

        try:
            path = scope["path"]
            mounted = next((app for prefix, app in self.mounts.items() if path.startswith(prefix)), None)
            if mounted is not None:
                await mounted(scope, receive, plainly)
            else:
                await super().__call__(scope, receive, framed)
        finally:
            CLIENT_ADDRESS.reset(address)
            if self.settings.access_log:
                _log.info(
                    "request",
                    method=scope["method"],
                    path=scope.get("path_template") or "-",
                    status=status,
                    ms=round((time.perf_counter() - started) * 1000, 1),
                )


def _request_id(scope: Scope) -> str:
    """A proxy's id if it is a plain one, else our own."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _GIVEN_ID.fullmatch(found := value.decode("latin-1")):
            return found
    return secrets.token_hex(12)


def _client(scope: Scope) -> str | None:
    """What the web server says; it trusts a proxy's header only as it was told to. None: a unix socket."""
    return _spelt((scope.get("client") or ("",))[0])


@lru_cache(maxsize=1024)
def _spelt(host: str) -> str | None:
    """An address in its one spelling: a client that sends much comes from few."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _set_headers(headers: MutableScopeHeaders, scope: Scope, settings: Settings, identity: str) -> None:
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    handler = scope.get("route_handler")
    opt: Mapping[str, Any] = handler.opt if handler is not None else {}
    # a popup of the OAuth flow must stay in touch with the page that opened it
    opener = "unsafe-none" if opt.get("popup") else "same-origin"
    headers.setdefault("cross-origin-opener-policy", opener)
    if settings.secure:
        headers.setdefault("strict-transport-security", HSTS)
    headers["x-request-id"] = identity


def create_app(
    settings: Settings,
    services: Mapping[str, Any],
    *,
    api: Sequence[ControllerRouterHandler],
    pages: Sequence[ControllerRouterHandler],
    error_page: ErrorPage,
    guards: Sequence[Guard],
    middleware: Sequence[ASGIMiddleware] = (),
    dependencies: Mapping[str, Provide] | None = None,
    checks: Mapping[str, Check] | None = None,
    template_config: TemplateConfig[Any] | None = None,
    mounts: Mapping[str, ASGIApp] | None = None,
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
    webhooks: Mapping[str, PathItem] | None = None,
    schemas: Mapping[str, Any] | None = None,
) -> Web:
    """`services` go to handlers by their names; `api` controllers carry their whole path, /v1 included.

    `webhooks` and the `schemas` they refer to go into the API's description.
    `guards` see every request but the probes and the schema. `checks` are what /readyz asks, by name.
    """
    provided = {name: _constant(service) for name, service in services.items()}
    app = Web(
        route_handlers=[
            Router("/", route_handlers=list(api), include_in_schema=True),
            *pages,
            healthz,
            _readyz(checks or {}),
        ],
        dependencies={**provided, **(dependencies or {})},
        middleware=list(middleware),
        guards=list(guards),
        exception_handlers=exception_handlers(error_page),
        include_in_schema=False,
        openapi_config=openapi_config(webhooks or {}, schemas or {}),
        request_max_body_size=BODY_LIMIT,
        template_config=template_config,
        lifespan=list(lifespan),
        logging_config=None,
        debug=False,
    )
    app.settings = settings
    app.mounts = mounts or {}
    frame = _HEADERS | {"cross-origin-opener-policy": "same-origin"}
    if settings.secure:
        frame["strict-transport-security"] = HSTS
    app.frame = [(name.encode(), value.encode()) for name, value in frame.items()]
    return app


def _constant(service: Any) -> Provide:
    return Provide(lambda: service, sync_to_thread=False)


@get("/healthz", opt={"public": True}, sync_to_thread=False, media_type="application/json")
def healthz() -> dict[str, str]:
    """The process answers; nothing else is asked, so that a database's outage restarts no web process."""
    return {"status": "ok"}


def _readyz(checks: Mapping[str, Check]) -> Any:
    @get("/readyz", opt={"public": True}, name="readyz")
    async def readyz() -> Response[dict[str, Any]]:
        states = await asyncio.gather(*(_probe(check) for check in checks.values()))
        ready = all(states)
        return Response(
            {
                "status": "ok" if ready else "unavailable",
                "checks": {
                    name: "ok" if state else "unreachable" for name, state in zip(checks, states, strict=True)
                },
            },
            status_code=200 if ready else 503,
            headers={} if ready else {"retry-after": "5"},
        )

    return readyz


async def _probe(check: Check) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await check()
    except Exception:  # noqa: BLE001 - whatever it is, the part is not ready
        return False
    return True


def database_check(db: Database) -> Check:
    async def check() -> None:
        async with db.system() as session:
            await session.execute(text("SELECT 1"))

    return check
