"""May they: one guard for the whole application, so that a new route is closed until it says otherwise.

- `/v1`: a valid API key with the scope that the handler names (`kernel.scopes.needs`), an address and a body
  without surprises; the tenant it names or is bound to.
- `/portal`: a member; `/console`: staff; anything else: somebody signed in.
- A handler's `opt` widens or narrows: `public` (no sign-in), `session` (public, but look who it is),
  `can` (the Action it needs). An unsafe method without `can` is closed to everybody.
- Every unsafe method outside /v1: this site's Origin, and the token of the session or of the sign-in form.
"""

import hmac
from typing import Any, cast
from urllib.parse import quote, urlsplit

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from trunkline.kernel.errors import BadInputError, ForbiddenError, UnauthenticatedError
from trunkline.kernel.plaininput import check_address, read_json
from trunkline.kernel.principal import Principal
from trunkline.kernel.problems import SeeOtherError, is_api
from trunkline.kernel.scopes import Scope
from trunkline.kernel.settings import Settings
from trunkline_tenants.api_keys import Reason
from trunkline_tenants.directory import Directory
from trunkline_tenants.errors import ForgedRequestError, NotAllowedError, UnknownTenantError
from trunkline_tenants.permissions import SENTENCES, Action, can
from trunkline_tenants.schemas import Login

SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
HEADER = "trunkline-tenant"

REFUSALS: dict[Reason, str] = {
    "missing": "Send an API key: Authorization: Bearer tl_live_...",
    "malformed": "This API key is mistyped or cut off: its checksum does not match. Copy it again, whole.",
    "unknown": "There is no such API key. Ask the operator for one.",
    "revoked": "This API key is revoked. Ask the operator for another.",
    "expired": "This API key has expired. Ask the operator for another.",
    "replaced": "This API key was replaced by a newer one, and the time for changing over has passed.",
}

Connection = ASGIConnection[Any, Any, Any, Any]


class AccessGuard:
    """For `create_app(guards=[...])`."""

    def __init__(self, settings: Settings, directory: Directory) -> None:
        self._origin = settings.origin
        self._staff_second_factor = settings.staff_second_factor
        self._directory = directory

    async def __call__(self, connection: Connection, _handler: BaseRouteHandler) -> None:
        if connection.scope.get("method") == "OPTIONS":
            return
        request = cast("Request[Any, Any, Any]", connection)
        if is_api(request.scope):
            await self._api(request)
            return
        opt = request.route_handler.opt
        public, login = bool(opt.get("public")), cast("Login | None", request.scope.get("auth"))
        if request.method not in SAFE:
            check_origin(request, self._origin)
            if login is not None or opt.get("session"):
                await check_token(request, login, public=public)
        if public:
            return
        if login is None:
            raise SeeOtherError(sign_in_address(request))
        needed = opt.get("can") or _needed(request)
        demand(login.principal, needed)
        if self._staff_second_factor and login.principal.kind == "staff" and not login.second_factor:
            _allow_only_account(needed)
        await self._scope(request, login.principal)

    async def _scope(self, request: Request[Any, Any, Any], principal: Principal) -> None:
        """The tenant of a portal is the session's; of a console page the one that its path names."""
        tenant_id = principal.tenant_id
        if principal.kind == "staff" and (slug := request.path_params.get("tenant")):
            tenant = await self._directory.tenant_by_slug(str(slug))
            if tenant is None:
                raise UnknownTenantError
            tenant_id = tenant.id
        request.scope["state"]["tenant_id"] = tenant_id

    async def _api(self, request: Request[Any, Any, Any]) -> None:
        principal = cast("Principal | None", request.scope.get("user"))
        if principal is None:
            reason: Reason = request.scope["state"].get("key_refused", "missing")
            raise UnauthenticatedError(REFUSALS[reason], reason=reason)
        demand(principal, request.route_handler.opt.get("can") or "api.use")
        demand_scope(principal, request.route_handler.opt.get("scope"))
        check_address(request)
        body = None if request.method in SAFE else await read_json(request)
        tenant_id = principal.tenant_id
        named, where = tenant_named(request, body)
        if named is not None:
            tenant = await self._directory.tenant_by_slug(named)
            if tenant is None or tenant_id not in {None, tenant.id}:
                raise UnknownTenantError(where)
            tenant_id = tenant.id
        request.scope["user"] = msgspec.structs.replace(principal, tenant_id=tenant_id)
        request.scope["state"]["tenant_id"] = tenant_id


