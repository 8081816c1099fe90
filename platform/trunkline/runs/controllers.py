"""What the product reads over HTTP: records in its own models, the change log, runs. Mounted below /v1."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.idempotency.service import ONCE, Once
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.lists import Cursor, Limit, given, no_cursor, parted
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import needs
from trunkline.runs import repository
from trunkline.runs.schemas import ChangeList, EntityView, RecordList, RunList, SyncIn
from trunkline.runs.service import RunService

NAME = "^[a-z][a-z0-9_]*$"
"""What a model and a stream can be called; anything else is named as wrong instead of looked for."""
Model = Annotated[
    str,
    PathParameter(
        max_length=63,
        pattern=NAME,
        description="Name of a target model: contact, company, deal, ticket, ...",
    ),
]


_Zoned = Annotated[datetime, msgspec.Meta(tz=True)]


def _in_utc(text: str) -> datetime:
    """RFC 3339. BadInputError without a zone, and at the ends of the calendar, where zones leave it."""
    try:
        return msgspec.convert(text, _Zoned).astimezone(UTC)
    except msgspec.ValidationError:
        raise BadInputError(
            "updated_after needs a date, a time and a zone, such as 2026-05-01T07:25:37Z.",
            field="updated_after",
        ) from None
    except OverflowError:
        raise BadInputError("updated_after is beyond the calendar.", field="updated_after") from None


class RecordController(Controller):
    path = "/v1/records"
    tags = ("Records",)

    @get("/{model:str}", **needs("records:read"), summary="Records of a model", operation_id="listRecords")
    async def list_records(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        model: Model,
        limit: Limit = 100,
        cursor: Cursor = None,
        updated_after: Annotated[
            str | None,
            QueryParameter(
                format="date-time", description="Only what changed after this time (with its zone)."
            ),
        ] = None,
        include_deleted: Annotated[bool, QueryParameter(description="Also what is deleted.")] = False,
    ) -> RecordList:
        """Ordered by id, which never changes; so paging through neither skips nor repeats."""
        after = None if updated_after is None else _in_utc(updated_after)
        async with db.tenant(tenant_id) as session:
            found = await repository.entities(
                session,
                tenant_id,
                model,
                after=cursor,
                limit=limit + 1,
                updated_after=after,
                include_deleted=include_deleted,
            )
        return RecordList(*parted(found, limit))

    @get(
        "/{model:str}/{record_id:uuid}",
        **needs("records:read"),
        summary="One record",
        operation_id="getRecord",
    )
    async def get_record(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        model: Model,
        record_id: FromPath[UUID],
    ) -> EntityView:
        """With its provenance: connection, stream, provider's id, recipe version, run. Deleted ones too."""
        async with db.tenant(tenant_id) as session:
            found = await repository.entity(session, tenant_id, model, record_id)
        if found is None:
            raise NotFoundError
        return found


class ChangeController(Controller):
    path = "/v1/changes"
    tags = ("Changes",)

    @get(**needs("records:read"), summary="What changed after a position", operation_id="listChanges")
    async def list_changes(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        after: Annotated[
            int, QueryParameter(ge=0, le=2**63 - 1, description="`next` of the call before.")
        ] = 0,
        limit: Limit = 100,
        model: Annotated[
            str | None,
            QueryParameter(max_length=63, pattern=NAME, description="Only changes of this model."),
        ] = None,
    ) -> ChangeList:
        """The tenant's change log in commit order. Positions have no gaps, and none appears late: whoever
        goes on from `next` sees every change once. `next` also moves past changes of other models.
        """
        async with db.tenant(tenant_id) as session:
            head = await repository.head(session, tenant_id)
            models = () if model is None else (model,)
            found = await repository.changes(
                session, tenant_id, after=after, up_to=head, models=models, limit=limit
            )
        onward = found[-1].position if len(found) == limit else max(after, head)
        return ChangeList(found, onward, head)


class RunController(Controller):
    path = "/v1/connections/{connection_id:uuid}"
    tags = ("Connections",)
    dependencies = ONCE

    @post(
        "/sync",
        status_code=202,
        **needs("connections:write"),
        summary="Sync now",
        operation_id="syncConnection",
    )
    async def sync(
        self,
        once: NamedDependency[Once],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        data: JSONBody[SyncIn | None] = None,
    ) -> Response[RunList]:
        """Due at once. A run that is already under way is given instead of a second one."""
        asked = data or SyncIn()

        async def deed(session: AsyncSession) -> RunList:
            started = await runs.sync_now(session, tenant_id, connection_id, asked.stream, asked.mode)
            if started:
                anew = any(run.mode == "full" for run in started) and asked.mode == "full"
                await append(
                    session,
                    principal,
                    "connection.reread_requested" if anew else "connection.sync_requested",
                    "connection",
                    connection_id,
                    {"stream": asked.stream} if asked.stream else {},
                    tenant_id=tenant_id,
                )
            return RunList(started, None)

        return await once(tenant_id, deed)

    @get("/runs", **needs("connections:read"), summary="Runs of a connection", operation_id="listRuns")
    async def list_runs(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        runs: NamedDependency[RunService],
        connection_id: FromPath[UUID],
        limit: Limit = 50,
        cursor: Cursor = None,
        stream: Annotated[
            str | None, QueryParameter(max_length=100, pattern=NAME, description="Only of this stream.")
        ] = None,
    ) -> RunList:
        """Newest first."""
        async with db.tenant(tenant_id) as session:
            await runs.must_exist(session, tenant_id, connection_id)
            last = given(await repository.run(session, tenant_id, cursor)) if cursor else None
            if last is not None and last.connection_id != connection_id:
                raise no_cursor()
            before = (last.created_at, last.id) if last else None
            found = await repository.runs(
                session, tenant_id, connection_id, before=before, stream=stream, limit=limit + 1
            )
        return RunList(*parted(found, limit))
