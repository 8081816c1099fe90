"""A customer's own systems: connections at which nobody signs in, for they post what they have to an address.

One begins in `setup`: what it posts is kept and waits. Once somebody has chosen how an event is read
(`Reading`), what waited is processed like any source's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections import journal
from trunkline.connections import repository as connections
from trunkline.connections.events import ConnectionEvents
from trunkline.connections.models import Connection
from trunkline.kernel.clock import now
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.naming import clean_name
from trunkline.kernel.principal import Principal
from trunkline.runs import repository as runs
from trunkline.sdk.own import CUSTOM, LONGEST, STREAM, Reading, own_manifest, read_back, written
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault
from trunkline.webhooks import event_repository, replay_repository
from trunkline.webhooks.event_repository import Queued
from trunkline.webhooks.events import UnparsableError, document
from trunkline.webhooks.reading import item_of, told
from trunkline.webhooks.replay_repository import EventRow, Wanted
from trunkline.webhooks.service import EndpointService

MOST: Final = 50
"""Own systems of a tenant that are not disconnected."""
TRIED: Final = 5
"""Of the newest events, on which a reading is tried."""
FRESHNESS: Final = 900


class Streams(Protocol):
    """What the engine does for them (`trunkline.runs`)."""

    async def ensure_stream(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        schedule_seconds: int,
        freshness_seconds: int,
    ) -> None: ...


class OwnSystem(msgspec.Struct, frozen=True, kw_only=True):
    """As its owner may see it. `url` None: it was disconnected."""

    id: UUID
    name: str
    state: str
    url: str | None
    reading: Reading | None
    previous_until: datetime | None
    created_at: datetime


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """An event that came, opened."""

    event: EventRow
    queued: Queued
    raw: bytes

    @property
    def document(self) -> Any:
        """None where it cannot be read."""
        try:
            return document(self.raw)
        except UnparsableError:
            return None


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What a reading makes of an event. `trouble`: why it would be a dead letter."""

    event: EventRow
    key: str = ""
    at: datetime | None = None
    gone: bool = False
    fields: tuple[str, ...] = ()
    """Names in the record."""
    counts: bool = True
    """Its type is one of those that count."""
    trouble: str = ""


