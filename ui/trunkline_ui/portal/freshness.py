"""How fresh each stream is against its target, in words; and the target, which members choose."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.audit.service import append
from trunkline.connections.service import ConnectionService
from trunkline.health.assessment import StreamHealth, Why
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.runs.schemas import StreamView
from trunkline.runs.service import RunService
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline_ui.filters import duration
from trunkline_ui.portal.common import connection_of, manifest_of, see_other, told
from trunkline_ui.portal.words import StreamPanel

CHOICES = (300, 900, 1800, 3600, 4 * 3600, 12 * 3600, 86_400, 7 * 86_400)
"""Seconds; those below two schedules of a stream are not offered to it."""
OWN = "own"
"""The choice that leaves it to the connector."""

HEADLINES: dict[Why, str] = {
    "current": "Up to date",
    "pushed": "Up to date",
    "reading": "Up to date",
    "first": "First read",
    "limit": "Waiting for the provider’s limit",
    "circuit": "Holding back",
    "preparing": "The provider is making the list",
    "retrying": "Retrying",
    "failed": "Failing",
    "halted": "Stopped by a problem",
    "review": "Review needed",
    "rereading": "Reading everything anew",
    "behind": "Behind",
    "queued": "Waiting to begin",
    "paused": "Paused",
    "unread": "No recipe",
    "stopped": "Stopped",
    "reconnect": "Reconnect needed",
    "parent": "Waiting for another stream",
}


class FreshLine(msgspec.Struct, frozen=True, kw_only=True):
    headline: str
    health: StreamHealth
    against: str
    """The lag against the target."""
    late: bool


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """For one form: what may be chosen for a stream."""

    stream: str
    label: str
    chosen: str
    options: list[tuple[str, str]]


def fresh_line(found: StreamHealth, labels: Mapping[str, str]) -> FreshLine:
    """`labels`: of the connection's streams."""
    other = labels.get(found.waits_for or "")
    wanted = f"target {duration(found.target_seconds)}"
    if found.lag_seconds is None:
        against = f"not yet read, {wanted}"
    else:
        against = f"{duration(found.lag_seconds)} behind, {wanted}"
    return FreshLine(
        headline=f"Waiting for {other}" if other else HEADLINES[found.why],
        health=found,
        against=against,
        late=found.level is not None and (found.lag_seconds or 0) > found.target_seconds,
    )


def judged_panel(panel: StreamPanel, found: StreamHealth | None) -> StreamPanel:
    """One that has nothing under way is not up to date when it is beyond its target or waits for somebody."""
    if panel.phase != "idle" or found is None or found.level in {None, "healthy"}:
        return panel
    return msgspec.structs.replace(panel, badge=str(found.level), word="", now=found.customer)


def targets(
    views: Sequence[StreamView], labels: Mapping[str, str], manifest: Manifest | None
) -> list[Target]:
    return [_target(view, labels.get(view.stream, view.stream), manifest) for view in views]


def _target(view: StreamView, label: str, manifest: Manifest | None) -> Target:
    least = 2 * view.schedule_seconds
    own = max(_own(manifest, view.stream), least)
    offered = [seconds for seconds in CHOICES if seconds >= least]
    held = view.freshness_seconds
    if view.freshness_chosen and held not in offered:
        offered = sorted({*offered, max(held, least)})
    options = [(OWN, f"Automatic ({duration(own)})")]
    options += [(str(seconds), duration(seconds)) for seconds in offered]
    chosen = str(max(held, least) if held not in offered else held) if view.freshness_chosen else OWN
    return Target(stream=view.stream, label=label, chosen=chosen, options=options)


def _own(manifest: Manifest | None, stream: str) -> int:
    """The connector's target; 15 min for a stream that it has no more."""
    spec = manifest.stream(stream) if manifest is not None else None
    return spec.freshness_seconds if spec is not None else 900


class Chosen(msgspec.Struct):
    stream: str = ""
    seconds: str = ""


class FreshnessActions(Controller):
    include_in_schema = False
    exception_handlers = {BadInputError: told("/portal/connections/{connection_id}")}  # noqa: RUF012  Litestar's way

    @post(
        "/portal/connections/{connection_id:uuid}/freshness",
        status_code=303,
        opt={"can": "connections.manage"},
    )
    async def choose(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        data: Annotated[Chosen, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            views = await runs.streams(session, tenant_id, connection_id)
            view = next((one for one in views if one.stream == data.stream), None)
            if view is None:
                raise NotFoundError
            manifest = manifest_of(connectors, connection.spoken)
            wanted = _target(view, view.stream, manifest)
            if data.seconds not in dict(wanted.options):
                raise BadInputError("Choose one of the targets that are offered.", field="seconds")
            chosen = data.seconds != OWN
            seconds = int(data.seconds) if chosen else _own(manifest, view.stream)
            await runs.set_freshness(session, tenant_id, connection_id, view.stream, seconds, chosen=chosen)
            await append(
                session,
                principal,
                "connection.freshness_changed",
                "connection",
                connection_id,
                {"stream": view.stream},
                before={"target_seconds": view.freshness_seconds},
                after={"target_seconds": seconds},
            )
        text = f"The target is now {duration(max(seconds, 2 * view.schedule_seconds))}."
        return see_other(settings, f"/portal/connections/{connection_id}", text)
