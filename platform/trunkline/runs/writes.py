"""The SQL of a run: a handful of statements for a page, however many records it has, never one for each."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.runs.planning import EntityWrite, HeldEntity, Key, Quarantine


class Place(msgspec.Struct, frozen=True):
    """Whose stream."""

    tenant_id: UUID
    connection_id: UUID
    stream: str

    def params(self) -> dict[str, Any]:
        return {"tenant": self.tenant_id, "connection": self.connection_id, "stream": self.stream}


class RecordWrite(msgspec.Struct, frozen=True):
    """A new or changed record, sealed."""

    external_id: str
    fingerprint: bytes
    document: bytes
    modified_at: datetime | None


class SealedRecord(msgspec.Struct, frozen=True):
    external_id: str
    document: bytes
    key_version: int


_HELD_RECORDS = text("""
    SELECT external_id, fingerprint, deleted_at IS NOT NULL AS deleted FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND external_id = ANY(CAST(:ids AS text[]))
""")

_LIVE_RECORDS = text("""
    SELECT external_id, document, key_version FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND deleted_at IS NULL AND external_id > :after
    ORDER BY external_id LIMIT :limit
""")

_PUT_RECORDS = text("""
    INSERT INTO records
        (tenant_id, connection_id, stream, external_id, fingerprint, document, key_version, modified_at,
         run_id)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text), r.external_id,
           r.fingerprint, r.document, CAST(:version AS integer), r.modified_at, CAST(:run AS uuid)
    FROM unnest(CAST(:ids AS text[]), CAST(:fingerprints AS bytea[]), CAST(:documents AS bytea[]),
                CAST(:modified AS timestamptz[])) AS r(external_id, fingerprint, document, modified_at)
    ON CONFLICT (tenant_id, connection_id, stream, external_id) DO UPDATE SET
        fingerprint = excluded.fingerprint, document = excluded.document, key_version = excluded.key_version,
        modified_at = excluded.modified_at, received_at = now(), run_id = excluded.run_id, deleted_at = NULL
""")

_BURY_RECORDS = text("""
    UPDATE records SET deleted_at = coalesce(gone.at, now()), run_id = :run
    FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[])) AS gone(external_id, at)
    WHERE records.tenant_id = :tenant AND records.connection_id = :connection AND records.stream = :stream
      AND records.external_id = gone.external_id AND records.deleted_at IS NULL
""")

_HELD_ENTITIES = text("""
    SELECT recipe_id, external_id, id, model, fingerprint, recipe_version, revision,
           deleted_at IS NOT NULL AS deleted
    FROM entities
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND external_id = ANY(CAST(:ids AS text[]))
""")

_PUT_ENTITIES = text("""
    INSERT INTO entities
        (tenant_id, recipe_id, external_id, id, model, connection_id, stream, data, fingerprint,
         recipe_version, run_id, revision)
    SELECT CAST(:tenant AS uuid), e.recipe_id, e.external_id, e.id, e.model, CAST(:connection AS uuid),
           CAST(:stream AS text), CAST(e.data AS jsonb), e.fingerprint, e.recipe_version, CAST(:run AS uuid),
           e.revision
    FROM unnest(CAST(:recipes AS uuid[]), CAST(:externals AS text[]), CAST(:ids AS uuid[]),
                CAST(:models AS text[]), CAST(:data AS text[]), CAST(:fingerprints AS bytea[]),
                CAST(:versions AS integer[]), CAST(:revisions AS integer[]))
        AS e(recipe_id, external_id, id, model, data, fingerprint, recipe_version, revision)
    ON CONFLICT (tenant_id, recipe_id, external_id) DO UPDATE SET
        model = excluded.model, data = excluded.data, fingerprint = excluded.fingerprint,
        recipe_version = excluded.recipe_version, run_id = excluded.run_id, revision = excluded.revision,
        changed_at = now(), deleted_at = NULL
""")

_BURY_ENTITIES = text("""
    UPDATE entities SET deleted_at = now(), changed_at = now(), revision = gone.revision, run_id = :run
    FROM unnest(CAST(:recipes AS uuid[]), CAST(:externals AS text[]), CAST(:revisions AS integer[]))
        AS gone(recipe_id, external_id, revision)
    WHERE entities.tenant_id = :tenant AND entities.recipe_id = gone.recipe_id
      AND entities.external_id = gone.external_id
