"""What the product does to runs and to what was set aside, over HTTP. Mounted below /v1."""

from typing import Annotated
from uuid import UUID

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.db import Database
from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.lists import Limit, no_cursor
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs
from trunkline.runs import repository
from trunkline.runs.schemas import QuarantineList, RetryIn, RunList, RunView
from trunkline.runs.service import RunService


class RunControlController(Controller):
    path = "/v1/connections/{connection_id:uuid}"
    tags = ("Connections",)
    dependencies = ONCE

    @post(
        "/runs/{run_id:uuid}/cancel",
        status_code=200,
        **needs("connections:write"),
        summary="Cancel a run",
        operation_id="cancelRun",
    )
    async def cancel(
        self,
        once: NamedDependency[Once],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        run_id: FromPath[UUID],
    ) -> Response[RunView]:
        """Its next page is not written; what was written stays."""

        async def deed(session: AsyncSession) -> RunView:
            await _must_be_of(runs, session, tenant_id, connection_id, run_id)
            return await runs.cancel_run(session, tenant_id, run_id, principal)

        return await once(tenant_id, deed)

    @post(
        "/runs/{run_id:uuid}/pause",
        status_code=200,
        **needs("connections:write"),
        summary="Pause a run",
        operation_id="pauseRun",
    )
    async def pause(
        self,
        once: NamedDependency[Once],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        run_id: FromPath[UUID],
    ) -> Response[RunView]:
        """Of a full re-read or a re-mapping, which go on beside everything else."""

        async def deed(session: AsyncSession) -> RunView:
            await _must_be_of(runs, session, tenant_id, connection_id, run_id)
            return await runs.pause_run(session, tenant_id, run_id, principal)

        return await once(tenant_id, deed)

    @post(
        "/runs/{run_id:uuid}/resume",
        status_code=200,
        **needs("connections:write"),
        summary="Resume a run",
        operation_id="resumeRun",
    )
    async def resume(
        self,
        once: NamedDependency[Once],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        run_id: FromPath[UUID],
    ) -> Response[RunView]:
        """It goes on from the page where it was paused."""

        async def deed(session: AsyncSession) -> RunView:
            await _must_be_of(runs, session, tenant_id, connection_id, run_id)
            return await runs.resume_run(session, tenant_id, run_id, principal)

        return await once(tenant_id, deed)

    @get(
        "/set-aside",
        **needs("connections:read"),
        summary="Records that were set aside",
        operation_id="listSetAside",
    )
    async def list_set_aside(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        limit: Limit = 50,
        cursor: Annotated[
            str | None, QueryParameter(max_length=1100, description="`next` of the page before.")
        ] = None,
    ) -> QuarantineList:
        """Those that a recipe could not map, with the reason. By recipe and provider's id."""
        after = None
        if cursor is not None:
            recipe, colon, external_id = cursor.partition(":")
            try:
                after = (UUID(recipe), external_id)
            except ValueError:
                colon = ""
            if not colon or "\0" in external_id:
                raise no_cursor()
        async with db.tenant(tenant_id) as session:
            await runs.must_exist(session, tenant_id, connection_id)
            found = await repository.quarantine(
                session, tenant_id, connection_id, after=after, limit=limit + 1
            )
        last = found[limit - 1] if len(found) > limit else None
        return QuarantineList(found[:limit], f"{last.recipe_id}:{last.external_id}" if last else None)

    @post(
        "/set-aside/retry",
        status_code=202,
        **needs("connections:write"),
        summary="Try again what was set aside",
        operation_id="retrySetAside",
    )
    async def retry_set_aside(
        self,
        once: NamedDependency[Once],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        data: JSONBody[RetryIn | None] = None,
    ) -> Response[RunList]:
        """One record, a recipe's, those of one cause, or all: mapped by the recipe in force, without asking
        the provider. The runs that do it; none where nothing of that kind is set aside.
        """
        asked = data or RetryIn()

        async def deed(session: AsyncSession) -> RunList:
            found = await runs.retry_set_aside(
                session,
                tenant_id,
                connection_id,
                stream=asked.stream,
                recipe_id=asked.recipe_id,
                external_id=asked.external_id,
                message=asked.message,
            )
            if found:
                await append(session, principal, "record.retried", "connection", connection_id, asked.detail)
            return RunList(found, None)

        return await once(tenant_id, deed)


async def _must_be_of(
    runs: RunService, session: AsyncSession, tenant_id: UUID, connection_id: UUID, run_id: UUID
) -> None:
    run = await runs.run(session, tenant_id, run_id)
    if run.connection_id != connection_id:
        raise NotFoundError