def requires(action: Action) -> Guard:
    """A guard for a router or controller; `opt={"can": ...}` on a handler says the same."""

    def guard(connection: Connection, _handler: BaseRouteHandler) -> None:
        demand(cast("Principal | None", connection.scope.get("user")), action)

    return guard


def demand(principal: Principal | None, action: Action) -> None:
    """NotAllowedError with a sentence for the person."""
    if not can(principal, action):
        raise NotAllowedError(SENTENCES[action])


def demand_scope(principal: Principal, scope: Scope | None) -> None:
    """A route that names no scope opens to nobody."""
    if scope is None or scope not in principal.scopes:
        raise ForbiddenError(
            f"This API key may not do that: it lacks the scope {scope}. Ask the operator for another key."
            if scope
            else "No API key opens this address.",
            code="insufficient_scope",
            scope=scope,
        )


def _needed(request: Request[Any, Any, Any]) -> Action:
    path = request.scope["path"]
    if request.method not in SAFE:
        raise NotAllowedError("Nobody may do this: the address does not say who.")
    if _under(path, "/console"):
        return "console.view"
    if _under(path, "/portal"):
        return "portal.view"
    staff = cast("Principal", request.scope["user"]).kind == "staff"
    return "console.view" if staff else "portal.view"


def _allow_only_account(needed: Action) -> None:
    """Where staff need a second factor, a session without one may add it or sign out, nothing else."""
    if needed != "account.manage":
        raise SeeOtherError("/account/second-factor")


def _under(path: str, area: str) -> bool:
    return path == area or path.startswith(f"{area}/")


def check_origin(request: Request[Any, Any, Any], own: str) -> None:
    """What the browser says of the sender. Neither header: an old browser, and the token decides."""
    origin = request.headers.get("origin")
    if origin is not None:
        if origin != own:
            raise ForgedRequestError(
                f"This form was sent from another site. Open Trunkline at {own} and try again."
            )
    elif request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise ForgedRequestError("This form was sent from another site. Open Trunkline itself and try again.")


async def check_token(request: Request[Any, Any, Any], login: Login | None, *, public: bool) -> None:
    """The form is parsed once and kept by Litestar, so the handler reads it as if nobody had."""
    given = request.headers.get("x-csrf-token")
    if given is None:
        found = (await request.form()).get("csrf_token")
        given = found if isinstance(found, str) else ""
    expected = [login.csrf] if login else []
    if public and (form := request.scope["state"].get("form_token")):
        expected.append(form)
    # every candidate is compared, in constant time
    if not any([hmac.compare_digest(given.encode(), one.encode()) for one in expected]):  # noqa: C419 - no early end
        raise ForgedRequestError("This form is too old. Reload the page and send it again.")


def own_path(path: str | None, default: str) -> str:
    """`path` if it stays on this site (begins with one slash, no backslash, printable), else `default`."""
    if not path or len(path) > 1000 or not path.startswith("/") or path.startswith("//"):
        return default
    return default if "\\" in path or not path.isprintable() else path


def sign_in_address(request: Request[Any, Any, Any]) -> str:
    """The sign-in page, with where to go on: the page itself, for htmx and a sent form the page around it.

    A form that was sent is lost, which `lost=1` has that page say.
    """
    if request.url.path == "/logout":
        return "/login"  # it is what they wanted
    if request.headers.get("hx-request") == "true":
        current = urlsplit(request.headers.get("hx-current-url", ""))
        target = current.path + (f"?{current.query}" if current.query else "")
    elif request.method == "GET":
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    else:
        current = urlsplit(request.headers.get("referer", ""))
        target = current.path + (f"?{current.query}" if current.query else "")
    target = own_path(target, "")
    query = [f"next={quote(target, safe='/')}"] if target not in {"", "/"} else []
    if request.method not in SAFE:
        query.append("lost=1")
    return "/login" + ("?" + "&".join(query) if query else "")


def tenant_named(request: Request[Any, Any, Any], body: Any) -> tuple[str | None, str]:
    """The slug and where it stood; BadInputError if two places name different tenants."""
    named = {}
    if (found := request.query_params.get("tenant")) is not None:
        named["tenant"] = found
    if (found := request.headers.get(HEADER)) is not None:
        named["Trunkline-Tenant"] = found
    # what is no text, the handler refuses
    if isinstance(body, dict) and isinstance(found := body.get("tenant"), str):
        named.setdefault("tenant", found)
        if named["tenant"] != found:
            raise BadInputError("The query and the body name different tenants. Name one.", field="tenant")
    if len(set(named.values())) > 1:
        raise BadInputError("The request names different tenants. Name one.", field="Trunkline-Tenant")
    return next(((value, where) for where, value in named.items()), (None, "tenant"))
