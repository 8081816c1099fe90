"""Work `hook_registration`: a connection's address is known at its provider, and stays so; `hook_removal`: it
is not any more.

The first looks before it makes: whatever delivers to the address and is not what we know of (a process ended
between making and writing it down, somebody made it by hand) goes, for its secret is not ours. So there is
one at the end however often it is tried. Looked at anew each day.
"""

from datetime import timedelta
from typing import Final, Protocol
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.connections import repository as connections
from trunkline.connections.errors import NotUsableError
from trunkline.connections.models import Connection
from trunkline.health.issues import open_issue, resolve_causes
from trunkline.kernel.db import Database
from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.principal import SYSTEM
from trunkline.resilience.backoff import full_jitter
from trunkline.resilience.failures import failure
from trunkline.runs.calling import Target
from trunkline.runs.errors import ProviderError
from trunkline.runs.grants import Grants
from trunkline.sdk.registry import Connectors
from trunkline.webhooks import repository
from trunkline.webhooks.models import HookEndpoint
from trunkline.webhooks.registrar import Registrar, Standing
from trunkline.webhooks.service import REGISTRATION_CAUSES, EndpointService
from trunkline.work.lease import Done, Lease, Outcome, Retry

REGISTER: Final = repository.REGISTER
REMOVE: Final = repository.REMOVE
CHECK: Final = timedelta(days=1)
RETRY_BASE: Final = 2.0
RETRY_CAP: Final = 900.0
REMOVAL_TRIES: Final = 8
"""Of a removal, within some ten minutes: the grant that it needs is not to outlive the customer's will."""
REMOVAL_CAP: Final = 120.0

SCOPE, FORBIDDEN, LIMIT, REFUSED = CAUSES = REGISTRATION_CAUSES
_SAID: Final = {"missing_scope": SCOPE, "forbidden": FORBIDDEN, LIMIT: LIMIT}

log = structlog.get_logger(__name__)


class EndingGrants(Grants, Protocol):
    """`trunkline.connections`, which gives up what has ended too."""

    async def revoke_ended(self, session: AsyncSession, connection: Connection) -> str: ...


class RegisterHandler:
    """One per process; call it with a lease of work `hook_registration`."""

    def __init__(
        self,
        *,
        db: Database,
        connectors: Connectors,
        grants: EndingGrants,
        endpoints: EndpointService,
        registrar: Registrar,
    ) -> None:
        self._db = db
        self._connectors = connectors
        self._grants = grants
        self._endpoints = endpoints
        self._registrar = registrar

    async def __call__(self, lease: Lease) -> Outcome:
        connection_id = UUID(lease.key)
        async with self._db.tenant(lease.tenant_id) as session:
            connection = await connections.get(session, lease.tenant_id, connection_id)
            if connection is None or connection.state not in {"active", "setup"}:
                return Done()  # whoever resumes it asks again
            try:
                manifest = await self._connectors.find(connection.spoken)
            except NotFoundError:
                return Done()
            how = manifest.webhooks.registration if manifest.webhooks else None
            if how is None:
                return Done()
            endpoint = await self._endpoints.make_for_connection(
                session, lease.tenant_id, connection_id, connection.spoken
            )
            assert endpoint is not None
            address = await self._endpoints.address(session, endpoint)
            # a key tells nothing of what it may: the provider says so when it is asked
            allowed = not connection.scopes or set(how.scopes) <= set(connection.scopes)
        target = Target(lease.tenant_id, connection_id, manifest)
        if not allowed:
            return await self._failed(lease, connection_id, endpoint, ProviderError(failure("missing_scope")))
        try:
            known = await self._clean(target, endpoint, address)
            if known is None or endpoint.rotating:
                return await self._make(lease, target, endpoint, address, known)
        except NotUsableError:
            return Done()
        except ProviderError as error:
            return await self._failed(lease, connection_id, endpoint, error)
        return await self._stands(lease, connection_id, endpoint)

    async def _clean(self, target: Target, endpoint: HookEndpoint, address: str) -> Standing | None:
        """Ours as it should be, or None; whatever else delivers to the address is removed."""
        known: Standing | None = None
        for one in await self._registrar.listed(target, ending_of(address)):
            if one.id == endpoint.registration and one.address == address and one.works:
                known = one
            else:
                await self._registrar.remove(target, one.id)
        return known

    async def _make(
        self,
        lease: Lease,
        target: Target,
        endpoint: HookEndpoint,
        address: str,
        before: Standing | None,
    ) -> Outcome:
        """Makes one, writes it down, and ends the one before, where there is one."""
        own = self._endpoints.fresh_secret(target.manifest.spoken)
        identity, told = await self._registrar.create(target, address, own)
        async with self._db.tenant(lease.tenant_id) as session:
            await self._endpoints.registered(session, lease.tenant_id, endpoint.id, identity, told or own)
            await resolve_causes(session, lease.tenant_id, target.connection_id, CAUSES)
            deed = "hook.registered" if endpoint.registration is None else "hook.repaired"
            if before is not None:
                deed = "hook.rotated"
            await append(session, SYSTEM, deed, "connection", target.connection_id, tenant_id=lease.tenant_id)
            await lease.fence(session)
        if before is not None:
            await self._registrar.remove(target, before.id)
        return Done(again_at=lease.now() + CHECK)

    async def _stands(self, lease: Lease, connection_id: UUID, endpoint: HookEndpoint) -> Outcome:
        outcome = Done(again_at=lease.now() + CHECK)
        async with self._db.tenant(lease.tenant_id) as session:
            await repository.change_endpoint(
                session, lease.tenant_id, endpoint.id, state="registered", cause=None, checked_at=lease.now()
            )
            await resolve_causes(session, lease.tenant_id, connection_id, CAUSES)
            await lease.finish(session, outcome)
        return outcome

    async def _failed(
        self, lease: Lease, connection_id: UUID, endpoint: HookEndpoint, error: ProviderError
    ) -> Outcome:
        found = error.failure
        said = _SAID.get(found.code)
        if said is None and found.action in {"fail", "pause", "quarantine"}:
            said = REFUSED
        outcome: Outcome
        async with self._db.tenant(lease.tenant_id) as session:
            if said is not None:
                outcome = Done(again_at=lease.now() + CHECK)
                if endpoint.state != "active":  # or somebody entered the address there by hand
                    await open_issue(session, lease.tenant_id, connection_id, said, detail=error.detail)
            elif found.action in {"reconnect", "refresh"}:
                outcome = Done()
                await self._grants.require_reconnect(session, lease.tenant_id, connection_id, found.code)
            else:
                at = lease.now() + timedelta(seconds=full_jitter(lease.tries + 1, RETRY_BASE, RETRY_CAP))
                outcome = Retry(found.code, max(at, error.retry_at) if error.retry_at else at)
            state = endpoint.state
            if said is not None and state != "active":
                state = "refused"
            await repository.change_endpoint(
                session,
                lease.tenant_id,
                endpoint.id,
                state=state,
                cause=said or found.code,
                checked_at=lease.now(),
            )
            await lease.finish(session, outcome)
        return outcome