class OwnSystems:
    """Never commits."""

    def __init__(
        self, vault: Vault, endpoints: EndpointService, streams: Streams, events: ConnectionEvents
    ) -> None:
        self._vault = vault
        self._endpoints = endpoints
        self._streams = streams
        self._events = events

    async def make(
        self, session: AsyncSession, tenant_id: UUID, name: str, principal: Principal
    ) -> tuple[OwnSystem, str]:
        """With the secret of its address, which is shown this once. Raises BadInputError, ConflictError."""
        name = clean_name(name)
        if sum(one.state != "disconnected" for one in await self._rows(session, tenant_id)) >= MOST:
            raise ConflictError(f"There are {MOST} own systems already. Disconnect one that nobody needs.")
        identity = new_id()
        connection = Connection(
            tenant_id=tenant_id,
            id=identity,
            connector=CUSTOM,
            name=name,
            state="setup",
            oauth_client_tenant=tenant_id,
            oauth_client_id=identity,  # nobody's: there is none
            scopes=[],
            via="portal",
            created_by=principal.label,
        )
        session.add(connection)
        await session.flush()
        await session.refresh(connection)
        secret = await self._endpoints.make_own(session, tenant_id, identity, principal)
        journal.told(session, "connection.created", connection)
        return await self._view(session, connection), secret

    async def of_tenant(self, session: AsyncSession, tenant_id: UUID) -> list[OwnSystem]:
        """Those that are not disconnected; the newest first."""
        rows = await self._rows(session, tenant_id)
        return [await self._view(session, one) for one in rows if one.state != "disconnected"]

    async def get(self, session: AsyncSession, tenant_id: UUID, system_id: UUID) -> OwnSystem:
        """Raises NotFoundError."""
        found = await connections.get(session, tenant_id, system_id)
        if found is None or found.connector != CUSTOM:
            raise NotFoundError
        return await self._view(session, found)

    async def rotate(
        self, session: AsyncSession, tenant_id: UUID, system_id: UUID, principal: Principal
    ) -> str:
        """The new secret; the one before counts for a day. Raises NotFoundError, ConflictError."""
        return await self._endpoints.rotate_own(session, tenant_id, system_id, principal)

    async def heard(
        self, session: AsyncSession, tenant_id: UUID, system_id: UUID, limit: int = TRIED
    ) -> list[Heard]:
        """The newest events whose payload is kept."""
        rows = await replay_repository.events(
            session, tenant_id, connection_id=system_id, wanted=Wanted(), limit=limit
        )
        by_id = {one.id: one for one in rows}
        queued = await event_repository.read(session, tenant_id, list(by_id))
        box = await self._vault.box(session, tenant_id)
        opened = [
            Heard(
                event=by_id[one.id],
                queued=one,
                raw=box.open(one.body, one.key_version, place("inbound_events", one.id, field="body")),
            )
            for one in queued
            if one.body is not None
        ]
        return sorted(opened, key=lambda one: one.event.id, reverse=True)

    async def read_as(
        self, session: AsyncSession, tenant_id: UUID, system_id: UUID, reading: Reading, principal: Principal
    ) -> OwnSystem:
        """From now on, and what waits. Raises NotFoundError, BadInputError, ConflictError."""
        connection = await connections.lock(session, tenant_id, system_id)
        if connection is None or connection.connector != CUSTOM:
            raise NotFoundError
        if connection.state == "disconnected":
            raise ConflictError("This system was disconnected.")
        version = written(reading)
        if len(version) > LONGEST:
            raise BadInputError(f"That is more than {LONGEST:,} characters in all.", field="key")
        before = read_back(connection.connector_version)
        await self._must_fit(session, tenant_id, system_id, before, reading)
        connection.connector_version = version
        await session.flush()
        await self._streams.ensure_stream(session, tenant_id, system_id, STREAM, 0, FRESHNESS)
        await journal.audited(
            session,
            principal,
            "reading_chosen",
            connection,
            before={} if before is None else msgspec.to_builtins(before),
            after=msgspec.to_builtins(reading),
        )
        if connection.state == "setup":
            connection.state, connection.state_since = "active", now()
            connection.confirmed_at = connection.confirmed_at or connection.state_since
            await session.flush()
            await journal.audited(session, principal, "connected", connection, via=connection.via)
            await self._events.activated(session, connection, (), principal)
        return await self._view(session, connection)

    # -- inside -----------------------------------------------------------------------------

    async def _must_fit(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        system_id: UUID,
        before: Reading | None,
        reading: Reading,
    ) -> None:
        held = (await runs.counts(session, tenant_id, system_id)).records.get(STREAM, 0)
        if before is not None and held and (before.key, before.record) != (reading.key, reading.record):
            raise ConflictError(
                "Records are held under the key that was chosen. To read another one, make a further system."
            )
        heard = await self.heard(session, tenant_id, system_id)
        if not heard and before is None:
            raise BadInputError("Send an event first: the choice is made by what came.", field="key")
        tried = [one for one in trial(reading, heard) if one.counts]
        if heard and not tried:
            raise BadInputError("None of the events that came has one of these types.", field="only")
        if tried and all(one.trouble for one in tried):
            raise BadInputError(f"In what came, {tried[0].trouble}.", field="key")

    async def _rows(self, session: AsyncSession, tenant_id: UUID) -> Sequence[Connection]:
        return [one for one in await connections.list_all(session, tenant_id) if one.connector == CUSTOM]

    async def _view(self, session: AsyncSession, connection: Connection) -> OwnSystem:
        address = await self._endpoints.of_connection(session, connection.tenant_id, connection.id)
        return OwnSystem(
            id=connection.id,
            name=connection.name,
            state=connection.state,
            url=address.url if address else None,
            reading=read_back(connection.connector_version),
            previous_until=address.previous_until if address else None,
            created_at=connection.created_at,
        )


def trial(reading: Reading, heard: Sequence[Heard]) -> list[Tried]:
    """By the very rules by which events are processed. Pure."""
    manifest = own_manifest(written(reading))
    hooks, spec = manifest.webhooks, manifest.streams[0]
    assert hooks is not None
    found = []
    for one in heard:
        try:
            said = told(hooks, one.queued, document(one.raw))
        except UnparsableError as error:
            found.append(Tried(event=one.event, trouble=str(error)))
            continue
        if said is None:
            found.append(Tried(event=one.event, counts=False))
        elif said.document is None:
            found.append(Tried(event=one.event, key=said.ids[0], at=said.at, gone=True))
        else:
            item = item_of(spec, said)
            found.append(
                Tried(event=one.event, key=said.ids[0], at=item.modified_at, fields=tuple(said.document))
            )
    return found
