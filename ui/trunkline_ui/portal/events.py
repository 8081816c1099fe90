"""`/portal/connections/{id}/events`: what a provider sent, what became of it, and replays."""

from collections.abc import Mapping
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.resilience.failures import failure
from trunkline.runs.errors import ProviderError
from trunkline.sdk.registry import Connectors
from trunkline.webhooks import replay_repository as repository
from trunkline.webhooks.applying import Difference
from trunkline.webhooks.replay_repository import Wanted
from trunkline.webhooks.replays import ReplayService
from trunkline_ui.portal.common import (
    AnyRequest,
    Frame,
    address,
    asked,
    asked_id,
    connection_of,
    label_of,
    record_address,
    see_other,
    told,
    usable,
)
from trunkline_ui.rendering import Page, page

SHOWN = 50
STATES = {
    "queued": "Waiting",
    "applied": "Applied",
    "unchanged": "Changed nothing",
    "superseded": "Older than what is held",
    "ignored": "Not used",
    "kept": "Kept",
    "dead": "Dead letter",
}
TONES = {"queued": "info", "applied": "success", "dead": "danger"}
LABELS = {"initial": "As it came", "automatic": "By itself", "manual": "By hand", "bulk": "In a bulk replay"}
OUTCOMES = {**STATES, "failed": "Failed, tried again"}


class PlanIn(msgspec.Struct):
    standing: str = ""
    q: str = ""
    reason: str = ""


