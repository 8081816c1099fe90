"""Signing in beyond the password: the second factor, and the way by an identity provider and back."""

from typing import Annotated, Any

import msgspec
import structlog
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body

from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.problems import SeeOtherError
from trunkline.kernel.settings import Settings
from trunkline_tenants import cookies
from trunkline_tenants.errors import (
    ChallengeEndedError,
    SignInFailedError,
    SingleSignOnError,
    TooManyAttemptsError,
    WrongCodeError,
)
from trunkline_tenants.guards import own_path
from trunkline_tenants.second_factor import SecondFactors
from trunkline_tenants.single_sign_on import SingleSignOn
from trunkline_ui.auth import admitted, visit_of
from trunkline_ui.rendering import Page, page

AnyRequest = Request[Any, Any, Any]
OPEN = {"public": True, "session": True}

_log = structlog.get_logger("trunkline.sign_in")


class Code(msgspec.Struct):
    code: str = ""


class StepPages(Controller):
    include_in_schema = False
    opt = OPEN

    @get("/login/code")
    async def ask(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        second_factors: NamedDependency[SecondFactors],
    ) -> Page:
        if not await second_factors.waiting(_step(request, settings)):
            raise SeeOtherError("/login")
        return _code_page()

    @post("/login/code", status_code=200)
    async def answer(
        self,
        request: AnyRequest,
        settings: NamedDependency[Settings],
        second_factors: NamedDependency[SecondFactors],
        data: Annotated[Code, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page | Response[None]:
        held = _step(request, settings)
        if held is None:
            raise SeeOtherError("/login")
        try:
            opened = await second_factors.complete(held, data.code[:64], visit_of(request, settings))
        except (WrongCodeError, TooManyAttemptsError) as error:
            return _code_page(error)
        except (ChallengeEndedError, SignInFailedError) as error:
            return _failed(settings, error)
        response = admitted(settings, opened)
        response.cookies.append(cookies.no_step_cookie(settings))
        return response

    @get("/login/sso")
    async def leave(
        self, request: AnyRequest, settings: NamedDependency[Settings], sso: NamedDependency[SingleSignOn]
    ) -> Page | Response[None]:
        try:
            url, cookie = await sso.begin(own_path(request.query_params.get("next"), ""))
        except SingleSignOnError as error:
            return _failed(settings, error)
        return Response(
            None,
            status_code=303,
            headers={"location": url, "cache-control": "no-store", "referrer-policy": "no-referrer"},
            cookies=[cookies.step_cookie(settings, cookie)],
        )

    @get("/login/sso/callback")
    async def back(
        self, request: AnyRequest, settings: NamedDependency[Settings], sso: NamedDependency[SingleSignOn]
    ) -> Page | Response[None]:
        given = request.query_params
        # a parameter given twice is no parameter (RFC 6749, 3.1)
        query = {name: values[0] for name in given if len(values := given.getall(name)) == 1}
        try:
            opened = await sso.finish(query, _step(request, settings), visit_of(request, settings))
        except (SingleSignOnError, ChallengeEndedError) as error:
            return _failed(settings, error)
        response = admitted(settings, opened)
        if not any(one.key == cookies.step_name(settings) for one in response.cookies):
            response.cookies.append(cookies.no_step_cookie(settings))
        return response


def _step(request: AnyRequest, settings: Settings) -> str | None:
    return cookies.secret_in(request.cookies.get(cookies.step_name(settings)))


def _code_page(error: TrunklineError | None = None) -> Page:
    wait = error.extra.get("retry_after") if error else None
    return page(
        "auth/code.html",
        {"error": error.message if error else "", "may_try": not wait},
        status=error.status if error else 200,
        headers={"retry-after": str(wait)} if wait else None,
    )


def _failed(settings: Settings, error: TrunklineError) -> Page:
    if isinstance(error, SingleSignOnError):
        _log.warning("single_sign_on_failed", reason=error.reason)
    answer = page("auth/sso.html", {"message": error.message}, status=error.status)
    answer.cookies.append(cookies.no_step_cookie(settings))
    return answer
