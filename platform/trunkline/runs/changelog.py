"""Entities and their entries in the change log: one statement, the last before the commit.

The entities are written first, then the lock that orders all writers of the tenant is taken with the
positions, then the entries are written from what the entities became. The data crosses the wire once and is
read once; no join with the table, whose plan would depend on how much the tenant holds.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.readers.repository import PERMANENT, begin_permanent
from trunkline.runs.planning import EntityWrite
from trunkline.runs.writes import Place, joined

# Each reader of the tenant's is due from now on, unless it waits after a failure. Its work's row is locked
# even where nothing changes, so that it cannot end between our looking at it and our commit.
_WOKEN = """
    woken AS (
        INSERT INTO work AS w (tenant_id, id, kind, key, due_at, ready)
        SELECT r.tenant_id, uuidv7(), 'read:' || r.kind, r.name,
               clock_timestamp() + make_interval(secs => r.gather_seconds), r.gather_seconds = 0
        FROM readers r WHERE r.tenant_id = :tenant AND r.kind <> 'feed'
        ON CONFLICT (tenant_id, kind, key) DO UPDATE SET
            due_at = CASE WHEN w.lease_until IS NULL THEN excluded.due_at ELSE w.due_at END,
            ready = w.ready OR (w.lease_until IS NULL AND excluded.ready),
            again_at = CASE WHEN w.lease_until IS NULL THEN w.again_at ELSE excluded.due_at END
        WHERE CASE WHEN w.lease_until IS NULL THEN w.tries = 0 AND excluded.due_at < w.due_at
                   ELSE w.again_at IS NULL OR excluded.due_at < w.again_at END
    )"""

_INSERT = """
        INSERT INTO entities
            (tenant_id, recipe_id, external_id, id, model, connection_id, stream, data, fingerprint,
             recipe_version, run_id, revision)
        SELECT CAST(:tenant AS uuid), (CAST(:recipes AS uuid[]))[g.recipe], g.external_id, g.id,
               (CAST(:models AS text[]))[g.recipe], CAST(:connection AS uuid), CAST(:stream AS text),
               CAST(convert_from(substring(CAST(:data AS bytea), g.start, g.length), 'UTF8') AS jsonb),
               substring(CAST(:fingerprints AS bytea), CAST(16 * g.number - 15 AS integer), 16),
               (CAST(:versions AS integer[]))[g.recipe], CAST(:run AS uuid), g.revision
        FROM unnest(CAST(:which AS integer[]), CAST(:externals AS text[]), CAST(:ids AS uuid[]),
                    CAST(:starts AS integer[]), CAST(:lengths AS integer[]), CAST(:revisions AS integer[]))
            WITH ORDINALITY AS g(recipe, external_id, id, start, length, revision, number)"""

# Put together from constants, so that S608 (SQL made of text) has nothing to warn of.
_ADDED = f"""
    written AS ({_INSERT}
        RETURNING 'created' AS operation, entities.*
    )"""

_CHANGED = f"""
    put AS ({_INSERT}
        ON CONFLICT (tenant_id, recipe_id, external_id) DO UPDATE SET
            model = excluded.model, data = excluded.data, fingerprint = excluded.fingerprint,
            recipe_version = excluded.recipe_version, run_id = excluded.run_id,
            revision = excluded.revision, changed_at = now(), deleted_at = NULL
        RETURNING CASE WHEN old.id IS NULL OR old.deleted_at IS NOT NULL THEN 'created' ELSE 'updated' END
                      AS operation, new.*
    ), gone AS (
        UPDATE entities
        SET deleted_at = now(), changed_at = now(), revision = g.revision, run_id = CAST(:run AS uuid)
        FROM unnest(CAST(:gone_recipes AS uuid[]), CAST(:gone_externals AS text[]),
                    CAST(:gone_revisions AS integer[])) AS g(recipe_id, external_id, revision)
        WHERE entities.tenant_id = :tenant AND entities.recipe_id = g.recipe_id
          AND entities.external_id = g.external_id
        RETURNING 'deleted' AS operation, new.*
    ), written AS (
        SELECT * FROM put UNION ALL SELECT * FROM gone
    )"""  # noqa: S608 - of the constants above

_POSITIONS = """
        INSERT INTO change_heads AS h (tenant_id, position)
        SELECT CAST(:tenant AS uuid), count(*) FROM written
        ON CONFLICT (tenant_id) DO UPDATE SET position = h.position + excluded.position
        RETURNING position"""
"""The count is of all that is written: whoever waits here for the tenant's lock has that behind him."""


def _logged(written: str, positions: str = _POSITIONS) -> TextClause:
    return text(f"""
    WITH {_WOKEN}, {written}, head AS ({positions}
    ), placed AS (
        INSERT INTO changes
            (tenant_id, position, operation, entity_id, model, connection_id, stream, external_id, recipe_id,
             recipe_version, run_id, revision, data)
        SELECT w.tenant_id, head.position - (SELECT count(*) FROM written) + row_number() OVER (),
               w.operation, w.id, w.model, w.connection_id, w.stream, w.external_id, w.recipe_id,
               w.recipe_version, w.run_id, w.revision, w.data
        FROM written w, head
        RETURNING position
    )
    SELECT (SELECT count(*) FROM placed) AS placed,
           ARRAY(SELECT r.kind FROM readers r WHERE r.tenant_id = :tenant AND r.kind <> 'feed') AS readers,
           EXISTS (SELECT FROM readers r
                   WHERE r.tenant_id = :tenant AND r.kind <> 'feed' AND r.gather_seconds = 0) AS at_once
""")  # noqa: S608 - of the constants above


_ADD = _logged(_ADDED)
_CHANGE = _logged(_CHANGED)


async def put(
    session: AsyncSession, place: Place, run_id: UUID, writes: Sequence[EntityWrite], *, new: bool = False
) -> bool:
    """The last thing before the commit: it takes the lock that orders all writers of the tenant.

    `new`: none of them was ever held; raises IntegrityError where one is. Readers of the log are due with
    it. True: one of them reads at once, so that a hint is worth sending.
    """
    if not writes:
        return False
    made = [write for write in writes if write.data is not None]
    gone = [write for write in writes if write.data is None]
    recipes = {write.recipe_id: write for write in made}
    which = {recipe: number for number, recipe in enumerate(recipes, 1)}
    values = {
        **place.params(),
        "run": run_id,
        "recipes": list(recipes),
        "models": [write.model for write in recipes.values()],
        "versions": [write.recipe_version for write in recipes.values()],
        "which": [which[write.recipe_id] for write in made],
        "externals": [write.external_id for write in made],
        "ids": [write.id for write in made],
        **joined("data", [write.written for write in made]),
        "fingerprints": b"".join([write.fingerprint for write in made]),
        "revisions": [write.revision for write in made],
    }
    statement = _ADD if new and not gone else _CHANGE
    if statement is _CHANGE:
        values["gone_recipes"] = [write.recipe_id for write in gone]
        values["gone_externals"] = [write.external_id for write in gone]
        values["gone_revisions"] = [write.revision for write in gone]
    row = (await session.execute(statement, values)).one()
    if row.placed != len(writes):
        raise RuntimeError("an entity of this page is missing, so that the change log would lack its entry")
    missing = [(kind, gather) for kind, gather in PERMANENT if kind not in row.readers]
    if missing:  # the tenant's first changes, or a reader that is new in this version
        await begin_permanent(session, place.tenant_id, missing)
    return bool(row.at_once)