class RemoveHandler:
    """One per process; call it with a lease of work `hook_removal`: of a connection that has ended.

    The grant is revoked after that, whatever came of it: it was kept for this alone.
    """

    def __init__(
        self, *, db: Database, connectors: Connectors, grants: EndingGrants, registrar: Registrar
    ) -> None:
        """`registrar`: whose calls may use the grant of a connection that has ended."""
        self._db = db
        self._connectors = connectors
        self._grants = grants
        self._registrar = registrar

    async def __call__(self, lease: Lease) -> Outcome:
        connection_id = UUID(lease.key)
        async with self._db.tenant(lease.tenant_id) as session:
            connection = await connections.get(session, lease.tenant_id, connection_id)
            endpoint = await repository.endpoint_of_connection(session, lease.tenant_id, connection_id)
        if connection is None or connection.state != "disconnected":
            return Done()  # connected again meanwhile
        removed = endpoint is None or endpoint.registration is None
        if endpoint is not None and endpoint.registration is not None:
            manifest = await self._connectors.find(connection.granted)
            target = Target(lease.tenant_id, connection_id, manifest)
            try:
                await self._registrar.remove(target, endpoint.registration)
                removed = True
            except ProviderError as error:
                again = error.failure.action not in {"reconnect", "refresh", "fail", "pause"}
                if again and lease.tries + 1 < REMOVAL_TRIES:
                    seconds = full_jitter(lease.tries + 1, RETRY_BASE, REMOVAL_CAP)
                    return Retry(error.failure.code, lease.now() + timedelta(seconds=seconds))
                log.warning("webhook left at the provider", cause=error.failure.code)
            except NotUsableError:
                log.warning("webhook left at the provider", cause="no_access")
        async with self._db.tenant(lease.tenant_id) as session:
            locked = await connections.lock(session, lease.tenant_id, connection_id, with_credential=True)
            if locked is not None and locked.state == "disconnected":
                revocation = await self._grants.revoke_ended(session, locked)
                if endpoint is not None:
                    await repository.change_endpoint(
                        session,
                        lease.tenant_id,
                        endpoint.id,
                        state="removed" if removed else "left",
                        cause=None,
                        registration=None,
                        registered_at=None,
                    )
                await append(
                    session,
                    SYSTEM,
                    "connection.access_ended",
                    "connection",
                    connection_id,
                    {"webhook": "removed" if removed else "left", "revocation": revocation},
                    tenant_id=lease.tenant_id,
                )
            outcome = Done()
            await lease.finish(session, outcome)
        return outcome


def ending_of(address: str) -> str:
    """What stays of an address when this installation moves to another name."""
    return address[address.index("/hooks/") :]