class EventPages(Controller):
    include_in_schema = False

    @get("/portal/connections/{connection_id:uuid}/events")
    async def events(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        connection_id: FromPath[UUID],
    ) -> Page:
        wanted = wanted_of(asked(request, "standing"), asked(request, "q"))
        before = asked_id(request, "after")
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            found = await repository.events(
                session,
                tenant_id,
                connection_id=connection_id,
                wanted=wanted,
                before=before,
                limit=SHOWN + 1,
            )
            types = await repository.types(session, tenant_id, connection_id)
            replays = await repository.replays(session, tenant_id, connection_id)
            context = await framed(session, "/portal")
        home = f"/portal/connections/{connection_id}/events"
        chosen = {"standing": asked(request, "standing"), "q": asked(request, "q")}
        context |= {
            "connection": connection,
            "label": label_of(connectors, connection.spoken),
            "events": found[:SHOWN],
            "types": [("", "Every type"), *((one, one) for one in types)],
            "replays": replays,
            "chosen": chosen,
            "states": STATES,
            "tones": TONES,
            "following": address(home, **chosen, after=found[SHOWN - 1].id) if len(found) > SHOWN else "",
            "first": address(home, **chosen) if before else "",
            "home": home,
        }
        return page("portal/events.html", context)

    @get("/portal/events/{event_id:uuid}")
    async def show(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        replays: NamedDependency[ReplayService],
        event_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            detail = await replays.open(session, tenant_id, event_id)
            event = detail.event
            if event.connection_id is None:
                raise NotFoundError
            connection = await connection_of(connections, session, tenant_id, event.connection_id)
            context = await framed(session, "/portal")
        records = [
            (one, record_address(event.connection_id, event.stream, one))
            for one in event.external_ids
            if event.stream
        ]
        context |= {
            "connection": connection,
            "label": label_of(connectors, connection.spoken),
            "event": event,
            "detail": detail,
            "records": records,
            "states": STATES,
            "tones": TONES,
            "labels": LABELS,
            "outcomes": OUTCOMES,
            "cause": failure(event.cause).customer if event.cause in CAUSES else "",
        }
        return page("portal/event.html", context)

    @get("/portal/replays/{replay_id:uuid}")
    async def replay(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        replays: NamedDependency[ReplayService],
        replay_id: FromPath[UUID],
    ) -> Page:
        async with db.tenant(tenant_id) as session:
            progress = await replays.progress(session, tenant_id, replay_id)
            found = progress.replay
            connection = await connection_of(connections, session, tenant_id, found.connection_id)
            context = await framed(session, "/portal")
        trial: list[dict[str, Any]] | None = None
        trouble = ""
        if asked(request, "preview") and found.state == "planned" and context["may"]["sync"]:
            try:
                trial = [_lines(one) for one in await replays.dry_run(tenant_id, replay_id)]
            except ProviderError as error:
                trouble = error.message
        context |= {
            "here": f"/portal/replays/{replay_id}",
            "connection": connection,
            "label": label_of(connectors, connection.spoken),
            "progress": progress,
            "replay": found,
            "outcomes": OUTCOMES,
            "trial": trial,
            "trouble": trouble,
            "wanted": msgspec.convert(found.filter, Wanted),
            "states": STATES,
        }
        return page("portal/replay.html", context, block="live")


class EventActions(Controller):
    include_in_schema = False
    path = "/portal/events/{event_id:uuid}"
    exception_handlers = {  # noqa: RUF012  Litestar's way
        ConflictError: told("/portal/events/{event_id}"),
        BadInputError: told("/portal/events/{event_id}"),
    }

    @post("/replay", status_code=303, opt={"can": "runs.start"})
    async def replay(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        replays: NamedDependency[ReplayService],
        event_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await replays.one(session, tenant_id, event_id, principal)
        return see_other(settings, f"/portal/events/{event_id}", "It is processed again.")


class ReplayPlans(Controller):
    include_in_schema = False
    path = "/portal/connections/{connection_id:uuid}/replays"
    exception_handlers = {  # noqa: RUF012  Litestar's way
        ConflictError: told("/portal/connections/{connection_id}/events"),
        BadInputError: told("/portal/connections/{connection_id}/events"),
    }

    @post("/", status_code=303, opt={"can": "runs.start"})
    async def plan(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        replays: NamedDependency[ReplayService],
        connection_id: FromPath[UUID],
        data: Annotated[PlanIn, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        if not usable(data.reason):
            raise BadInputError("Give a reason that can be read.", field="reason")
        async with db.tenant(tenant_id) as session:
            replay_id = await replays.plan(
                session,
                tenant_id,
                connection_id,
                wanted_of(data.standing, data.q if usable(data.q) else "-"),
                principal,
                reason=data.reason or None,
            )
        return see_other(settings, f"/portal/replays/{replay_id}")


class ReplayActions(Controller):
    include_in_schema = False
    path = "/portal/replays/{replay_id:uuid}"
    exception_handlers = {ConflictError: told("/portal/replays/{replay_id}")}  # noqa: RUF012  Litestar's way

    @post("/start", status_code=303, opt={"can": "runs.start"})
    async def start(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        replays: NamedDependency[ReplayService],
        replay_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await replays.start(session, tenant_id, replay_id, principal)
        return see_other(settings, f"/portal/replays/{replay_id}", "Replay started.")

    @post("/cancel", status_code=303, opt={"can": "runs.start"})
    async def cancel(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        replays: NamedDependency[ReplayService],
        replay_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await replays.cancel(session, tenant_id, replay_id, principal)
        return see_other(settings, f"/portal/replays/{replay_id}", "Replay cancelled.", "info")


CAUSES = frozenset(
    {"malformed_event", "internal_error", "mapping_failed", "not_found", "bad_request", "mass_deletion"}
)
"""Whose sentences say something to a customer about one event."""


def wanted_of(standing: str, kind: str) -> Wanted:
    """A state that does not exist finds nothing, rather than everything."""
    states = (standing if standing in STATES else "-",) if standing else ()
    return Wanted(states=states, type=kind)


def _lines(one: Difference) -> dict[str, Any]:
    before, after = one.before or {}, one.after or {}
    rows = [
        {
            "field": field,
            "before": _shown(before.get(field)),
            "after": _shown(after.get(field)),
            "change": _change(before, after, field),
        }
        for field in dict.fromkeys([*before, *after])
        if before.get(field) != after.get(field)
    ]
    what = "created" if one.before is None else "deleted" if one.after is None else "updated"
    return {"external_id": one.external_id, "model": one.model, "what": what, "rows": rows}


def _change(before: Mapping[str, Any], after: Mapping[str, Any], field: str) -> str:
    if before.get(field) is None:
        return "added"
    return "removed" if after.get(field) is None else "changed"


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
