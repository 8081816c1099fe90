"""The webhook of a connection's own: how it stands, and what members do about it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.health.hook_drift import HookDrift, still_open
from trunkline.health.issues import HOOK_DRIFT
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.resilience.failures import failure
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.registry import Connectors
from trunkline.sdk.signatures import resolve
from trunkline.sdk.webhooks import ByHand
from trunkline.webhooks import repository
from trunkline.webhooks.service import EndpointService, EndpointView
from trunkline.work.queue import WorkQueue
from trunkline_ui.portal.common import (
    Frame,
    connection_of,
    label_of,
    manifest_of,
    see_other,
    told,
)
from trunkline_ui.rendering import Page, page

_HERE = "/portal/connections/{connection_id}"


REFUSALS: Final = {
    "unverifiable": "Something came whose signature does not fit. Paste the secret once more, whole.",
    "replayed": "Something came that says it was sent long ago. The clock of whoever sends it may be wrong.",
    "unparsable": "Something came that was signed as agreed and could not be read.",
    "too_large": "Something came that was too large to be taken.",
}


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """The webhook of a connection's own (`mine`), if it has one. How changes arrive stands at each stream."""

    word: str = ""
    tone: str = ""
    icon: str = ""
    sentence: str = ""
    mine: EndpointView | None = None
    heard: bool = False
    """An event has come."""
    can_check: bool = False
    can_rotate: bool = False
    by_hand: bool = False
    """A person may enter the address at the provider."""
    provider_secret: bool = False
    """The provider makes the secret."""
    guide: ByHand | None = None
    """What a person does at the provider."""
    last_at: datetime | None = None
    """When an event last came."""
    refused: str = ""
    """Why what came last was refused, in words; empty where it was not."""
    basic: bool = False
    """A secret of ours is sent as user name and password, and nothing is signed."""
    events: tuple[str, ...] = ()
    """What to choose at the provider; empty: everything."""
    drifts: Sequence[HookDrift] = ()
    """Types of events that no longer look as agreed."""
    drifts_sentence: str = failure(HOOK_DRIFT).customer


async def telling_of(
    session: AsyncSession,
    hooks: EndpointService,
    manifest: Manifest | None,
    connection: Connection,
) -> Telling:
    """`session`: the tenant's."""
    label = manifest.label if manifest else connection.connector
    how = manifest.webhooks if manifest else None
    if how is None:
        return Telling()
    last_at = await repository.last_event_at(session, connection.tenant_id, connection.id)
    heard = last_at is not None
    drifts = await still_open(session, connection.tenant_id, connection.id)
    mine = await hooks.of_connection(session, connection.tenant_id, connection.id)
    if how.owner == "client" or how.lenient:
        return Telling(mine=mine, heard=heard, drifts=drifts)
    unkeyed = how.keyed_by == "pasted" and mine is not None and not mine.keyed
    word, tone, icon, sentence = _standing(mine, label, heard=heard, unkeyed=unkeyed)
    refusal = await repository.last_refused(session, connection.tenant_id, mine.id) if mine else None
    refused = "" if refusal is None or (last_at and last_at > refusal[0]) else REFUSALS.get(refusal[1], "")
    registers = how.registration is not None
    usable = connection.state in {"active", "setup"}
    return Telling(
        word=word,
        tone=tone,
        icon=icon,
        sentence=sentence,
        mine=mine,
        heard=heard,
        drifts=drifts,
        can_check=registers and usable,
        can_rotate=usable and mine is not None and mine.registered and not mine.rotating,
        by_hand=usable and mine is not None and not mine.registered and mine.state in {"refused", "active"},
        provider_secret=how.keyed_by in {"provider", "pasted"},
        guide=how.by_hand,
        last_at=last_at,
        refused=refused,
        basic=resolve(how.signatures[0]).header.lower() == "authorization",
        events=how.registration.events if how.registration else tuple(kind.type for kind in how.kinds),
    )


