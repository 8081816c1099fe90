"""Signing in and out, and choosing the organisation whose portal is open."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body

from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.problems import SeeOtherError
from trunkline.kernel.settings import Settings
from trunkline_tenants import cookies
from trunkline_tenants.directory import Directory
from trunkline_tenants.errors import SignInFailedError, TooManyAttemptsError
from trunkline_tenants.guards import own_path
from trunkline_tenants.logins import Logins
from trunkline_tenants.schemas import Login, OpenedLogin
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
    async def form(self, request: Request[Any, Any, Any]) -> Page:
        login = request.scope.get("auth")
        target = own_path(request.query_params.get("next"), "")
        if isinstance(login, Login):
            raise SeeOtherError(landing(login, target))
        return _form(target=target)

    @post("/login", opt={"public": True, "session": True}, status_code=200)
    async def sign_in(
        self,
        request: Request[Any, Any, Any],
        settings: NamedDependency[Settings],
        logins: NamedDependency[Logins],
        data: Annotated[SignIn, FormOf],
    ) -> Page | Response[None]:
        held = cookies.secret_in(request.cookies.get(cookies.session_name(settings)))
        address = request.client.host if request.client else "-"
        try:
            opened = await logins.sign_in(data.email, data.password, address=address, previous=held)
        except (SignInFailedError, TooManyAttemptsError) as error:
            return _form(target=own_path(data.next, ""), email=data.email, error=error)
        return _opened(settings, opened, landing(opened.login, own_path(data.next, "")))

    @post("/logout", status_code=303)
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
        return _opened(settings, opened, own_path(data.next, "/portal"))


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


def _form(*, target: str, email: str = "", error: TrunklineError | None = None) -> Page:
    wait = error.extra.get("retry_after") if error else None
    return page(
        "auth/login.html",
        {
            "target": target,
            "email": email[:254],
            "error": error.message if error else "",
            "may_try": not wait,
        },
        status=error.status if error else 200,
        headers={"retry-after": str(wait)} if wait else None,
    )


def _opened(settings: Settings, opened: OpenedLogin, location: str) -> Response[None]:
    return Response(
        None,
        status_code=303,
        headers={"location": location, "cache-control": "no-store"},
        cookies=[cookies.session_cookie(settings, opened.cookie)],
    )
