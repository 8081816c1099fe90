"""The SQL of a run: a handful of statements for a page, however many records it has, never one for each."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.runs.planning import HeldEntity, Key, Quarantine

LATE: Final = timedelta(seconds=3)
"""By which a provider's `Date` may be behind its own clock: servers keep the header for a second, busy ones
for two."""


class Place(msgspec.Struct, frozen=True):
    """Whose stream."""

    tenant_id: UUID
    connection_id: UUID
    stream: str

    def params(self) -> dict[str, Any]:
        return {"tenant": self.tenant_id, "connection": self.connection_id, "stream": self.stream}


class RecordWrite(msgspec.Struct, frozen=True):
    """A new or changed record, sealed. `fingerprint`: 32 bytes, see `Held`."""

    external_id: str
    fingerprint: bytes
    document: bytes
    modified_at: datetime | None


class Held(msgspec.Struct, frozen=True):
    """A record as it is before the page. `fresh`: this form of it came within the last hour; `since`: after
    the page was asked for.
    """

    fingerprint: bytes
    deleted_at: datetime | None
    modified_at: datetime | None
    fresh: bool
    since: bool = False

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None

    def is_as(self, print_: bytes) -> bool:
        """Whether bytes of that fingerprint are those of the live record."""
        return self.fingerprint[16:] == print_ and self.deleted_at is None

    def newer_than(self, modified_at: datetime | None, *, whole: bool, at: datetime | None) -> bool:
        """Whether a form of the record of that time is an older one that comes late.

        A complete list (`whole`) is believed on who is there, so that its form, unless it is older than the
        last one held, brings a deleted record back; an index of changes may still show what is deleted since.
        What is held is not newer by a clock that went back: its time lies ahead of the provider's, `at`, or
        the provider has given the other form for an hour (it went back to a backup). What came while the page
        was under way may well have been changed after the page's own time.
        """
        if modified_at is None:
            return False
        if self.deleted_at is not None and not whole:
            return modified_at < self.deleted_at
        if not self.fresh or self.modified_at is None or modified_at >= self.modified_at:
            return False
        return self.since or at is None or self.modified_at <= at + LATE


class SealedRecord(msgspec.Struct, frozen=True):
    external_id: str
    document: bytes
    key_version: int


_HELD_RECORDS = text("""
    SELECT external_id, fingerprint, deleted_at, modified_at,
           received_at > now() - interval '1 hour' AS fresh, received_at > :asked AS since
    FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND external_id = ANY(CAST(:ids AS text[]))
""")

_SEALED_RECORDS = text("""
    SELECT external_id, document, key_version FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND external_id = ANY(CAST(:ids AS text[]))
""")

_LIVE_RECORDS = text("""
    SELECT external_id, document, key_version FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND deleted_at IS NULL AND external_id > :after
    ORDER BY external_id LIMIT :limit
""")

_NEW_RECORDS = """
    INSERT INTO records
        (tenant_id, connection_id, stream, external_id, fingerprint, document, key_version, modified_at,
         run_id)
    SELECT CAST(:tenant AS uuid), CAST(:connection AS uuid), CAST(:stream AS text), r.external_id,
           substring(CAST(:fingerprints AS bytea), CAST(32 * r.number - 31 AS integer), 32),
           substring(CAST(:documents AS bytea), r.start, r.length), CAST(:version AS integer),
           r.modified_at, CAST(:run AS uuid)
    FROM unnest(CAST(:ids AS text[]), CAST(:starts AS integer[]), CAST(:lengths AS integer[]),
                CAST(:modified AS timestamptz[]))
        WITH ORDINALITY AS r(external_id, start, length, modified_at, number)
"""
_ADD_RECORDS = text(_NEW_RECORDS)
_PUT_RECORDS = text(f"""{_NEW_RECORDS}
    ON CONFLICT (tenant_id, connection_id, stream, external_id) DO UPDATE SET
        fingerprint = excluded.fingerprint, document = excluded.document, key_version = excluded.key_version,
        modified_at = excluded.modified_at, received_at = clock_timestamp(), run_id = excluded.run_id,
        deleted_at = NULL
""")

_BURY_RECORDS = text("""
    UPDATE records SET deleted_at = coalesce(gone.at, now()), received_at = clock_timestamp(), run_id = :run
    FROM unnest(CAST(:ids AS text[]), CAST(:times AS timestamptz[])) AS gone(external_id, at)
    WHERE records.tenant_id = :tenant AND records.connection_id = :connection AND records.stream = :stream
      AND records.external_id = gone.external_id AND records.deleted_at IS NULL
""")

_WRITTEN_SINCE = text("""
    SELECT 1 FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND external_id = ANY(CAST(:ids AS text[]))
      AND (received_at > :asked AND run_id <> :run
           OR (deleted_at IS NOT NULL) <> (external_id = ANY(CAST(:revived AS text[]))))
    UNION ALL
    SELECT 1 FROM records
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND external_id = ANY(CAST(:fresh AS text[]))
    LIMIT 1
""")

_IN_FORCE = text("""
    SELECT id, version FROM recipes
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND enabled AND archived_at IS NULL
""")

_HELD_ENTITIES = text("""
    SELECT recipe_id, external_id, id, model, fingerprint, recipe_version, revision,
           deleted_at IS NOT NULL AS deleted
    FROM entities
    WHERE tenant_id = :tenant AND external_id = ANY(CAST(:ids AS text[]))
      AND recipe_id = ANY(ARRAY(SELECT r.id FROM recipes r
          WHERE r.tenant_id = :tenant AND r.connection_id = :connection AND r.stream = :stream))
