"""The frame inside the product's page, and what it asks of us."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath, JSONBody
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect

from trunkline.access.schemas import Progress
from trunkline.access.service import AccessService
from trunkline.connections.cookies import flow_cookie
from trunkline.kernel.errors import ForbiddenError, NotFoundError, TrunklineError
from trunkline.kernel.settings import Settings
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.registry import Connectors
from trunkline_ui.rendering import Page, page
from trunkline_ui.widget.assets import widget_asset
from trunkline_ui.widget.pages import SPENT, Card, Refusal, form_targets, popup, refusal, words

AnyRequest = Request[Any, Any, Any]


class RedeemIn(msgspec.Struct, frozen=True):
    token: str


class RedeemOut(msgspec.Struct, frozen=True):
    frame_key: str
    html: str


class StatusIn(msgspec.Struct, frozen=True):
    frame_key: str


class StatusOut(msgspec.Struct, frozen=True):
    state: str
    code: str | None = None
    message: str | None = None


class AuthorizeIn(msgspec.Struct, frozen=True):
    frame_key: str
    connector: str
    nonce: str


class FrameController(Controller):
    path = "/widget"
    include_in_schema = False

    @get("/frame/{session_id:uuid}", opt={"public": True})
    async def frame(
        self,
        access: NamedDependency[AccessService],
        settings: NamedDependency[Settings],
        endpoints: NamedDependency[Endpoints],
        connectors: NamedDependency[Connectors],
        session_id: FromPath[UUID],
    ) -> Page:
        """Framed by the session's origin only; an unknown session by nobody, so its loader times out."""
        view = await access.frame(session_id)
        return page(
            "widget/frame.html",
            {"view": view, "spent_message": SPENT, "widget_asset": widget_asset},
            ancestors=[view.origin],
            form_targets=form_targets(settings, endpoints, connectors),
        )

    @post("/sessions/{session_id:uuid}/redeem", status_code=200, opt={"public": True})
    async def redeem(
        self,
        request: AnyRequest,
        access: NamedDependency[AccessService],
        settings: NamedDependency[Settings],
        connectors: NamedDependency[Connectors],
        session_id: FromPath[UUID],
        data: JSONBody[RedeemIn],
    ) -> Response[RedeemOut] | Response[Refusal]:
        _own_origin(request, settings)
        try:
            found = await access.redeem(session_id, data.token)
        except NotFoundError:
            return refusal("connect_session_spent", SPENT)
        except TrunklineError as error:
            return refusal(error.code, error.message, error.status)
        engine = request.app.template_engine
        assert isinstance(engine, JinjaTemplateEngine)
        cards = [Card.of(await connectors.find(name)) for name in found.connectors]
        html = engine.engine.get_template("widget/views.html").render(cards=cards, reconnect=found.reconnect)
        return Response(RedeemOut(found.frame_key, html), headers={"cache-control": "no-store"})

    @post("/sessions/{session_id:uuid}/status", status_code=200, opt={"public": True})
    async def status(
        self,
        request: AnyRequest,
        access: NamedDependency[AccessService],
        settings: NamedDependency[Settings],
        session_id: FromPath[UUID],
        data: JSONBody[StatusIn],
    ) -> Response[StatusOut] | Response[Refusal]:
        _own_origin(request, settings)
        try:
            progress: Progress = await access.progress(session_id, data.frame_key)
        except NotFoundError:
            return refusal("connect_session_spent", SPENT)
        except TrunklineError as error:
            return refusal(error.code, error.message, error.status)
        message = words(progress.error) if progress.error else None
        answer = StatusOut(progress.state, progress.error, message)
        return Response(answer, headers={"cache-control": "no-store"})

    @post("/sessions/{session_id:uuid}/authorize", status_code=303, opt={"public": True, "popup": True})
    async def authorize(
        self,
        request: AnyRequest,
        access: NamedDependency[AccessService],
        settings: NamedDependency[Settings],
        session_id: FromPath[UUID],
        data: Annotated[AuthorizeIn, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Redirect | Page:
        """In the popup, which is a page of its own: so the flow cookie is this site's, whatever frames us."""
        _own_origin(request, settings)
        try:
            begun = await access.authorize(session_id, data.frame_key, data.connector, data.nonce)
        except TrunklineError as error:
            return popup(
                "This account cannot be connected now",
                error.message,
                status=error.status,
                nonce=data.nonce,
                code=error.code,
            )
        return Redirect(
            begun.url,
            status_code=303,
            cookies=[flow_cookie(begun, secure=settings.secure)],
            headers={"cache-control": "no-store", "referrer-policy": "no-referrer"},
        )


def _own_origin(request: AnyRequest, settings: NamedDependency[Settings]) -> None:
    """Only our own frame asks: a page elsewhere that got hold of a frame key cannot send a browser here."""
    if request.headers.get("origin") != settings.origin:
        raise ForbiddenError("This was not sent by Trunkline's own window. Close it and open it again.")
