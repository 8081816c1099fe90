"""`/account/second-factor`: an authenticator app and recovery codes; the password is asked for again."""

from typing import Annotated, Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body
from markupsafe import Markup

from trunkline.kernel.errors import BadInputError, TrunklineError
from trunkline.kernel.problems import SeeOtherError
from trunkline.kernel.settings import Settings
from trunkline_tenants.errors import TooManyAttemptsError, WrongPasswordError
from trunkline_tenants.logins import Logins
from trunkline_tenants.schemas import Login, OpenedLogin
from trunkline_tenants.second_factor import SecondFactors
from trunkline_tenants.totp import provisioning_uri, qr_svg
from trunkline_ui.account.pages import (
    OWN,
    AnyRequest,
    held_cookie,
    must_add_factor,
    own_shell,
    to_home,
)
from trunkline_ui.auth import opened_cookies, visit_of
from trunkline_ui.rendering import Page, page

HOME = "/account/second-factor"


class Proof(msgspec.Struct):
    password: str = ""


class FirstCode(msgspec.Struct):
    code: str = ""


ProofForm = Annotated[Proof, Body(media_type=RequestEncodingType.URL_ENCODED)]


class SecondFactorPages(Controller):
    include_in_schema = False
    path = HOME
    opt = OWN

    @get()
    async def show(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        second_factors: NamedDependency[SecondFactors],
    ) -> Page:
        return await _status(request, settings, login, second_factors)

    @post(status_code=200)
    async def begin(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        logins: NamedDependency[Logins],
        second_factors: NamedDependency[SecondFactors],
        data: ProofForm,
    ) -> Page:
        if error := await _proved(request, settings, login, logins, data):
            return await _status(request, settings, login, second_factors, error)
        return _setup(request, login, await second_factors.begin(login.user.id))

    @post("/confirm", status_code=200)
    async def confirm(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        logins: NamedDependency[Logins],
        second_factors: NamedDependency[SecondFactors],
        data: Annotated[FirstCode, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page:
        secret = await second_factors.pending(login.user.id)
        if secret is None:
            raise SeeOtherError(HOME)
        try:
            codes = await second_factors.confirm(login, data.code[:64])
        except BadInputError as error:
            return _setup(request, login, secret, error)
        opened = await logins.rotate(held_cookie(request, settings), second_factor=True)
        return _codes(request, settings, login, codes, opened)

    @post("/codes", status_code=200)
    async def renew(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        logins: NamedDependency[Logins],
        second_factors: NamedDependency[SecondFactors],
        data: ProofForm,
    ) -> Page:
        if error := await _proved(request, settings, login, logins, data):
            return await _status(request, settings, login, second_factors, error)
        return _codes(request, settings, login, await second_factors.renew_codes(login), None)

    @post("/remove", status_code=200)
    async def remove(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        login: NamedDependency[Login],
        logins: NamedDependency[Logins],
        second_factors: NamedDependency[SecondFactors],
        data: ProofForm,
    ) -> Page | Response[None]:
        if error := await _proved(request, settings, login, logins, data):
            return await _status(request, settings, login, second_factors, error)
        await second_factors.remove(login)
        opened = await logins.rotate(held_cookie(request, settings), second_factor=False)
        return to_home(
            settings,
            "The second factor is removed, and you are signed out everywhere else.",
            *opened_cookies(settings, opened),
        )


async def _proved(
    request: AnyRequest, settings: Settings, login: Login, logins: Logins, data: Proof
) -> TrunklineError | None:
    """The reason why not."""
    try:
        await logins.prove(login.user, data.password, address=visit_of(request, settings).address)
    except (WrongPasswordError, TooManyAttemptsError) as error:
        return error
    return None


async def _status(
    request: AnyRequest,
    settings: Settings,
    login: Login,
    second_factors: SecondFactors,
    error: TrunklineError | None = None,
) -> Page:
    context = {
        "shell": own_shell(request, login),
        "factor": await second_factors.state(login.user.id),
        "must_add": must_add_factor(settings, login),
        "error": error.message if error else "",
    }
    return page("account/second_factor.html", context, status=error.status if error else 200)


def _setup(request: AnyRequest, login: Login, secret: str, error: TrunklineError | None = None) -> Page:
    context = {
        "shell": own_shell(request, login),
        "secret": " ".join(secret[index : index + 4] for index in range(0, len(secret), 4)),
        "picture": Markup(qr_svg(provisioning_uri(secret, login.user.email))),  # noqa: S704 - segno's own markup: rectangles of a text
        "error": error.message if error else "",
    }
    return page("account/setup.html", context, status=error.status if error else 200)


def _codes(
    request: AnyRequest, settings: Settings, login: Login, codes: list[str], opened: OpenedLogin | None
) -> Page:
    context: dict[str, Any] = {"shell": own_shell(request, login), "codes": codes}
    if opened is not None:
        context["csrf_token"] = opened.login.csrf  # the page after this one is another session's
    answer = page("account/codes.html", context)
    if opened is not None:
        answer.cookies.extend(opened_cookies(settings, opened))
    return answer
