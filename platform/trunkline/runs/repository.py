"""Queries of the engine's tables for pages, the API and the service; a run's own SQL is in `writes`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Select, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from trunkline.recipes.models import Recipe
from trunkline.runs.drift import Drift, KnownField
from trunkline.runs.models import Change, ChangeHead, Entity, Pass, Quarantined, Record, Run, Stream
from trunkline.runs.schemas import (
    ChangeView,
    Counts,
    EntityView,
    QuarantineView,
    RecordRow,
    RunView,
    StreamView,
)


def _columns(table: Any, shape: type[msgspec.Struct]) -> list[InstrumentedAttribute[Any]]:
    return [getattr(table, name) for name in shape.__struct_fields__]


_RUN = select(*_columns(Run, RunView))
_STREAM = select(*_columns(Stream, StreamView))
_RECORD = select(*_columns(Record, RecordRow))
_ENTITY = select(*_columns(Entity, EntityView))
_QUARANTINE = select(*_columns(Quarantined, QuarantineView))
_CHANGE = select(*_columns(Change, ChangeView))


async def _all(session: AsyncSession, shape: Any, query: Select[Any]) -> list[Any]:
    return [shape(**row) for row in (await session.execute(query)).mappings()]


async def _one(session: AsyncSession, shape: Any, query: Select[Any]) -> Any:
    row = (await session.execute(query)).mappings().one_or_none()
    return None if row is None else shape(**row)


# --- runs and streams ---


async def runs(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    *,
    before: tuple[datetime, UUID] | None = None,
    after: tuple[datetime, UUID] | None = None,
    stream: str | None = None,
    limit: int = 20,
) -> list[RunView]:
    """Newest first: those next below `before`, or next above `after` (a run's created_at and id)."""
    query = _RUN.where(Run.tenant_id == tenant_id, Run.connection_id == connection_id)
    if stream is not None:
        query = query.where(Run.stream == stream)
    if after is not None:
        query = query.where(tuple_(Run.created_at, Run.id) > after)
        found = await _all(session, RunView, query.order_by(Run.created_at, Run.id).limit(limit))
        return found[::-1]
    if before is not None:
        query = query.where(tuple_(Run.created_at, Run.id) < before)
    return await _all(session, RunView, query.order_by(Run.created_at.desc(), Run.id.desc()).limit(limit))


async def run(session: AsyncSession, tenant_id: UUID, run_id: UUID) -> RunView | None:
    found: RunView | None = await _one(
        session, RunView, _RUN.where(Run.tenant_id == tenant_id, Run.id == run_id)
    )
    return found


async def streams(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[StreamView]:
    query = _STREAM.where(Stream.tenant_id == tenant_id, Stream.connection_id == connection_id)
    return await _all(session, StreamView, query.order_by(Stream.stream))


async def active_runs(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[RunView]:
    """The run under way of each stream that has one."""
    query = (
        _RUN.join(Stream, (Stream.tenant_id == Run.tenant_id) & (Stream.run_id == Run.id))
        .where(Stream.tenant_id == tenant_id, Stream.connection_id == connection_id)
        .order_by(Run.stream)
    )
    return await _all(session, RunView, query)


async def aside_runs(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[RunView]:
    """Of the passes beside streams' own runs, by stream."""
    query = (
        _RUN.join(Pass, (Pass.tenant_id == Run.tenant_id) & (Pass.run_id == Run.id))
        .where(Pass.tenant_id == tenant_id, Pass.connection_id == connection_id)
        .order_by(Run.stream, Run.created_at)
    )
    return await _all(session, RunView, query)


async def fields(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
) -> tuple[dict[str, KnownField], list[Drift]]:
    """The provider's fields that the recipes were built on, and how they differ now."""
    row = (
        await session.execute(
            select(Stream.known_fields, Stream.drift).where(
                Stream.tenant_id == tenant_id, Stream.connection_id == connection_id, Stream.stream == stream
            )
        )
    ).one_or_none()
    if row is None:
        return {}, []
    held = msgspec.convert(row.known_fields or {}, dict[str, KnownField])
    return held, msgspec.convert(row.drift or [], list[Drift])


async def drifting(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> dict[str, list[Drift]]:
    """By stream: only those whose fields differ."""
    rows = await session.execute(
        select(Stream.stream, Stream.drift)
        .where(
            Stream.tenant_id == tenant_id, Stream.connection_id == connection_id, Stream.drift.is_not(None)
        )
        .order_by(Stream.stream)
    )
    return {row.stream: msgspec.convert(row.drift, list[Drift]) for row in rows if row.drift}


# --- records and entities ---


async def records(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    stream: str,
    *,
    after: str | None = None,
    before: str | None = None,
    external_id: str | None = None,
    limit: int = 50,
) -> list[RecordRow]:
    """By external id: those next above `after`, or next below `before`; or the one of `external_id`
    (equality: row-level security keeps LIKE out of indexes).
    """
    query = _RECORD.where(
        Record.tenant_id == tenant_id, Record.connection_id == connection_id, Record.stream == stream
    )
    if after is not None:
        query = query.where(Record.external_id > after)
    if external_id is not None:
        query = query.where(Record.external_id == external_id)
    if before is not None:
        query = query.where(Record.external_id < before)
        found = await _all(session, RecordRow, query.order_by(Record.external_id.desc()).limit(limit))
        return found[::-1]
    return await _all(session, RecordRow, query.order_by(Record.external_id).limit(limit))


async def sealed_record(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, external_id: str
) -> tuple[RecordRow, bytes, int] | None:
    """The record, its sealed document and the key version of that."""
    query = select(*_columns(Record, RecordRow), Record.document, Record.key_version).where(
        Record.tenant_id == tenant_id,
        Record.connection_id == connection_id,
        Record.stream == stream,
        Record.external_id == external_id,
    )
    row = (await session.execute(query)).mappings().one_or_none()
    if row is None:
        return None
    values = dict(row)
    document, version = values.pop("document"), values.pop("key_version")
    return RecordRow(**values), document, version


async def newest_documents(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, limit: int
) -> list[tuple[str, bytes, int]]:
    """Of some thousand live records the newest: external id, sealed document, key version."""
    some = (
        select(Record.external_id, Record.document, Record.key_version, Record.received_at)
        .where(
            Record.tenant_id == tenant_id,
            Record.connection_id == connection_id,
            Record.stream == stream,
            Record.deleted_at.is_(None),
        )
        .limit(1000)
        .subquery()
    )
    query = select(some).order_by(some.c.received_at.desc(), some.c.external_id).limit(limit)
    return [(row[0], row[1], row[2]) for row in await session.execute(query)]


def _recipes_of(tenant_id: UUID, connection_id: UUID, stream: str | None = None) -> Select[UUID]:
    """Their key leads to what they made: entities are under no index by their record."""
    query = select(Recipe.id).where(Recipe.tenant_id == tenant_id, Recipe.connection_id == connection_id)
    return query if stream is None else query.where(Recipe.stream == stream)


async def entities_of_record(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, external_id: str
) -> list[EntityView]:
    query = _ENTITY.where(
        Entity.tenant_id == tenant_id,
        Entity.recipe_id.in_(_recipes_of(tenant_id, connection_id, stream)),
        Entity.external_id == external_id,
    )
    return await _all(session, EntityView, query.order_by(Entity.model, Entity.recipe_id))


async def entities_of_records(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, external_ids: Sequence[str]
) -> list[EntityView]:
    query = _ENTITY.where(
        Entity.tenant_id == tenant_id,
        Entity.recipe_id.in_(_recipes_of(tenant_id, connection_id, stream)),
        Entity.external_id.in_(external_ids),
    )
    return await _all(session, EntityView, query.order_by(Entity.external_id, Entity.model, Entity.recipe_id))


async def quarantined_among(
    session: AsyncSession, tenant_id: UUID, recipe_ids: Sequence[UUID], external_ids: Sequence[str]
) -> set[str]:
    """Which of these records some of these recipes could not map."""
    rows = await session.execute(
        select(Quarantined.external_id)
        .distinct()
        .where(
            Quarantined.tenant_id == tenant_id,
            Quarantined.recipe_id.in_(recipe_ids),
            Quarantined.external_id.in_(external_ids),
        )
    )
    return set(rows.scalars())


async def quarantine_of_record(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, external_id: str
) -> list[QuarantineView]:
    query = _QUARANTINE.where(
        Quarantined.tenant_id == tenant_id,
        Quarantined.connection_id == connection_id,
        Quarantined.stream == stream,
        Quarantined.external_id == external_id,
    )
    return await _all(session, QuarantineView, query.order_by(Quarantined.recipe_id))


async def quarantine(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    *,
    after: tuple[UUID, str] | None = None,
    limit: int = 50,
) -> list[QuarantineView]:
    """By recipe and external id, from above `after`."""
    query = _QUARANTINE.where(Quarantined.tenant_id == tenant_id, Quarantined.connection_id == connection_id)
    if after is not None:
        query = query.where(tuple_(Quarantined.recipe_id, Quarantined.external_id) > after)
    query = query.order_by(Quarantined.recipe_id, Quarantined.external_id).limit(limit)
    return await _all(session, QuarantineView, query)


async def entities(
    session: AsyncSession,
    tenant_id: UUID,
    model: str,
    *,
    after: UUID | None = None,
    before: UUID | None = None,
    external_id: str | None = None,
    limit: int = 100,
    updated_after: datetime | None = None,
    include_deleted: bool = False,
) -> list[EntityView]:
    """By id: those next above `after`, or next below `before`; `external_id`: only what was made of it."""
    query = _ENTITY.where(Entity.tenant_id == tenant_id, Entity.model == model)
    if after is not None:
        query = query.where(Entity.id > after)
    if updated_after is not None:
        query = query.where(Entity.changed_at > updated_after)
    if not include_deleted:
        query = query.where(Entity.deleted_at.is_(None))
    if external_id is not None:
        # through the recipes' keys: there is no index on an external id alone
        of_model = select(Recipe.id).where(Recipe.tenant_id == tenant_id, Recipe.model == model)
        query = query.where(Entity.recipe_id.in_(of_model), Entity.external_id == external_id)
    if before is not None:
        query = query.where(Entity.id < before)
        found = await _all(session, EntityView, query.order_by(Entity.id.desc()).limit(limit))
        return found[::-1]
    return await _all(session, EntityView, query.order_by(Entity.id).limit(limit))


async def entity(session: AsyncSession, tenant_id: UUID, model: str, entity_id: UUID) -> EntityView | None:
    found: EntityView | None = await _one(
        session,
        EntityView,
        _ENTITY.where(Entity.tenant_id == tenant_id, Entity.model == model, Entity.id == entity_id),
    )
    return found


# --- the change log ---


async def head(session: AsyncSession, tenant_id: UUID) -> int:
    """The last position given out, 0 before the first. Everything up to it is visible from now on."""
    query = select(ChangeHead.position).where(ChangeHead.tenant_id == tenant_id)
    return (await session.execute(query)).scalar() or 0


async def changes(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    after: int,
    up_to: int,
    models: Sequence[str] = (),
    limit: int = 100,
) -> list[ChangeView]:
    """In order. `up_to`: a head read before, in this transaction or an earlier one."""
    query = _CHANGE.where(Change.tenant_id == tenant_id, Change.position > after, Change.position <= up_to)
    if models:
        query = query.where(Change.model.in_(models))
    return await _all(session, ChangeView, query.order_by(Change.position).limit(limit))


async def changes_of(
    session: AsyncSession,
    tenant_id: UUID,
    entity_id: UUID,
    *,
    before: int | None = None,
    limit: int = 50,
) -> list[ChangeView]:
    """An entity's history, newest first."""
    query = _CHANGE.where(Change.tenant_id == tenant_id, Change.entity_id == entity_id)
    if before is not None:
        query = query.where(Change.position < before)
    return await _all(session, ChangeView, query.order_by(Change.position.desc()).limit(limit))


async def held(session: AsyncSession, tenant_id: UUID) -> dict[UUID, tuple[int, datetime | None]]:
    """Connection -> live records, and the last complete pass over any of its streams."""
    rows = await session.execute(
        select(
            Stream.connection_id,
            func.sum(Stream.records).label("records"),
            func.max(Stream.last_success_at).label("success"),
        )
        .where(Stream.tenant_id == tenant_id)
        .group_by(Stream.connection_id)
    )
    return {row.connection_id: (int(row.records), row.success) for row in rows}


async def models_held(session: AsyncSession, tenant_id: UUID) -> list[str]:
    """Names of the models that recipes of the tenant have made, or may make."""
    rows = await session.execute(
        select(Recipe.model).distinct().where(Recipe.tenant_id == tenant_id).order_by(Recipe.model)
    )
    return list(rows.scalars())


async def counts(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Counts:
    held = await session.execute(
        select(Stream.stream, Stream.records).where(
            Stream.tenant_id == tenant_id, Stream.connection_id == connection_id
        )
    )
    made = await session.execute(
        select(Entity.model, func.count().label("number"))
        .where(
            Entity.tenant_id == tenant_id,
            Entity.recipe_id.in_(_recipes_of(tenant_id, connection_id)),
            Entity.deleted_at.is_(None),
        )
        .group_by(Entity.model)
    )
    aside = await session.execute(
        select(func.count()).where(
            Quarantined.tenant_id == tenant_id, Quarantined.connection_id == connection_id
        )
    )
    return Counts(
        records={row.stream: row.records for row in held},
        entities={row.model: row.number for row in made},
        quarantined=aside.scalar_one(),
    )