""")

_PUT_QUARANTINE = text("""
    INSERT INTO quarantine
        (tenant_id, recipe_id, external_id, connection_id, stream, errors, recipe_version, run_id)
    SELECT CAST(:tenant AS uuid), q.recipe_id, q.external_id, CAST(:connection AS uuid),
           CAST(:stream AS text),
           CAST(q.errors AS jsonb), q.recipe_version, CAST(:run AS uuid)
    FROM unnest(CAST(:recipes AS uuid[]), CAST(:externals AS text[]), CAST(:errors AS text[]),
                CAST(:versions AS integer[])) AS q(recipe_id, external_id, errors, recipe_version)
    ON CONFLICT (tenant_id, recipe_id, external_id) DO UPDATE SET
        errors = excluded.errors, recipe_version = excluded.recipe_version, run_id = excluded.run_id
""")

_CLEAR_QUARANTINE = text("""
    DELETE FROM quarantine USING unnest(CAST(:recipes AS uuid[]), CAST(:externals AS text[]))
        AS fine(recipe_id, external_id)
    WHERE quarantine.tenant_id = :tenant AND quarantine.recipe_id = fine.recipe_id
      AND quarantine.external_id = fine.external_id
""")

_TAKE_POSITIONS = text("""
    INSERT INTO change_heads AS h (tenant_id, position) VALUES (:tenant, CAST(:number AS bigint))
    ON CONFLICT (tenant_id) DO UPDATE SET position = h.position + CAST(:number AS bigint)
    RETURNING position
""")

# the data comes from the entities just written: it crosses the wire once
_PUT_CHANGES = text("""
    INSERT INTO changes
        (tenant_id, position, operation, entity_id, model, connection_id, stream, external_id, recipe_id,
         recipe_version, run_id, revision, data)
    SELECT e.tenant_id, CAST(:base AS bigint) + c.number, c.operation, e.id, e.model, e.connection_id,
           e.stream, e.external_id, e.recipe_id, e.recipe_version, e.run_id, e.revision, e.data
    FROM unnest(CAST(:recipes AS uuid[]), CAST(:externals AS text[]), CAST(:operations AS text[]))
        WITH ORDINALITY AS c(recipe_id, external_id, operation, number)
    JOIN entities e ON e.tenant_id = :tenant AND e.recipe_id = c.recipe_id AND e.external_id = c.external_id
    RETURNING position
""")

COUNTERS = (
    "pages", "fetched", "created", "updated", "deleted", "unchanged", "filtered", "quarantined", "changes"
)  # fmt: skip

_COUNT = text("""
    UPDATE runs SET pages = pages + :pages, fetched = fetched + :fetched, created = created + :created,
        updated = updated + :updated, deleted = deleted + :deleted, unchanged = unchanged + :unchanged,
        filtered = filtered + :filtered, quarantined = quarantined + :quarantined,
        changes = changes + :changes,
        expected = coalesce(expected, CAST(:expected AS bigint)), mode = :mode, progress_at = now(),
        state = CASE WHEN :waiting THEN state ELSE 'running' END,
        waiting_until = CASE WHEN :waiting THEN waiting_until END,
        cause = CASE WHEN :waiting THEN cause END
    WHERE tenant_id = :tenant AND id = :run AND state IN ('running', 'waiting')
    RETURNING id
""")

_MOVE = text("""
    UPDATE streams SET checkpoint = CAST(:checkpoint AS jsonb), records = records + :records, failures = 0,
        cause = NULL, cause_since = NULL, cause_detail = NULL,
        waiting_until = CASE WHEN :waiting THEN waiting_until END
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND run_id = :run
      AND paused_at IS NULL
      AND EXISTS (SELECT 1 FROM connections c
                  WHERE c.tenant_id = :tenant AND c.id = :connection AND c.state = 'active')
    RETURNING stream
