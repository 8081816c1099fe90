"""How an endpoint fares: failing, told so, resting, disabled. In its owner's scope, apart from deliveries."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from trunkline.audit.service import append
from trunkline.deliveries import endpoint_repository
from trunkline.deliveries.catalogue import EndpointData
from trunkline.deliveries.outbox import emit
from trunkline.deliveries.schedule import DISABLE_AFTER, NOTICE_AFTER, rest
from trunkline.deliveries.schemas import EndpointView
from trunkline.deliveries.sender import Sent
from trunkline.kernel.db import Database
from trunkline.kernel.principal import SYSTEM

GONE = 410


async def learn(db: Database, endpoint: EndpointView, sent: Sequence[Sent], now: datetime) -> None:
    """From what became of several requests. A single success clears what failures said before."""
    if not sent:
        return
    owner, identity = endpoint.tenant_id, endpoint.id
    taken = any(one.cause is None for one in sent)
    until = max((at for one in sent if (at := rest(one.status, one.headers, now))), default=None)
    if any(one.status == GONE for one in sent):
        await _disable(db, endpoint, "gone", endpoint.failing_since)
        return
    if taken and endpoint.failing_since is None and until is None:
        return
    async with db.tenant(owner) as session:
        if until is not None:
            await endpoint_repository.note_rest(session, owner, identity, until)
        if taken:
            await endpoint_repository.note_working(session, owner, identity)
            return
        since = await endpoint_repository.note_failing(session, owner, identity, now)
        if since is None:
            return
        lasted = now - since
        if (
            NOTICE_AFTER <= lasted < DISABLE_AFTER
            and endpoint.noticed_at is None
            and await endpoint_repository.note_noticed(session, owner, identity, now)
        ):
            data = EndpointData(
                endpoint_id=identity,
                cause="failing",
                failing_since=since,
                disables_at=since + DISABLE_AFTER,
            )
            emit(session, owner, "endpoint.failing", data, subject=identity)
            await append(session, SYSTEM, "endpoint.failing", "endpoint", identity, tenant_id=owner)
    if lasted >= DISABLE_AFTER:
        await _disable(db, endpoint, "failing", since)


async def _disable(db: Database, endpoint: EndpointView, cause: str, since: datetime | None) -> None:
    owner: UUID = endpoint.tenant_id
    async with db.tenant(owner) as session:
        if not await endpoint_repository.disable(session, owner, endpoint.id, cause):
            return
        data = EndpointData(
            endpoint_id=endpoint.id,
            cause="gone" if cause == "gone" else "failing",
            failing_since=since,
            disables_at=None,
        )
        emit(session, owner, "endpoint.disabled", data, subject=endpoint.id)
        await append(
            session,
            SYSTEM,
            "endpoint.disabled",
            "endpoint",
            endpoint.id,
            {"cause": cause},
            tenant_id=owner,
            before={"enabled": True},
            after={"enabled": False},
        )