def _standing(
    mine: EndpointView | None, label: str, *, heard: bool, unkeyed: bool
) -> tuple[str, str, str, str]:
    """Word, tone, icon, and a sentence where there is more to say."""
    if mine is None or mine.state == "registering":
        return "Being set up", "info", "clock", f"We are asking {label} to tell us of changes."
    if unkeyed:
        words = f"Until somebody pastes the secret that {label} shows, nothing that it sends is taken."
        return "Secret missing", "warning", "key", words
    if mine.state == "active" and heard:
        return "Entered by hand", "success", "bolt", ""
    if mine.state == "registered":
        if mine.cause is not None:
            return "Registered", "warning", "alert", failure(mine.cause).customer
        return "Registered", "success", "bolt", ""
    if mine.state == "refused":
        return "Refused", "warning", "alert", failure(mine.cause or "webhook_refused").customer
    if mine.state == "left":
        words = (
            f"Our access ended before the webhook at {label} could be removed. What it still sends "
            "is refused; remove it in the settings of the account."
        )
        return "Ended", "warning", "alert", words
    if mine.state == "removed":
        return "Ended", "neutral", "ban", f"The webhook at {label} was removed with the connection."
    return "By hand", "info", "key", f"Somebody enters this connection's address at {label}."


class Pasted(msgspec.Struct):
    secret: str = ""


class HookActions(Controller):
    include_in_schema = False
    path = "/portal/connections/{connection_id:uuid}/webhook"
    exception_handlers = {ConflictError: told(_HERE), BadInputError: told(_HERE)}  # noqa: RUF012  Litestar's way

    @post("/check", status_code=303, opt={"can": "connections.manage"})
    async def check(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await connection_of(connections, session, tenant_id, connection_id)
            await append(session, principal, "hook.checked", "connection", connection_id)
            await _look(session, work, tenant_id, connection_id)
        return see_other(settings, f"/portal/connections/{connection_id}", "The webhook is being checked.")

    @post("/rotate", status_code=303, opt={"can": "connections.manage"})
    async def rotate(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        hooks: NamedDependency[EndpointService],
        work: NamedDependency[WorkQueue],
        connection_id: FromPath[UUID],
    ) -> Response[None]:
        async with db.tenant(tenant_id) as session:
            await hooks.rotate_registered(session, tenant_id, connection_id, principal)
            await _look(session, work, tenant_id, connection_id)
        text = "A new secret is being agreed on. What the old one signed counts for a day more."
        return see_other(settings, f"/portal/connections/{connection_id}", text)

    @get("/", opt={"can": "connections.manage"})
    async def ask(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        hooks: NamedDependency[EndpointService],
        connection_id: FromPath[UUID],
    ) -> Page:
        """The address, for a person who enters it at the provider."""
        async with db.tenant(tenant_id) as session:
            connection = await connection_of(connections, session, tenant_id, connection_id)
            telling = await telling_of(session, hooks, manifest_of(connectors, connection.spoken), connection)
            context = await framed(session, "/portal")
        label = label_of(connectors, connection.spoken)
        context |= {"connection": connection, "label": label, "telling": telling, "done": False, "secret": ""}
        return page("portal/webhook.html", context, block="heard")

    @post(
        "/",
        status_code=200,
        opt={"can": "connections.manage"},
        exception_handlers={error: told(f"{_HERE}/webhook") for error in (ConflictError, BadInputError)},
    )
    async def enter(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        connections: NamedDependency[ConnectionService],
        connectors: NamedDependency[Connectors],
        hooks: NamedDependency[EndpointService],
        connection_id: FromPath[UUID],
        data: Annotated[Pasted, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page:
        """A secret made here is shown this once; one pasted never again."""
        async with db.tenant(tenant_id) as session:
            secret = await hooks.by_hand(session, tenant_id, connection_id, principal, data.secret)
            connection = await connection_of(connections, session, tenant_id, connection_id)
            telling = await telling_of(session, hooks, manifest_of(connectors, connection.spoken), connection)
            context = await framed(session, "/portal")
        label = label_of(connectors, connection.spoken)
        context |= {"connection": connection, "label": label, "telling": telling, "done": True}
        context["secret"] = "" if telling.provider_secret else secret
        return page("portal/webhook.html", context)


async def _look(session: AsyncSession, work: WorkQueue, tenant_id: UUID, connection_id: UUID) -> None:
    await work.enqueue(
        session,
        tenant_id=tenant_id,
        kind=repository.REGISTER,
        key=str(connection_id),
        connection_id=connection_id,
    )
