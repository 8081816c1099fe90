"""The pages below `where.base`; `portal.webhooks` and `console.webhooks` say where that is.

A secret stands in the answer to the form that made it and nowhere else: no redirect could carry it.
"""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.deliveries import endpoint_repository, repository
from trunkline.deliveries.catalogue import matching
from trunkline.deliveries.schemas import EndpointChange, EndpointView
from trunkline.deliveries.service import DeliveryService
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline_ui.portal.common import (
    AnyRequest,
    address,
    asked,
    moment_cursor,
    read_moment_cursor,
    see_other,
)
from trunkline_ui.rendering import Page, page
from trunkline_ui.webhooks import forms, words
from trunkline_ui.webhooks.forms import EndpointForm, RecoverForm, RotateForm, SwitchForm
from trunkline_ui.webhooks.languages import LANGUAGES
from trunkline_ui.webhooks.where import Where

SHOWN = 25
STATES = {"pending": "Pending", "succeeded": "Succeeded", "failed": "Failed"}

Form = Body(media_type=RequestEncodingType.URL_ENCODED)


class EndpointLine(msgspec.Struct, frozen=True):
    view: EndpointView
    standing: str
    counts: dict[str, int]
    notice: words.Notice | None


class EndpointPages(Controller):
    """Endpoints: the list, one of them, and what is done to it."""

    include_in_schema = False

    @get()
    async def browse(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
    ) -> Page:
        async with db.tenant(where.owner) as session:
            found = await deliveries.endpoints(session, where.owner)
            counts = await repository.counts(session, where.owner)
        moment = now()
        lines = [
            EndpointLine(
                one,
                words.standing(one),
                counts.get(one.id, {}),
                words.certificate_notice(one.certificate_ends, moment),
            )
            for one in found
        ]
        return page("webhooks/list.html", await _context(where) | {"lines": lines})

    @get("/verify")
    async def verify(self, where: NamedDependency[Where]) -> Page:
        return page("webhooks/verify.html", await _context(where) | {"languages": LANGUAGES})

    @get("/new")
    async def new(self, where: NamedDependency[Where]) -> Page:
        return await _form(where, EndpointForm(), {}, None)

    @post("/new", status_code=200)
    async def create(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        data: Annotated[EndpointForm, Form],
    ) -> Page:
        try:
            async with db.tenant(where.owner) as session:
                view, secret = await deliveries.create(session, where.owner, principal, forms.wanted(data))
        except (BadInputError, ConflictError) as error:
            return await _form(where, data, forms.errors_of(error), None, status=422)
        return await _secret(where, view, secret, "The endpoint is registered.")

    @get("/{endpoint_id:uuid}")
    async def show(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        endpoint_id: FromPath[UUID],
    ) -> Page:
        return await _endpoint(request, db, deliveries, where, endpoint_id)

    @get("/{endpoint_id:uuid}/change")
    async def ask_change(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        endpoint_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(where.owner) as session:
            view = await deliveries.endpoint(session, where.owner, endpoint_id)
        return await _form(where, EndpointForm.of(view), {}, view)

    @post("/{endpoint_id:uuid}/change", status_code=303)
    async def change(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: Annotated[EndpointForm, Form],
    ) -> Response[None] | Page:
        async with db.tenant(where.owner) as session:
            view = await deliveries.endpoint(session, where.owner, endpoint_id)
        try:
            async with db.tenant(where.owner) as session:
                await deliveries.change(session, where.owner, endpoint_id, principal, forms.change(data))
        except BadInputError as error:
            return await _form(where, data, forms.errors_of(error), view, status=422)
        return see_other(settings, f"{where.base}/{endpoint_id}", "The endpoint is changed.")

    @post("/{endpoint_id:uuid}/switch", status_code=303)
    async def switch(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: Annotated[SwitchForm, Form],
    ) -> Response[None]:
        enabled = data.enabled == "1"
        async with db.tenant(where.owner) as session:
            change = EndpointChange(enabled=enabled)
            await deliveries.change(session, where.owner, endpoint_id, principal, change)
        text = "Events are sent there again." if enabled else "Nothing is sent there until it is enabled."
        return see_other(settings, f"{where.base}/{endpoint_id}", text)

    @post("/{endpoint_id:uuid}/rotate", status_code=200)
    async def rotate(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: Annotated[RotateForm, Form],
    ) -> Page:
        hours = int(data.overlap) if data.overlap in forms.OVERLAPS else 24
        async with db.tenant(where.owner) as session:
            view = await deliveries.endpoint(session, where.owner, endpoint_id)
            secret, _ = await deliveries.rotate(session, where.owner, endpoint_id, principal, hours)
        overlap = forms.OVERLAPS[str(hours)].lower()
        text = f"The secret is changed. The old one stops signing {overlap}."
        return await _secret(where, view, secret, text)

    @post("/{endpoint_id:uuid}/test", status_code=303)
    async def test(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
    ) -> Response[None]:
        home = f"{where.base}/{endpoint_id}"
        try:
            async with db.tenant(where.owner) as session:
                await deliveries.test(session, where.owner, endpoint_id, principal)
        except ConflictError as error:
            return see_other(settings, home, error.message, "danger")
        return see_other(settings, home, "A test event is on its way.")

    @post("/{endpoint_id:uuid}/recover", status_code=303)
    async def recover(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
        data: Annotated[RecoverForm, Form],
    ) -> Response[None]:
        home = f"{where.base}/{endpoint_id}"
        try:
            async with db.tenant(where.owner) as session:
                await deliveries.endpoint(session, where.owner, endpoint_id)
                number = await deliveries.recover(
                    session,
                    where.owner,
                    endpoint_id,
                    principal,
                    forms.since(data),
                    missing=bool(data.missing),
                )
        except (BadInputError, ConflictError) as error:
            return see_other(settings, home, error.message, "danger")
        if number is None:
            text = "What failed is sent again, one tenant after another."
        else:
            text = f"{number:,} {'delivery is' if number == 1 else 'deliveries are'} sent again."
        return see_other(settings, home, text)

    @get("/{endpoint_id:uuid}/remove")
    async def ask_removal(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        endpoint_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(where.owner) as session:
            view = await deliveries.endpoint(session, where.owner, endpoint_id)
        return page("webhooks/remove.html", await _context(where) | {"endpoint": view})

    @post("/{endpoint_id:uuid}/remove", status_code=303)
    async def remove(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        endpoint_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(where.owner) as session:
            await deliveries.remove(session, where.owner, endpoint_id, principal)
        return see_other(settings, where.base, "The endpoint is removed, its secrets forgotten.")

    @get("/deliveries/{delivery_id:uuid}")
    async def delivery(
        self,
        db: NamedDependency[Database],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        delivery_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(where.owner) as session:
            detail = await deliveries.delivery(session, where.owner, delivery_id)
            endpoint = await endpoint_repository.endpoint(session, where.owner, detail.delivery.endpoint_id)
        context = await _context(where) | {
            "home": f"{where.base}/deliveries/{delivery_id}",
            "detail": detail,
            "delivery": detail.delivery,
            "endpoint": endpoint,
            "attempts": list(reversed(detail.attempts)),
        }
        return page("webhooks/delivery.html", context, block="live")

    @post("/deliveries/{delivery_id:uuid}/resend", status_code=303)
    async def resend(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        deliveries: NamedDependency[DeliveryService],
        where: NamedDependency[Where],
        principal: NamedDependency[Principal],
        delivery_id: FromPath[UUID],
    ) -> Response[None]:
        home = f"{where.base}/deliveries/{delivery_id}"
        try:
            async with db.tenant(where.owner) as session:
                await deliveries.resend(session, where.owner, delivery_id, principal)
        except ConflictError as error:
            return see_other(settings, home, error.message, "danger")
        return see_other(settings, home, "It is sent again, under the same id.")


async def _context(where: Where) -> dict[str, Any]:
    return await where.frame() | {"where": where, "words": words, "moment": now()}


async def _form(
    where: Where,
    form: EndpointForm,
    errors: dict[str, str],
    view: EndpointView | None,
    *,
    status: int = 200,
) -> Page:
    context = await _context(where) | {
        "form": form,
        "errors": errors,
        "endpoint": view,
        "choices": forms.CHOICES,
    }
    return page("webhooks/form.html", context, status=status)


async def _secret(where: Where, view: EndpointView, secret: str, text: str) -> Page:
    context = await _context(where) | {"endpoint": view, "secret": secret, "text": text}
    return page("webhooks/secret.html", context)


async def _endpoint(
    request: AnyRequest,
    db: Database,
    deliveries: DeliveryService,
    where: Where,
    endpoint_id: UUID,
) -> Page:
    here, state = f"{where.base}/{endpoint_id}", asked(request, "show")
    state = state if state in STATES else ""
    before = read_moment_cursor(asked(request, "after"))
    async with db.tenant(where.owner) as session:
        view = await deliveries.endpoint(session, where.owner, endpoint_id)
        found = await deliveries.deliveries(
            session,
            where.owner,
            endpoint_id=endpoint_id,
            state=state or None,
            before=before,
            limit=SHOWN + 1,
        )
        counts = (await repository.counts(session, where.owner)).get(endpoint_id, {})
    shown = found[:SHOWN]
    last = shown[-1] if len(found) > SHOWN else None
    context = await _context(where) | {
        "home": here,
        "endpoint": view,
        "standing": words.standing(view),
        "notice": words.certificate_notice(view.certificate_ends, now()),
        "matching": matching(view.types),
        "deliveries": shown,
        "state": state,
        "tabs": [
            ("All", here, not state, sum(counts.values())),
            *(
                (text, address(here, show=key), state == key, counts.get(key, 0))
                for key, text in STATES.items()
            ),
        ],
        "here": address(here, show=state, after=asked(request, "after")),
        "later": before is not None,
        "first": address(here, show=state),
        "following": address(here, show=state, after=moment_cursor(last.created_at, last.id)) if last else "",
        "overlaps": list(forms.OVERLAPS.items()),
        "elsewhere": await where.elsewhere(endpoint_id) if where.elsewhere else [],
    }
    return page("webhooks/endpoint.html", context, block="live")