""")

_HELD_DATA = text("""
    SELECT external_id, data FROM entities
    WHERE tenant_id = :tenant AND recipe_id = :recipe AND external_id = ANY(CAST(:ids AS text[]))
      AND connection_id = :connection AND stream = :stream AND deleted_at IS NULL
""")

_PUT_QUARANTINE = text("""
    INSERT INTO quarantine
        (tenant_id, recipe_id, external_id, connection_id, stream, errors, recipe_version, run_id, passing)
    SELECT CAST(:tenant AS uuid), q.recipe_id, q.external_id, CAST(:connection AS uuid),
           CAST(:stream AS text),
           CAST(q.errors AS jsonb), q.recipe_version, CAST(:run AS uuid), q.passing
    FROM unnest(CAST(:recipes AS uuid[]), CAST(:externals AS text[]), CAST(:errors AS text[]),
                CAST(:versions AS integer[]), CAST(:passing AS boolean[]))
        AS q(recipe_id, external_id, errors, recipe_version, passing)
    ON CONFLICT (tenant_id, recipe_id, external_id) DO UPDATE SET
        errors = excluded.errors, recipe_version = excluded.recipe_version, run_id = excluded.run_id,
        passing = excluded.passing, tried_at = now(), asked_at = NULL,
        tries = CASE WHEN quarantine.recipe_version = excluded.recipe_version
                     THEN quarantine.tries + 1 ELSE 1 END
""")

_CLEAR_QUARANTINE = text("""
    DELETE FROM quarantine USING unnest(CAST(:recipes AS uuid[]), CAST(:externals AS text[]))
        AS fine(recipe_id, external_id)
    WHERE quarantine.tenant_id = :tenant AND quarantine.recipe_id = fine.recipe_id
      AND quarantine.external_id = fine.external_id
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


def joined(name: str, pieces: Sequence[bytes]) -> dict[str, Any]:
    """Parameters for all of them in one piece, with where each `start`s and its `length`: the driver is three
    times as fast at it as at an array of them.
    """
    lengths = [len(piece) for piece in pieces]
    starts = list(accumulate(lengths, initial=1))[:-1]
    return {name: b"".join(pieces), "starts": starts, "lengths": lengths}


async def held_records(
    session: AsyncSession, place: Place, ids: Sequence[str], asked: datetime
) -> dict[str, Held]:
    """By external id. `asked`: when the page was."""
    rows = await session.execute(_HELD_RECORDS, {**place.params(), "ids": list(ids), "asked": asked})
    return {row[0]: Held(*row[1:]) for row in rows}


async def sealed_records(session: AsyncSession, place: Place, ids: Sequence[str]) -> list[SealedRecord]:
    rows = await session.execute(_SEALED_RECORDS, {**place.params(), "ids": list(ids)})
    return [SealedRecord(*row) for row in rows]


async def live_records(session: AsyncSession, place: Place, after: str, limit: int) -> list[SealedRecord]:
    rows = await session.execute(_LIVE_RECORDS, {**place.params(), "after": after, "limit": limit})
    return [SealedRecord(*row) for row in rows]


async def written_since(
    session: AsyncSession,
    place: Place,
    run_id: UUID,
    ids: Sequence[str],
    asked: datetime,
    *,
    fresh: Collection[str],
    revived: Collection[str],
) -> bool:
    """Whether another run wrote any of these records after `asked`; or one of `fresh` is held by now, one of
    `revived` lives, or one of the others does not: its writer may have begun before `asked` and committed
    after they were compared.
    """
    values = {**place.params(), "run": run_id, "ids": list(ids), "asked": asked}
    values |= {"fresh": list(fresh), "revived": list(revived)}
    return (await session.execute(_WRITTEN_SINCE, values)).scalar() is not None


async def recipes_in_force(session: AsyncSession, place: Place) -> dict[UUID, int]:
    """Recipe -> version."""
    return {row.id: row.version for row in await session.execute(_IN_FORCE, place.params())}


async def held_entities(session: AsyncSession, place: Place, ids: Sequence[str]) -> dict[Key, HeldEntity]:
    rows = (await session.execute(_HELD_ENTITIES, {**place.params(), "ids": list(ids)})).mappings()
    return {(row["recipe_id"], row["external_id"]): HeldEntity(**row) for row in rows}


async def held_data(
    session: AsyncSession, place: Place, recipe_id: UUID, ids: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Of a recipe's live entities, by external id."""
    values = {**place.params(), "recipe": recipe_id, "ids": list(ids)}
    return {row.external_id: row.data for row in await session.execute(_HELD_DATA, values)}


async def put_records(
    session: AsyncSession,
    place: Place,
    run_id: UUID,
    version: int,
    records: Sequence[RecordWrite],
    *,
    new: bool = False,
) -> None:
    """`new`: none of them was ever held; raises IntegrityError where one is."""
    if records:
        await session.execute(
            _ADD_RECORDS if new else _PUT_RECORDS,
            {
                **place.params(),
                "run": run_id,
                "version": version,
                "ids": [record.external_id for record in records],
                "fingerprints": b"".join([record.fingerprint for record in records]),
                **joined("documents", [record.document for record in records]),
                "modified": [record.modified_at for record in records],
            },
        )


async def bury_records(
    session: AsyncSession, place: Place, run_id: UUID, gone: Sequence[tuple[str, datetime | None]]
) -> None:
    if gone:
        ids, times = [external_id for external_id, _ in gone], [at for _, at in gone]
        await session.execute(_BURY_RECORDS, {**place.params(), "run": run_id, "ids": ids, "times": times})


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
                "passing": [entry.passing for entry in aside],
            },
        )
    if cleared:
        recipes, externals = [key[0] for key in cleared], [key[1] for key in cleared]
        await session.execute(
            _CLEAR_QUARANTINE, {"tenant": place.tenant_id, "recipes": recipes, "externals": externals}
        )


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
