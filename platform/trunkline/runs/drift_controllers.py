"""Fields that changed at the provider, over HTTP: seen, and accepted. Mounted below /v1."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, PathParameter
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs
from trunkline.runs import repository
from trunkline.runs.controllers import NAME
from trunkline.runs.drift import Change, Drift, Verdict
from trunkline.runs.service import RunService


class DriftView(msgspec.Struct, frozen=True, kw_only=True):
    """A field that is no longer as the recipes were built on it. `values`: new ones of an enumeration."""

    stream: str
    field: str
    label: str
    change: Change
    was: str
    now: str
    verdict: Verdict
    recipes: list[str]
    values: list[str]
    since: datetime


class DriftList(msgspec.Struct, frozen=True):
    drift: list[DriftView]


class DriftController(Controller):
    path = "/v1/connections/{connection_id:uuid}/drift"
    tags = ("Connections",)
    dependencies = ONCE

    @get(**needs("connections:read"), summary="Changed fields", operation_id="listDrift")
    async def list_drift(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
    ) -> DriftList:
        """By stream, the worst first. Nothing is nulled by any of it."""
        async with db.tenant(tenant_id) as session:
            await runs.must_exist(session, tenant_id, connection_id)
            found = await repository.drifting(session, tenant_id, connection_id)
        return _listed(found)

    @post(
        "/{stream:str}/accept",
        status_code=200,
        **needs("connections:write"),
        summary="Accept a stream's changed fields",
        operation_id="acceptDrift",
    )
    async def accept(
        self,
        once: NamedDependency[Once],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        stream: Annotated[str, PathParameter(max_length=100, pattern=NAME, description="Name of a stream.")],
    ) -> Response[DriftList]:
        """What was held stays, and a stream that the change had stopped goes on. What was accepted is given
        back; 409 while the filter of a recipe reads a field that is gone.
        """

        async def deed(session: AsyncSession) -> DriftList:
            return _listed({stream: await accept(session, runs, principal, tenant_id, connection_id, stream)})

        return await once(tenant_id, deed)


async def accept(
    session: AsyncSession,
    runs: RunService,
    principal: Principal,
    tenant_id: UUID,
    connection_id: UUID,
    stream: str,
) -> list[Drift]:
    """Accepted with an entry in the log; NotFoundError and ConflictError as `RunService.accept_drift`."""
    found = await runs.accept_drift(session, tenant_id, connection_id, stream)
    if found:
        detail = {"stream": stream, "fields": sorted({one.field for one in found})}
        await append(session, principal, "drift.accepted", "connection", connection_id, detail)
    return found


def _listed(found: dict[str, list[Drift]]) -> DriftList:
    return DriftList(
        [
            DriftView(stream=stream, **{name: getattr(one, name) for name in DriftView.__struct_fields__[1:]})
            for stream, drifts in found.items()
            for one in drifts
        ]
    )
