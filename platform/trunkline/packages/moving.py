"""A connection that staff move by hand to a version of its connector that it does not move to by itself.

Its recipes and what was read stay; everything is read anew, since what was noted of where reading stands may
mean something else. Access is asked for anew wherever the version would use it for more or send it elsewhere.
Back goes the same way, while the version is one that the tenant may connect.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from trunkline.connections import repository as connections_repository
from trunkline.connections.models import Connection
from trunkline.connections.service import ConnectionService
from trunkline.connections.versions import MOVED
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.packages.compatibility import Change, bare, changes, compatible
from trunkline.runs.service import RunService
from trunkline.sdk.credentials import GIVEN, values_of, way_of
from trunkline.sdk.manifest import Manifest, OAuth2
from trunkline.sdk.registry import Connectors, version_key
from trunkline.work.queue import WorkQueue

_MOVABLE = frozenset({"setup", "active", "paused", "reconnect_required"})


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """To a version that the tenant may connect. `refusal`: why not, empty if nothing stands against it."""

    manifest: Manifest
    changes: Sequence[Change]
    refusal: str
    reconnect: bool
    """Whether the customer must give access anew."""

    @property
    def version(self) -> str:
        return self.manifest.version


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    connection: Connection
    manifest: Manifest
    """Of the version that it speaks."""
    steps: Sequence[Step]
    """The newest version first."""


def step(
    old: Manifest,
    new: Manifest,
    config: Mapping[str, Any],
    scopes: Collection[str],
    approved: Sequence[Manifest],
) -> Step:
    """`config`, `scopes`: the connection's; `approved`: every version that its tenant may connect."""
    return Step(
        manifest=new,
        changes=changes(old, new),
        refusal=_refusal(old, new, config, approved),
        reconnect=_needs_access(old, new, config, scopes),
    )


def _refusal(old: Manifest, new: Manifest, config: Mapping[str, Any], approved: Sequence[Manifest]) -> str:
    if compatible(old, new):
        return "The connection moves there by itself."
    onward = [one for one in approved if compatible(new, one)]
    if onward:
        newest = max(onward, key=lambda one: version_key(one.version))
        return f"From there it would move on to {newest.version} by itself."
    anew = "Connect the account anew instead."
    if (old.account.id, old.account.source) != (new.account.id, new.account.source):
        return f"That version tells accounts apart by another value. {anew}"
    for before in old.streams:
        after = new.stream(before.name)
        if after is not None and before.modified != after.modified:
            return (
                f"That version dates {before.name} in another way, so what is newer could not be told. {anew}"
            )
    if _addressed(old) and _addressed(new) and _addressed(old) != _addressed(new):
        return f"The webhooks of that version belong to somebody else. {anew}"
    way = way_of(old, config)
    other = next((one for one in new.ways if one.key == way.key), None)
    if other is None or type(other) is not type(way):
        return f"The way in which this account gave access is gone there. {anew}"
    asked = {one.name for one in other.inputs}
    if isinstance(other, OAuth2) and not asked <= set(values_of(new, config)):
        return f"That version must know more of the account before it can be signed in to. {anew}"
    return ""


def _addressed(manifest: Manifest) -> tuple[str, str] | None:
    hooks = manifest.webhooks
    return None if hooks is None else (hooks.owner, hooks.keyed_by)


def _needs_access(old: Manifest, new: Manifest, config: Mapping[str, Any], scopes: Collection[str]) -> bool:
    way = way_of(old, config)
    other = next((one for one in new.ways if one.key == way.key), None)
    return (
        other is None
        or bool(set(new.hosts) - set(old.hosts))
        or old.base_url != new.base_url
        or bare(way) != bare(other)
        or bool(other.lacking(scopes, other.scopes))
    )


class Mover:
    """One per process; opens its own sessions."""

    def __init__(
        self,
        db: Database,
        connectors: Connectors,
        connections: ConnectionService,
        runs: RunService,
        work: WorkQueue,
    ) -> None:
        self._db = db
        self._connectors = connectors
        self._connections = connections
        self._runs = runs
        self._work = work

    async def steps(self, tenant_id: UUID, connection_id: UUID) -> Steps:
        """Where it could go: nowhere, of one through a connector of ours. NotFoundError."""
        await self._connectors.refresh()
        async with self._db.tenant(tenant_id) as session:
            connection = await connections_repository.get(session, tenant_id, connection_id)
        if connection is None:
            raise NotFoundError
        return self._steps(tenant_id, connection)

    async def move(
        self, by: Principal, tenant_id: UUID, connection_id: UUID, version: str, reason: str
    ) -> Step:
        """Done, and what it meant. NotFoundError, BadInputError (version), ConflictError."""
        await self._connectors.refresh()
        async with self._db.tenant(tenant_id) as session:
            connection = await connections_repository.lock(session, tenant_id, connection_id)
            if connection is None:
                raise NotFoundError
            if connection.state not in _MOVABLE:
                raise ConflictError("Only an account that is connected can be moved.")
            found = next(
                (one for one in self._steps(tenant_id, connection).steps if one.version == version), None
            )
            if found is None:
                raise BadInputError("Choose a version that this tenant may connect.", field="version")
            if found.refusal:
                raise BadInputError(found.refusal, field="version")
            lost = connection.state == "reconnect_required" and connection.cause != MOVED
            await self._runs.begin_anew(
                session, tenant_id, connection_id, {one.name for one in found.manifest.streams}
            )
            await self._connections.versions.speak(
                session, connection, found.version, by, reason, reconnect=found.reconnect or lost
            )
        await self._work.wake()
        return found

    def _steps(self, tenant_id: UUID, connection: Connection) -> Steps:
        old = self._connectors.get(connection.spoken)
        if connection.connector_version is None:
            return Steps(connection=connection, manifest=old, steps=[])
        approved = self._connectors.approved(tenant_id, connection.connector)
        others = sorted(
            (one for one in approved if one.version != old.version),
            key=lambda one: version_key(one.version),
            reverse=True,
        )
        waits = connection.state == "reconnect_required" and connection.cause == MOVED
        given = connection.config.get(GIVEN) if waits else None
        found = [step(old, new, connection.config, connection.scopes, approved) for new in others]
        if given is not None:  # its credential is another version's, and good for that alone
            found = [msgspec.structs.replace(one, reconnect=one.version != given) for one in found]
        return Steps(connection=connection, manifest=old, steps=found)
