"""Signing in and out, and choosing the organisation whose portal is open."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body

from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.problems import SeeOtherError
from trunkline.kernel.settings import Settings
from trunkline_tenants import cookies
from trunkline_tenants.devices import describe
from trunkline_tenants.directory import Directory
from trunkline_tenants.errors import SignInFailedError, TooManyAttemptsError
from trunkline_tenants.guards import own_path
from trunkline_tenants.logins import Logins
from trunkline_tenants.schemas import CodeNeeded, Login, OpenedLogin, Visit
from trunkline_ui.rendering import Page, page


class SignIn(msgspec.Struct):
    email: str = ""
    password: str = ""
    next: str = ""


class Switch(msgspec.Struct):
    tenant: UUID
    next: str = ""


FormOf = Body(media_type=RequestEncodingType.URL_ENCODED)


class AuthPages(Controller):
    include_in_schema = False

    @get("/", opt={"public": True, "session": True})
    async def start(self, request: Request[Any, Any, Any]) -> None:
        login = request.scope.get("auth")
        raise SeeOtherError(login.home if isinstance(login, Login) else "/login")

    @get("/login", opt={"public": True, "session": True})
    async def form(self, request: Request[Any, Any, Any], settings: NamedDependency[Settings]) -> Page:
        login = request.scope.get("auth")
        target = own_path(request.query_params.get("next"), "")
        if isinstance(login, Login):
            raise SeeOtherError(landing(login, target))
        return _form(settings, target=target, lost="lost" in request.query_params)

    @post("/login", opt={"public": True, "session": True}, status_code=200)
    async def sign_in(
        self,
        request: Request[Any, Any, Any],
        settings: NamedDependency[Settings],
        logins: NamedDependency[Logins],
        data: Annotated[SignIn, FormOf],
    ) -> Page | Response[None]:
        visit, target = visit_of(request, settings), own_path(data.next, "")
        try:
            opened = await logins.sign_in(
                data.email,
                data.password,
                address=visit.address,
                device=visit.device,
                browser=visit.browser,
                previous=visit.previous,
                target=target,
            )
        except (SignInFailedError, TooManyAttemptsError) as error:
            return _form(settings, target=target, email=data.email, error=error)
        return admitted(settings, opened)

    @post("/logout", status_code=303, opt={"can": "account.manage"})
    async def sign_out(
        self,
        request: Request[Any, Any, Any],
        settings: NamedDependency[Settings],
        logins: NamedDependency[Logins],
    ) -> Response[None]:
        held = cookies.secret_in(request.cookies.get(cookies.session_name(settings)))
        if held:
            await logins.sign_out(held)
        gone = [
            cookies.no_session_cookie(settings),
            cookies.flash_cookie(settings, "You are signed out."),
        ]
        return Response(None, status_code=303, headers={"location": "/login"}, cookies=gone)

    @get("/switch-tenant", opt={"can": "portal.view"})
    async def choose(
        self,
        request: Request[Any, Any, Any],
        login: NamedDependency[Login],
        directory: NamedDependency[Directory],
    ) -> Page:
        context = {
            "memberships": await directory.memberships(login.user.id),
            "current": login.tenant,
            "target": own_path(request.query_params.get("next"), "/portal"),
        }
        return page("auth/switch.html", context)

    @post("/switch-tenant", opt={"can": "portal.view"}, status_code=303)
    async def switch(
        self,
        request: Request[Any, Any, Any],
        settings: NamedDependency[Settings],
        logins: NamedDependency[Logins],
        data: Annotated[Switch, FormOf],
    ) -> Response[None]:
        held = cookies.secret_in(request.cookies.get(cookies.session_name(settings))) or ""
        opened = await logins.switch(held, data.tenant)
        return opened_response(settings, opened, own_path(data.next, "/portal"))


def landing(login: Login, target: str) -> str:
    """Where to go after signing in; a target of the other audience would only say no."""
    other = "/portal" if login.home == "/console" else "/console"
    if (
        not target
        or target in {"/", "/login"}
        or target.split("?", maxsplit=1)[0].startswith((other, "/login", "/logout"))
    ):
        return login.home
    return target


def visit_of(request: Request[Any, Any, Any], settings: Settings) -> Visit:
    """`client.host` is what the web server says; it trusts a proxy's header only as it was told to."""
    given = request.cookies
    return Visit(
        address=request.client.host if request.client else "-",
        device=describe(request.headers.get("user-agent", "")[:500]),
        browser=cookies.secret_in(given.get(cookies.browser_name(settings))),
        previous=cookies.secret_in(given.get(cookies.session_name(settings))),
    )


def admitted(settings: Settings, opened: OpenedLogin | CodeNeeded) -> Response[None]:
    """After the first factor: on to the portal or console, or to the question for the second."""
    if isinstance(opened, CodeNeeded):
        return Response(
            None,
            status_code=303,
            headers={"location": "/login/code", "cache-control": "no-store"},
            cookies=[cookies.step_cookie(settings, opened.cookie)],
        )
    return opened_response(settings, opened, landing(opened.login, own_path(opened.target, "")))


def opened_response(settings: Settings, opened: OpenedLogin, location: str) -> Response[None]:
    return Response(
        None,
        status_code=303,
        headers={"location": location, "cache-control": "no-store"},
        cookies=opened_cookies(settings, opened),
    )


def opened_cookies(settings: Settings, opened: OpenedLogin) -> list[Cookie]:
    made = [cookies.session_cookie(settings, opened.cookie)]
    if opened.browser:
        made.append(cookies.browser_cookie(settings, opened.browser))
    return made


def _form(
    settings: Settings,
    *,
    target: str,
    email: str = "",
    error: TrunklineError | None = None,
    lost: bool = False,
) -> Page:
    """`lost`: what somebody sent arrived after their session had ended."""
    wait = error.extra.get("retry_after") if error else None
    return page(
        "auth/login.html",
        {
            "target": target,
            "email": email[:254],
            "error": error.message if error else "",
            "may_try": not wait,
            "lost": lost,
            "sso": settings.oidc_name if settings.oidc_issuer else "",
        },
        status=error.status if error else 200,
        headers={"retry-after": str(wait)} if wait else None,
    )