""")


async def held_records(
    session: AsyncSession, place: Place, ids: Sequence[str]
) -> dict[str, tuple[bytes, bool]]:
    """External id -> fingerprint, whether deleted."""
    rows = await session.execute(_HELD_RECORDS, {**place.params(), "ids": list(ids)})
    return {row.external_id: (row.fingerprint, row.deleted) for row in rows}


async def live_records(session: AsyncSession, place: Place, after: str, limit: int) -> list[SealedRecord]:
    rows = await session.execute(_LIVE_RECORDS, {**place.params(), "after": after, "limit": limit})
    return [SealedRecord(*row) for row in rows]


async def held_entities(session: AsyncSession, place: Place, ids: Sequence[str]) -> dict[Key, HeldEntity]:
    rows = (await session.execute(_HELD_ENTITIES, {**place.params(), "ids": list(ids)})).mappings()
    return {(row["recipe_id"], row["external_id"]): HeldEntity(**row) for row in rows}


async def put_records(
    session: AsyncSession, place: Place, run_id: UUID, version: int, records: Sequence[RecordWrite]
) -> None:
    if records:
        await session.execute(
            _PUT_RECORDS,
            {
                **place.params(),
                "run": run_id,
                "version": version,
                "ids": [record.external_id for record in records],
                "fingerprints": [record.fingerprint for record in records],
                "documents": [record.document for record in records],
                "modified": [record.modified_at for record in records],
            },
        )


async def bury_records(
    session: AsyncSession, place: Place, run_id: UUID, gone: Sequence[tuple[str, datetime | None]]
) -> None:
    if gone:
        ids, times = [external_id for external_id, _ in gone], [at for _, at in gone]
        await session.execute(_BURY_RECORDS, {**place.params(), "run": run_id, "ids": ids, "times": times})


async def put_entities(
    session: AsyncSession, place: Place, run_id: UUID, writes: Sequence[EntityWrite]
) -> None:
    made = [write for write in writes if write.data is not None]
    if made:
        await session.execute(
            _PUT_ENTITIES,
            {
                **place.params(),
                "run": run_id,
                "recipes": [write.recipe_id for write in made],
                "externals": [write.external_id for write in made],
                "ids": [write.id for write in made],
                "models": [write.model for write in made],
                "data": [msgspec.json.encode(write.data).decode() for write in made],
                "fingerprints": [write.fingerprint for write in made],
                "versions": [write.recipe_version for write in made],
                "revisions": [write.revision for write in made],
            },
        )
    gone = [write for write in writes if write.data is None]
    if gone:
        await session.execute(
            _BURY_ENTITIES,
            {
                "tenant": place.tenant_id,
                "run": run_id,
                "recipes": [write.recipe_id for write in gone],
                "externals": [write.external_id for write in gone],
                "revisions": [write.revision for write in gone],
            },
        )


async def put_quarantine(
    session: AsyncSession, place: Place, run_id: UUID, aside: Sequence[Quarantine], cleared: Sequence[Key]
) -> None:
    if aside:
        await session.execute(
            _PUT_QUARANTINE,
            {
                **place.params(),
                "run": run_id,
                "recipes": [entry.recipe_id for entry in aside],
                "externals": [entry.external_id for entry in aside],
                "errors": [msgspec.json.encode(entry.errors).decode() for entry in aside],
                "versions": [entry.recipe_version for entry in aside],
            },
        )
    if cleared:
        recipes, externals = [key[0] for key in cleared], [key[1] for key in cleared]
        await session.execute(
            _CLEAR_QUARANTINE, {"tenant": place.tenant_id, "recipes": recipes, "externals": externals}
        )


async def put_changes(session: AsyncSession, tenant_id: UUID, writes: Sequence[EntityWrite]) -> None:
    """The last thing before the commit: it takes the lock that orders all writers of the tenant."""
    if not writes:
        return
    number = len(writes)
    top = (await session.execute(_TAKE_POSITIONS, {"tenant": tenant_id, "number": number})).scalar_one()
    placed = await session.execute(
        _PUT_CHANGES,
        {
            "tenant": tenant_id,
            "base": top - number,
            "recipes": [write.recipe_id for write in writes],
            "externals": [write.external_id for write in writes],
            "operations": [write.operation for write in writes],
        },
    )
    if len(placed.all()) != number:
        raise RuntimeError("an entity of this page is missing; its position would be a gap in the change log")


async def count(
    session: AsyncSession,
    tenant_id: UUID,
    run_id: UUID,
    counters: dict[str, int],
    *,
    mode: str,
    expected: int | None,
    waiting: bool,
) -> bool:
    """False: the run is no longer under way."""
    values = {name: counters.get(name, 0) for name in COUNTERS}
    given = {"tenant": tenant_id, "run": run_id, "mode": mode, "expected": expected, "waiting": waiting}
    return (await session.execute(_COUNT, {**values, **given})).scalar() is not None


async def move(
    session: AsyncSession, place: Place, run_id: UUID, checkpoint: bytes, records: int, *, waiting: bool
) -> bool:
    """False: the stream is not this run's any more, or it or its connection stopped."""
    values = {"run": run_id, "checkpoint": checkpoint.decode(), "records": records, "waiting": waiting}
    return (await session.execute(_MOVE, {**place.params(), **values})).scalar() is not None
