"""`/account`: one's own sessions and password."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.settings import Settings
from trunkline_tenants import cookies
from trunkline_tenants.account import Account
from trunkline_tenants.schemas import Login
from trunkline_tenants.second_factor import SecondFactors
from trunkline_ui.auth import opened_cookies, visit_of
from trunkline_ui.rendering import Page, Shell, page
from trunkline_ui.shells import console_shell, portal_shell

AnyRequest = Request[Any, Any, Any]
HOME = "/account"
OWN = {"can": "account.manage"}
"""`opt` of everything here: whoever is signed in, whatever their role."""


class NewPassword(msgspec.Struct):
    current: str = ""
    wanted: str = ""
    again: str = ""


class AccountPages(Controller):
    include_in_schema = False
    path = HOME
    opt = OWN

    @get()
    async def show(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        account: NamedDependency[Account],
        second_factors: NamedDependency[SecondFactors],
    ) -> Page:
        return await _home(request, settings, login, account, second_factors)

    @post("/sessions/{session_id:uuid}/end", status_code=303)
    async def end_session(
        self,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        account: NamedDependency[Account],
        session_id: FromPath[UUID],
    ) -> Response[None]:
        await account.end_session(login, session_id)
        return to_home(settings, "That session is signed out.")

    @post("/sessions/end-others", status_code=303)
    async def end_others(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        account: NamedDependency[Account],
    ) -> Response[None]:
        ended = await account.end_others(login, held_cookie(request, settings))
        word = "session is" if ended == 1 else "sessions are"
        return to_home(settings, f"{ended} other {word} signed out.")

    @post("/password", status_code=200)
    async def change_password(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        account: NamedDependency[Account],
        second_factors: NamedDependency[SecondFactors],
        data: Annotated[NewPassword, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page | Response[None]:
        problem: TrunklineError | None = None
        if data.wanted != data.again:
            return await _home(
                request,
                settings,
                login,
                account,
                second_factors,
                errors={"again": "The two new passwords differ. Type the same one twice."},
                status=400,
            )
        try:
            opened = await account.change_password(
                login,
                held_cookie(request, settings),
                current=data.current,
                wanted=data.wanted,
                address=visit_of(request, settings).address,
            )
        except TrunklineError as error:
            if error.status >= 500 or (error.field is None and error.status != 429):
                raise
            problem = error
        if problem is not None:
            return await _home(
                request,
                settings,
                login,
                account,
                second_factors,
                errors={problem.field or "current": problem.message},
                status=problem.status,
            )
        return to_home(
            settings,
            "Your password is changed, and you are signed out everywhere else.",
            *opened_cookies(settings, opened),
        )


async def _home(
    request: AnyRequest,
    settings: Settings,
    login: Login,
    account: Account,
    second_factors: SecondFactors,
    *,
    errors: dict[str, str] | None = None,
    status: int = 200,
) -> Page:
    context = {
        "shell": own_shell(request, login),
        "login": login,
        "sessions": await account.sessions(login, held_cookie(request, settings)),
        "factor": await second_factors.state(login.user.id),
        "must_add": must_add_factor(settings, login),
        "errors": errors or {},
    }
    return page("account/home.html", context, status=status)


def must_add_factor(settings: Settings, login: Login) -> bool:
    """Whether the operator's rule keeps this person out of the console until they have a second factor."""
    return settings.staff_second_factor and login.principal.kind == "staff" and not login.second_factor


def own_shell(request: AnyRequest, login: Login) -> Shell:
    if login.principal.kind == "staff":
        return console_shell(request, login.principal, HOME)
    return portal_shell(request, login.principal, HOME)


def held_cookie(request: AnyRequest, settings: Settings) -> str:
    return cookies.secret_in(request.cookies.get(cookies.session_name(settings))) or ""


def to_home(settings: Settings, text: str, *more: Any) -> Response[None]:
    return Response(
        None,
        status_code=303,
        headers={"location": HOME, "cache-control": "no-store"},
        cookies=[cookies.flash_cookie(settings, text), *more],
    )
