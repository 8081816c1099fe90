"""Addresses: made, shown, given another secret, taken away."""

import base64
import secrets
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.connections import repository as connections
from trunkline.connections.models import OAuthClient
from trunkline.health.issues import resolve_causes
from trunkline.kernel.clock import now
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.own import CUSTOM
from trunkline.sdk.registry import Connectors
from trunkline.sdk.signatures import resolve
from trunkline.sdk.webhooks import ByHand, Webhooks
from trunkline.vault.box import Box
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault
from trunkline.webhooks import event_repository, repository
from trunkline.webhooks.intake import PREFIX
from trunkline.webhooks.models import HookEndpoint
from trunkline.webhooks.signatures import Scheme
from trunkline.webhooks.sources import hooks_of, hooks_of_client, key_hash, new_key, opened

REGISTRATION_CAUSES: Final = ("webhook_scope", "webhook_forbidden", "webhook_limit", "webhook_refused")
"""Why an address could not be registered at its provider: rows of the failure table."""
OVERLAP: Final = timedelta(hours=24)
"""How long the secret before goes on to count, once there is a new one."""


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    """An address as its owner may see it."""

    id: UUID
    connector: str
    name: str
    connection_id: UUID | None
    url: str
    state: str
    cause: str | None
    previous_until: datetime | None
    registered: bool
    """Known at the provider, by a call of ours."""
    registered_at: datetime | None
    rotating: bool
    keyed: bool
    """It has a secret of its own; without, and without a client's, nothing that comes is proven."""
    checked_at: datetime | None
    created_at: datetime


class PastedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """Of an app's one address: where its secret is found, whether it was pasted, what was last refused."""

    guide: ByHand
    keyed: bool
    refused_at: datetime | None
    refused: str
    """A cause of `refusals`; unknown_account is proven, of an account that nobody has connected."""


