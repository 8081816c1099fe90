"""Whose an address is, and by which keys its deliveries are proven."""

import hashlib
import secrets
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

import msgspec

from trunkline.connections.schemas import Client
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import NotFoundError
from trunkline.sdk.registry import Connectors, spoken, version_key
from trunkline.sdk.signatures import resolve
from trunkline.sdk.webhooks import Webhooks
from trunkline.vault.box import Box
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault
from trunkline.webhooks import event_repository, repository
from trunkline.webhooks.kept import Kept
from trunkline.webhooks.models import HookEndpoint
from trunkline.webhooks.signatures import Scheme

KEY_BYTES: Final = 24
KEPT_SECONDS: Final = 2.0
"""How late a new secret, a removed address or a moved account may count."""


class Clients(Protocol):
    """`trunkline.connections.clients`."""

    async def exactly(self, tenant_id: UUID, connector: str, *, owner: UUID, row: UUID) -> Client | None: ...


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An address, opened: of a connection or, for all accounts of an app, of an OAuth client."""

    tenant_id: UUID
    endpoint_id: UUID
    connector: str
    hooks: Webhooks
    connection_id: UUID | None
    client_id: UUID | None
    ways: Sequence[tuple[Scheme, Sequence[bytes]]]

    def __repr__(self) -> str:
        return f"Source({self.connector!r}, {self.endpoint_id})"


class Sealing(msgspec.Struct, frozen=True, kw_only=True):
    """Seals of a tenant's events: of the bytes given, for the row of the id. They raise SealBudgetError."""

    version: int
    headers: Callable[[bytes, object], bytes]
    body: Callable[[bytes, object], bytes]


def new_key() -> str:
    return secrets.token_urlsafe(KEY_BYTES)


def key_hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def hooks_of(connectors: Connectors, connector: str) -> Webhooks | None:
    """`connector`: as a connection speaks it. None: there is none, or it has no webhooks."""
    try:
        return connectors.get(connector).webhooks
    except NotFoundError:
        return None


def hooks_of_client(
    connectors: Connectors, owner: UUID, connector: str, versions: Collection[str | None]
) -> Webhooks | None:
    """Of the one address of an OAuth client: as the newest version has it that one of its connections speaks
    (`versions`); without any, as the newest that its owner may connect. None: neither has webhooks.
    """
    held = [version for version in versions if version is not None]
    if held:
        return hooks_of(connectors, spoken(connector, max(held, key=version_key)))
    if owner == OPERATOR or not connectors.is_partners(connector):
        return hooks_of(connectors, connector)
    try:
        return connectors.offer(owner, connector).webhooks
    except NotFoundError:
        return None


def opened(box: Box, endpoint: HookEndpoint, field: str) -> str | None:
    """`key`, `secret` or `previous_secret`."""
    sealed: bytes | None = getattr(endpoint, field)
    if sealed is None:
        return None
    return box.open(sealed, endpoint.key_version, place("hook_endpoints", endpoint.id, field=field)).decode()


def secrets_of(box: Box, endpoint: HookEndpoint, client: str | None, moment: datetime) -> list[str]:
    """The one in force first, then the one before while both count."""
    found = [opened(box, endpoint, "secret") if client is None else client]
    if endpoint.previous_until is not None and endpoint.previous_until > moment:
        found.append(opened(box, endpoint, "previous_secret"))
    return [secret for secret in found if secret]


class Sources:
    """One per process; opens its own sessions."""

    def __init__(self, db: Database, vault: Vault, connectors: Connectors, clients: Clients) -> None:
        self._db = db
        self._vault = vault
        self._connectors = connectors
        self._clients = clients
        self._sources: Kept[tuple[str, str], Source | None] = Kept(self._source, seconds=KEPT_SECONDS)
        self._routes: Kept[tuple[UUID, str], list[tuple[UUID, UUID]]] = Kept(
            self._route, seconds=KEPT_SECONDS
        )
        self._sealing: Kept[UUID, Sealing] = Kept(self._sealer, seconds=KEPT_SECONDS)

    async def find(self, connector: str, key: str) -> Source | None:
        """None: an address that nobody has, or no longer."""
        if not key or len(key) > 64 or not key.isascii():
            return None
        return await self._sources.get((connector, key))

    async def routes(self, source: Source, account: str | None) -> list[tuple[UUID, UUID | None]]:
        """(tenant, connection) of each that an event of that account is for."""
        if source.client_id is None:
            return [(source.tenant_id, source.connection_id)]
        found = await self._routes.get((source.client_id, account or ""))
        return [(tenant, connection) for tenant, connection in found]

    async def sealing(self, tenant_id: UUID) -> Sealing:
        return await self._sealing.get(tenant_id)

    def forget(self) -> None:
        """What was found so far, when it has turned out to be old."""
        self._sources.forget()
        self._routes.forget()
        self._sealing.forget()

    # -- inside -----------------------------------------------------------------------------

    async def _source(self, asked: tuple[str, str]) -> Source | None:
        connector, key = asked
        async with self._db.system() as system:
            owner = await repository.owner_of_key(system, key_hash(key))
        if owner is None:
            return None
        if self._connectors.is_partners(connector):
            await self._connectors.refresh()
        hooks = hooks_of(self._connectors, connector)
        async with self._db.tenant(owner) as session:
            found = await repository.endpoint_of_key(session, owner, key_hash(key))
            if found is None or found.connector != connector:
                return None
            if found.connection_id is not None:
                known = await event_repository.connection(session, owner, found.connection_id)
                if known is None or known.state not in repository.TAKING:
                    return None
                hooks = hooks_of(self._connectors, known.connector)
            box = await self._vault.box(session, owner)
            secret = None
            if found.oauth_client_id is not None:
                client = await self._clients.exactly(owner, connector, owner=owner, row=found.oauth_client_id)
                if client is None:
                    return None
                secret = client.secret
                async with self._db.system() as system:
                    versions = await repository.versions_of_client(system, client.id)
                hooks = hooks_of_client(self._connectors, owner, connector, versions)
            if hooks is None:
                return None
            if hooks.keyed_by == "pasted":
                secret = None  # the address has one of its own
            proven_by = secrets_of(box, found, secret, now())
        schemes = [Scheme(resolve(given)) for given in hooks.signatures]
        return Source(
            tenant_id=owner,
            endpoint_id=found.id,
            connector=connector,
            hooks=hooks,
            connection_id=found.connection_id,
            client_id=found.oauth_client_id,
            ways=[(scheme, [scheme.key(secret) for secret in proven_by]) for scheme in schemes],
        )

    async def _route(self, asked: tuple[UUID, str]) -> list[tuple[UUID, UUID]]:
        async with self._db.system() as system:
            return await repository.of_account(system, *asked)

    async def _sealer(self, tenant_id: UUID) -> Sealing:
        async with self._db.tenant(tenant_id) as session:
            box = await self._vault.box(session, tenant_id)
        return Sealing(
            version=box.version,
            headers=box.sealer("inbound_events", field="headers"),
            body=box.sealer("inbound_events", field="body"),
        )
