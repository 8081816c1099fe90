"""Rules of webhook endpoints and of what is sent again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.deliveries import credentials, endpoint_repository, keyring, outbox, repository
from trunkline.deliveries.body import payload_of
from trunkline.deliveries.catalogue import TestData, known, matching
from trunkline.deliveries.housekeeping import KEPT
from trunkline.deliveries.jobs import SHARED
from trunkline.deliveries.schemas import (
    AttemptView,
    DeliveryDetail,
    DeliveryView,
    EndpointChange,
    EndpointIn,
    EndpointView,
)
from trunkline.deliveries.signing import message_id
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.egress import Egress, EgressRefusedError
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue

MOST = 50
"""Endpoints of an owner: patterns are meant for the rest."""
RECOVER = "recover_deliveries"
WATCH_CERTIFICATE = "watch_certificate"


class DeliveryService:
    """Never commits, but for `recover_one`. `tenant_id`: the session's, which owns the endpoint."""

    def __init__(self, db: Database, vault: Vault, egress: Egress, work: WorkQueue) -> None:
        self._db = db
        self._vault = vault
        self._egress = egress
        self._work = work

    # -- endpoints --------------------------------------------------------------------------

    async def endpoints(self, session: AsyncSession, tenant_id: UUID) -> list[EndpointView]:
        """The owner's own; oldest first."""
        return await endpoint_repository.endpoints(session, tenant_id)

    async def endpoint(self, session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> EndpointView:
        """The owner's own. Raises NotFoundError."""
        found = await endpoint_repository.endpoint(session, tenant_id, endpoint_id)
        if found is None:
            raise NotFoundError
        return found

    async def create(
        self, session: AsyncSession, tenant_id: UUID, principal: Principal, data: EndpointIn
    ) -> tuple[EndpointView, str]:
        """With its secret, in plain for this once. Raises BadInputError, ConflictError."""
        if len(await endpoint_repository.endpoints(session, tenant_id)) >= MOST:
            raise ConflictError(f"There are {MOST} endpoints already. Remove one that nobody needs.")
        view = EndpointView(
            tenant_id=tenant_id,
            id=new_id(),
            url=await self._checked(data.url),
            description=data.description.strip(),
            types=_patterns(data.types),
            full_data=data.payload == "full",
            ordering=data.ordering,
            concurrency=_concurrency(tenant_id, data.concurrency),
            rate=data.rate,
            created_by=principal.label,
            created_at=now(),
            failing_since=None,
            noticed_at=None,
            resting_until=None,
            disabled_at=None,
            disabled_cause=None,
        )
        await endpoint_repository.add_endpoint(session, view)
        secret = await keyring.add_secret(session, self._vault, tenant_id, view.id)
        if data.headers or data.client_certificate:
            await credentials.change(session, self._vault, view, data.headers, data.client_certificate, now())
            view = await self._resealed(session, view)
        await self._audited(session, principal, "created", view, after=_settings(view))
        return view, secret

    async def change(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        endpoint_id: UUID,
        principal: Principal,
        data: EndpointChange,
    ) -> EndpointView:
        """Raises NotFoundError, BadInputError."""
        view = await self.endpoint(session, tenant_id, endpoint_id)
        wanted: dict[str, Any] = {
            name: value
            for name in ("url", "types", "description", "ordering", "concurrency", "rate")
            if (value := getattr(data, name)) is not msgspec.UNSET
        }
        if data.payload is not msgspec.UNSET:
            wanted["full_data"] = data.payload == "full"
        if "url" in wanted:
            wanted["url"] = await self._checked(wanted["url"])
        if "types" in wanted:
            wanted["types"] = _patterns(wanted["types"])
        if "description" in wanted:
            wanted["description"] = wanted["description"].strip()
        if "concurrency" in wanted:
            _concurrency(tenant_id, wanted["concurrency"])
        changed = msgspec.structs.replace(view, **wanted)
        resealed = await credentials.change(
            session, self._vault, changed, data.headers, data.client_certificate, now()
        )
        if resealed:
            shown = await self._resealed(session, view)
            names = ("header_names", "certificate_subject", "certificate_ends")
            changed = msgspec.structs.replace(changed, **{name: getattr(shown, name) for name in names})
        before, after = _settings(view), _settings(changed)
        different = [name for name in after if after[name] != before[name]]
        if resealed and not different:
            await self._audited(session, principal, "changed", view, credentials="replaced")
        if different:
            await endpoint_repository.change_endpoint(session, changed)
            await self._audited(
                session,
                principal,
                "changed",
                view,
                before={name: before[name] for name in different},
                after={name: after[name] for name in different},
            )
        if data.enabled is True and view.disabled_at is not None:
            await endpoint_repository.enable(session, tenant_id, endpoint_id)
            await self._watch(session, view)
            await self._audited(session, principal, "enabled", view)
        elif data.enabled is False and await endpoint_repository.disable(
            session, tenant_id, endpoint_id, "by_hand"
        ):
            await self._audited(session, principal, "disabled", view, cause="by_hand")
        return await self.endpoint(session, tenant_id, endpoint_id)

    async def remove(
        self, session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, principal: Principal
    ) -> None:
        """Its secrets are forgotten; what was sent stays to be looked at for its 30 days."""
        view = await self.endpoint(session, tenant_id, endpoint_id)
        await endpoint_repository.remove_endpoint(session, tenant_id, endpoint_id)
        await endpoint_repository.drop_secrets(session, tenant_id, endpoint_id, now())
        await endpoint_repository.drop_credential(session, tenant_id, endpoint_id)
        await repository.give_up(session, tenant_id, endpoint_id, "removed")
        await self._audited(session, principal, "removed", view)

    async def rotate(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        endpoint_id: UUID,
        principal: Principal,
        overlap_hours: int,
    ) -> tuple[str, datetime]:
        """The new secret, and until when the one before signs too. Raises NotFoundError."""
        view = await self.endpoint(session, tenant_id, endpoint_id)
        until = now() + timedelta(hours=overlap_hours)
        await endpoint_repository.retire_secrets(session, tenant_id, endpoint_id, now(), until)
        secret = await keyring.add_secret(session, self._vault, tenant_id, endpoint_id)
        await self._audited(session, principal, "rotated", view, overlap_hours=overlap_hours)
        return secret, until

    async def test(
        self, session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, principal: Principal
    ) -> UUID:
        """The test event's id. Raises NotFoundError, ConflictError where nothing is sent to the endpoint."""
        view = await self.endpoint(session, tenant_id, endpoint_id)
        if view.disabled_at is not None:
            raise ConflictError("The endpoint is disabled: nothing is sent there. Enable it first.")
        data = TestData(message="A test of this endpoint, asked for by hand.", endpoint_id=endpoint_id)
        made = outbox.emit(
            session, tenant_id, "webhook.test", data, subject=f"test {endpoint_id}", only=endpoint_id
        )
        self._work.hint(session)
        await self._audited(session, principal, "tested", view)
        return made

    # -- what was sent ----------------------------------------------------------------------

    async def deliveries(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        *,
        endpoint_id: UUID | None = None,
        state: str | None = None,
        type_: str | None = None,
        before: tuple[datetime, UUID] | None = None,
        limit: int = 50,
    ) -> list[DeliveryView]:
        """The tenant's, to its own endpoints and to the installation's; newest first."""
        return await repository.deliveries(
            session,
            tenant_id,
            endpoint_id=endpoint_id,
            state=state,
            type_=type_,
            before=before,
            limit=limit,
        )

    async def delivery(self, session: AsyncSession, tenant_id: UUID, delivery_id: UUID) -> DeliveryDetail:
        """With its body and every attempt. Raises NotFoundError."""
        view = await repository.delivery(session, tenant_id, delivery_id)
        if view is None:
            raise NotFoundError
        (message,) = await repository.messages(session, tenant_id, [delivery_id])
        rows = await repository.attempts(session, tenant_id, delivery_id)
        box = await self._vault.box(session, tenant_id)
        return DeliveryDetail(
            delivery=view,
            message_id=message_id(view.event_id),
            payload=await payload_of(session, tenant_id, message),
            attempts=[
                AttemptView(
                    number=row.number,
                    trigger=row.trigger,
                    status=row.status,
                    cause=row.cause,
                    took_ms=row.took_ms,
                    at=row.at,
                    exchange=keyring.open_exchange(box, row, delivery_id),
                )
                for row in rows
            ],
        )

    async def resend(
        self, session: AsyncSession, tenant_id: UUID, delivery_id: UUID, principal: Principal
    ) -> DeliveryView:
        """Whatever became of it: once more, under the same id. Raises NotFoundError, ConflictError."""
        view = await repository.delivery(session, tenant_id, delivery_id)
        if view is None:
            raise NotFoundError
        await self._sendable(session, tenant_id, view.endpoint_id)
        await repository.again(session, tenant_id, delivery_id)
        await self._wake(session, tenant_id, view.endpoint_id)
        await append(
            session,
            principal,
            "delivery.resent",
            "delivery",
            delivery_id,
            {"endpoint": str(view.endpoint_id), "type": view.type},
            tenant_id=tenant_id,
        )
        found = await repository.delivery(session, tenant_id, delivery_id)
        assert found is not None
        return found

    async def recover(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        endpoint_id: UUID,
        principal: Principal,
        since: datetime,
        *,
        missing: bool,
    ) -> int | None:
        """What failed since then is sent anew; with `missing` also what was never meant for the endpoint.

        How many; None for an endpoint of the installation, whose tenants are seen to one after another.
        Raises NotFoundError, ConflictError, BadInputError.
        """
        moment = now()
        if since.tzinfo is None:
            raise BadInputError(
                "since needs its offset from UTC, such as 2026-11-26T08:00:00Z.", field="since"
            )
        if not moment - KEPT <= since <= moment:
            raise BadInputError("since lies within the last 30 days.", field="since")
        view = await self._sendable(session, tenant_id, endpoint_id)
        number = None
        if view.tenant_id == OPERATOR == tenant_id:
            await self._work.enqueue(
                session,
                tenant_id=tenant_id,
                kind=RECOVER,
                key=str(endpoint_id),
                args={"since": since.isoformat(), "missing": missing},
            )
        else:
            number = await self._recover(session, tenant_id, view, since, missing=missing)
        await append(
            session,
            principal,
            "endpoint.recovered",
            "endpoint",
            endpoint_id,
            {"since": since.isoformat(), "missing": missing, "deliveries": number},
            tenant_id=tenant_id,
        )
        return number

    async def recover_one(self, tenant_id: UUID, endpoint_id: UUID, since: datetime, missing: bool) -> int:
        """One tenant's part of an endpoint of the installation, in a transaction of its own."""
        async with self._db.tenant(tenant_id) as session:
            found = await endpoint_repository.receiving(session, tenant_id, endpoint_id)
            if not found or found[0].disabled_at is not None:
                return 0
            return await self._recover(session, tenant_id, found[0], since, missing=missing)

    async def _recover(
        self, session: AsyncSession, tenant_id: UUID, view: EndpointView, since: datetime, *, missing: bool
    ) -> int:
        number = await repository.recover(session, tenant_id, view.id, since)
        if missing:
            number += await repository.add_missing(
                session,
                tenant_id,
                view.id,
                owner=view.tenant_id,
                types=matching(view.types),
                full_data=view.full_data,
                since=since,
            )
        if number:
            await self._wake(session, tenant_id, view.id)
        return number

    async def _sendable(self, session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> EndpointView:
        found = await endpoint_repository.receiving(session, tenant_id, endpoint_id)
        if not found:
            raise NotFoundError
        if found[0].disabled_at is not None:
            raise ConflictError("The endpoint is disabled: nothing is sent there. Enable it first.")
        return found[0]

    async def _resealed(self, session: AsyncSession, view: EndpointView) -> EndpointView:
        shown = await self.endpoint(session, view.tenant_id, view.id)
        await self._watch(session, shown)
        return shown

    async def _watch(self, session: AsyncSession, view: EndpointView) -> None:
        """The end of its certificate, if it has one."""
        if view.certificate_ends is not None:
            await self._work.enqueue(
                session, tenant_id=view.tenant_id, kind=WATCH_CERTIFICATE, key=str(view.id)
            )

    async def _wake(self, session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> None:
        await outbox.wake(session, tenant_id, {endpoint_id})
        self._work.hint(session)

    async def _checked(self, url: str) -> str:
        try:
            await self._egress.look_up(url)
        except EgressRefusedError as error:
            raise BadInputError(
                f"Nothing can be sent to this address. {error.message}", field="url"
            ) from error
        return url

    @staticmethod
    async def _audited(
        session: AsyncSession,
        principal: Principal,
        action: str,
        view: EndpointView,
        *,
        before: dict[str, Any] | None = None,
        after: dict[str, Any] | None = None,
        **detail: Any,
    ) -> None:
        await append(
            session,
            principal,
            f"endpoint.{action}",
            "endpoint",
            view.id,
            detail,
            before=before,
            after=after,
            tenant_id=view.tenant_id,
        )


def _patterns(given: Sequence[str]) -> list[str]:
    if strange := next((one for one in given if not known(one)), None):
        raise BadInputError(
            f'No event has the type "{strange}". Name one of the list, a kind like record.*, or * for all.',
            field="types",
        )
    return list(dict.fromkeys(given))


def _concurrency(owner: UUID, given: int) -> int:
    if owner == OPERATOR and given < SHARED:
        raise BadInputError(
            f"An endpoint of the whole installation takes at least {SHARED} requests at a time.",
            field="concurrency",
        )
    return given


def _settings(view: EndpointView) -> dict[str, Any]:
    """For the audit log; an address' query may hold a secret of the receiver's."""
    return {
        "url": view.url.partition("?")[0],
        "types": view.types,
        "payload": "full" if view.full_data else "thin",
        "description": view.description,
        "ordering": view.ordering,
        "concurrency": view.concurrency,
        "rate": view.rate,
        "headers": view.header_names,
        "client_certificate": view.certificate_subject,
    }