class EndpointService:
    def __init__(self, settings: Settings, vault: Vault, connectors: Connectors) -> None:
        self._origin = settings.origin
        self._vault = vault
        self._connectors = connectors

    async def of_client(self, session: AsyncSession, tenant_id: UUID, connector: str) -> EndpointView:
        """The one address of an OAuth client's app, made at the first asking; `session` is its owner's.

        Raises NotFoundError where the owner has no client, or the connector no such address.
        """
        client = await connections.client(session, tenant_id, connector)
        if client is None or not await self._delivers_to(session, tenant_id, client):
            raise NotFoundError
        found = await repository.endpoint_of_client(session, tenant_id, connector)
        box = await self._vault.box(session, tenant_id)
        if found is None:
            found = self._make(session, box, tenant_id, connector, oauth_client_id=client.id)
            await session.flush()
        return self._view(box, found)

    async def of_own_clients(self, session: AsyncSession, tenant_id: UUID) -> dict[str, str]:
        """By connector: the address for each client of the tenant's own whose provider delivers to one."""
        found: dict[str, str] = {}
        for client in await connections.clients(session, tenant_id):
            if await self._delivers_to(session, tenant_id, client):
                found[client.connector] = (await self.of_client(session, tenant_id, client.connector)).url
        return found

    async def of_connection(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID
    ) -> EndpointView | None:
        """None: its provider has no webhooks, or delivers to the app's own address."""
        found = await repository.endpoint_of_connection(session, tenant_id, connection_id)
        if found is None:
            return None
        return self._view(await self._vault.box(session, tenant_id), found)

    async def make_for_connection(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, connector: str
    ) -> HookEndpoint | None:
        """The connection's own address, where its provider delivers to one for each.

        `connector`: as the connection speaks it.
        """
        hooks = hooks_of(self._connectors, connector)
        if hooks is None or hooks.owner != "connection":
            return None
        found = await repository.endpoint_of_connection(session, tenant_id, connection_id)
        if found is None:
            box = await self._vault.box(session, tenant_id)
            found = self._make(
                session,
                box,
                tenant_id,
                connector.partition("@")[0],
                connection_id=connection_id,
                secret=self.fresh_secret(connector),
                state="active" if hooks.registration is None else "registering",
            )
            await session.flush()
        return found

    def fresh_secret(self, connector: str) -> str | None:
        """One that we make; None where the client or the provider has its own. `connector`: as spoken."""
        hooks = hooks_of(self._connectors, connector)
        if hooks is None or hooks.keyed_by != "us":
            return None
        return as_signed_with(hooks, secrets.token_urlsafe(24))

    async def address(self, session: AsyncSession, endpoint: HookEndpoint) -> str:
        return self._url(await self._vault.box(session, endpoint.tenant_id), endpoint)

    async def registered(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        endpoint_id: UUID,
        registration: str,
        secret: str | None,
    ) -> None:
        """Known at its provider by that id, and signed with that secret; the one before counts for a day."""
        found = await repository.endpoint(session, tenant_id, endpoint_id)
        if found is None:
            raise NotFoundError
        box = await self._vault.box(session, tenant_id)
        before, moment = opened(box, found, "secret"), now()
        # one that never was at the provider's signed nothing
        kept = before if found.registration is not None else None
        await self._seal(
            session, box, found, secret=secret, previous_secret=kept, until=moment + OVERLAP if kept else None
        )
        await repository.change_endpoint(
            session,
            tenant_id,
            endpoint_id,
            registration=registration,
            state="registered",
            cause=None,
            rotating=False,
            registered_at=moment,
            checked_at=moment,
        )

    async def by_hand(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        principal: Principal,
        secret: str | None = None,
    ) -> str:
        """A person enters the address at the provider, where we may not; the secret, to be shown this once.

        `secret`: the provider's, where it makes one. The one before counts for a day. Raises NotFoundError,
        ConflictError, BadInputError.
        """
        found = await repository.endpoint_of_connection(session, tenant_id, connection_id)
        known = await event_repository.connection(session, tenant_id, connection_id)
        hooks = None if known is None else hooks_of(self._connectors, known.connector)
        if found is None or hooks is None or found.registration is not None:
            raise NotFoundError
        box = await self._vault.box(session, tenant_id)
        if hooks.keyed_by in {"provider", "pasted"}:
            secret = pasted(hooks, secret)
            await self._paste(session, box, found, secret)
        else:
            secret = self.fresh_secret(known.connector)
            assert secret is not None
            # until now nobody had it, unless a person did this before
            await self._replace(session, box, found, secret, counts=found.state == "active")
        await repository.change_endpoint(session, tenant_id, found.id, state="active", cause=None)
        await resolve_causes(session, tenant_id, connection_id, REGISTRATION_CAUSES)
        await append(
            session, principal, "hook.entered_by_hand", "connection", connection_id, tenant_id=tenant_id
        )
        return secret

    async def paste_for_client(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connector: str,
        principal: Principal,
        secret: str,
        reason: str | None = None,
    ) -> None:
        """The secret that the pages of the owner's app show for its one address; the one before counts for a
        day. `session`: the owner's. Raises NotFoundError, BadInputError, ConflictError.
        """
        client = await connections.client(session, tenant_id, connector)
        hooks = None if client is None else await self._of_client(session, tenant_id, client)
        if client is None or hooks is None or hooks.keyed_by != "pasted" or hooks.owner != "client":
            raise NotFoundError
        await self.of_client(session, tenant_id, connector)
        found = await repository.endpoint_of_client(session, tenant_id, connector)
        assert found is not None
        box = await self._vault.box(session, tenant_id)
        await self._paste(session, box, found, pasted(hooks, secret))
        await append(
            session,
            principal,
            "hook.secret_pasted",
            "oauth_client",
            connector,
            {"connector": connector},
            reason,
            tenant_id=tenant_id,
        )

    async def pasted_of_own_clients(self, session: AsyncSession, tenant_id: UUID) -> dict[str, PastedSecret]:
        """By connector, of those clients of the owner's whose address has a pasted secret."""
        found: dict[str, PastedSecret] = {}
        for client in await connections.clients(session, tenant_id):
            hooks = await self._of_client(session, tenant_id, client)
            if hooks is None or hooks.keyed_by != "pasted" or hooks.by_hand is None:
                continue
            held = await repository.endpoint_of_client(session, tenant_id, client.connector)
            last = await repository.last_refused(session, tenant_id, held.id) if held else None
            found[client.connector] = PastedSecret(
                guide=hooks.by_hand,
                keyed=held is not None and held.secret is not None,
                refused_at=last[0] if last else None,
                refused=last[1] if last else "",
            )
        return found

    async def rotate_registered(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, principal: Principal
    ) -> None:
        """Asks for another secret at the provider; the one before counts for a day. NotFoundError."""
        found = await repository.endpoint_of_connection(session, tenant_id, connection_id)
        if found is None or found.registration is None:
            raise NotFoundError
        if found.previous_until is not None and found.previous_until > now():
            raise ConflictError("Two secrets count already. Wait until the older one has ended.")
        await repository.change_endpoint(session, tenant_id, found.id, rotating=True)
        await append(
            session, principal, "hook.rotation_asked", "connection", connection_id, tenant_id=tenant_id
        )

    async def list(self, session: AsyncSession, tenant_id: UUID) -> list[EndpointView]:
        box = await self._vault.box(session, tenant_id)
        return [self._view(box, one) for one in await repository.endpoints(session, tenant_id)]

    async def make_own(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, principal: Principal
    ) -> str:
        """The address of a customer's own system, and its secret, which is shown this once."""
        box = await self._vault.box(session, tenant_id)
        secret = standard_secret()
        self._make(session, box, tenant_id, CUSTOM, connection_id=connection_id, secret=secret)
        await session.flush()
        await append(session, principal, "hook.added", "connection", connection_id, tenant_id=tenant_id)
        return secret

    async def rotate_own(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, principal: Principal
    ) -> str:
        """A new secret for a customer's own system; the one before counts for a day. NotFoundError."""
        found = await repository.endpoint_of_connection(session, tenant_id, connection_id)
        if found is None or found.connector != CUSTOM:
            raise NotFoundError
        box = await self._vault.box(session, tenant_id)
        before, secret = opened(box, found, "secret"), standard_secret()
        if found.previous_until is not None and found.previous_until > now():
            raise ConflictError("Two secrets count already. Wait until the older one has ended.")
        await self._seal(session, box, found, secret=secret, previous_secret=before, until=now() + OVERLAP)
        await append(session, principal, "hook.rotated", "connection", connection_id, tenant_id=tenant_id)
        return secret

    async def forget_own(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        """A customer's own system's address ends, and its secret is forgotten; what arrived stays."""
        found = await repository.endpoint_of_connection(session, tenant_id, connection_id)
        if found is not None and found.connector == CUSTOM:
            await repository.remove_endpoint(session, tenant_id, found.id)

    async def keep_client_secret(self, session: AsyncSession, tenant_id: UUID, connector: str) -> None:
        """The owner's client is about to get another secret: what this one signs counts for a day more."""
        found = await repository.endpoint_of_client(session, tenant_id, connector)
        client = await connections.client(session, tenant_id, connector)
        if found is None or client is None or found.secret is not None:
            return  # or it is proven by a secret of its own
        box = await self._vault.box(session, tenant_id)
        before = box.open(
            client.secret, client.key_version, place("oauth_clients", connector, field="secret")
        )
        await self._seal(session, box, found, previous_secret=before.decode(), until=now() + OVERLAP)

    # -- inside -----------------------------------------------------------------------------

    async def _delivers_to(self, session: AsyncSession, tenant_id: UUID, client: OAuthClient) -> bool:
        """Whether its provider delivers to one address for all accounts. `session`: its owner's."""
        hooks = await self._of_client(session, tenant_id, client)
        return hooks is not None and hooks.owner == "client"

    async def _of_client(
        self, session: AsyncSession, tenant_id: UUID, client: OAuthClient
    ) -> Webhooks | None:
        versions = await repository.versions_of_client(session, client.id)
        return hooks_of_client(self._connectors, tenant_id, client.connector, versions)

    async def _replace(
        self, session: AsyncSession, box: Box, found: HookEndpoint, secret: str, *, counts: bool
    ) -> None:
        """`counts`: what the secret before signed, for a day more. Raises ConflictError."""
        before = opened(box, found, "secret") if counts else None
        if before is not None and found.previous_until is not None and found.previous_until > now():
            raise ConflictError("Two secrets count already. Wait until the older one has ended.")
        until = now() + OVERLAP if before else None
        await self._seal(session, box, found, secret=secret, previous_secret=before, until=until)

    async def _paste(self, session: AsyncSession, box: Box, found: HookEndpoint, secret: str) -> None:
        """The secret before counts for a day more; pasted meanwhile, this one stands in the place of one that
        may have been copied wrongly, and that before it goes on to count.
        """
        if found.previous_until is not None and found.previous_until > now():
            await self._seal(session, box, found, secret=secret)
        else:
            await self._replace(session, box, found, secret, counts=True)

    def _make(
        self,
        session: AsyncSession,
        box: Box,
        tenant_id: UUID,
        connector: str,
        *,
        connection_id: UUID | None = None,
        oauth_client_id: UUID | None = None,
        name: str = "",
        secret: str | None = None,
        state: str = "active",
    ) -> HookEndpoint:
        identity, key = new_id(), new_key()
        made = HookEndpoint(
            tenant_id=tenant_id,
            id=identity,
            connector=connector,
            connection_id=connection_id,
            oauth_client_id=oauth_client_id,
            name=name,
            key_hash=key_hash(key),
            key=box.seal(key.encode(), _place(identity, "key")),
            secret=None if secret is None else box.seal(secret.encode(), _place(identity, "secret")),
            key_version=box.version,
            state=state,
            created_at=now(),
        )
        session.add(made)
        return made

    async def _seal(
        self,
        session: AsyncSession,
        box: Box,
        found: HookEndpoint,
        *,
        until: datetime | None = None,
        **fresh: str | None,
    ) -> None:
        """All of the row's secrets anew: they share one key version."""
        values = {name: opened(box, found, name) for name in ("key", "secret", "previous_secret")} | fresh
        sealed = {
            name: None if value is None else box.seal(value.encode(), _place(found.id, name))
            for name, value in values.items()
        }
        if until is not None:
            sealed["previous_until"] = until  # type: ignore[assignment]
        await repository.change_endpoint(
            session, found.tenant_id, found.id, **sealed, key_version=box.version
        )

    def _url(self, box: Box, endpoint: HookEndpoint) -> str:
        return f"{self._origin}{PREFIX}{endpoint.connector}/{opened(box, endpoint, 'key')}"

    def _view(self, box: Box, endpoint: HookEndpoint) -> EndpointView:
        return EndpointView(
            id=endpoint.id,
            connector=endpoint.connector,
            name=endpoint.name,
            connection_id=endpoint.connection_id,
            url=self._url(box, endpoint),
            state=endpoint.state,
            cause=endpoint.cause,
            previous_until=endpoint.previous_until,
            registered=endpoint.registration is not None,
            registered_at=endpoint.registered_at,
            rotating=endpoint.rotating,
            keyed=endpoint.secret is not None,
            checked_at=endpoint.checked_at,
            created_at=endpoint.created_at,
        )


def pasted(hooks: Webhooks, secret: str | None) -> str:
    """A secret as a person copied it from the provider's pages. Raises BadInputError."""
    text = (secret or "").strip()
    fits = 8 <= len(text) <= 200 and text.isascii() and text.isprintable()
    try:
        for given in hooks.signatures if fits else ():
            Scheme(resolve(given)).key(text)
    except ValueError:
        fits = False
    if not fits:
        raise BadInputError("Paste the whole secret, as the provider shows it.", field="secret")
    return text


def as_signed_with(hooks: Webhooks, secret: str) -> str:
    """A secret of ours as the provider takes it: of basic authentication, the user and the password."""
    basic = resolve(hooks.signatures[0]).header.lower() == "authorization"
    return f"trunkline:{secret}" if basic else secret


def standard_secret() -> str:
    """As Standard Webhooks writes it: 24 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def _place(endpoint_id: UUID, field: str) -> str:
    return place("hook_endpoints", endpoint_id, field=field)
