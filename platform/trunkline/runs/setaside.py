"""The SQL of records that were set aside: asking for another try, and what is to be tried.

A record whose cause may pass (an expression process that was stopped) is tried again by itself, later each
time and `MAX_TRIES` times in all; every other one when somebody asks for it, or a new version of the recipe
maps what is held. Such a try is a pass beside the stream's own, over the records asked for.
"""

from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.runs.writes import Place, SealedRecord

MAX_TRIES: Final = 5
BACKOFF_SECONDS: Final = 60
"""After the first try; twice as long after each further one."""

_ASK = text("""
    UPDATE quarantine SET asked_at = now()
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND (CAST(:recipe AS uuid) IS NULL OR recipe_id = :recipe)
      AND (CAST(:external AS text) IS NULL OR external_id = :external)
      AND (CAST(:message AS text) IS NULL
           OR errors @> jsonb_build_array(jsonb_build_object('message', CAST(:message AS text))))
    RETURNING recipe_id
""")

_ASK_PASSING = text("""
    UPDATE quarantine SET asked_at = now()
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
      AND passing AND asked_at IS NULL AND tries < :most
      AND tried_at < now() - make_interval(secs => :seconds * power(2, tries - 1))
    RETURNING recipe_id
""")

_ASKED = text("""
    SELECT r.external_id, r.document, r.key_version FROM records r
    WHERE r.tenant_id = :tenant AND r.connection_id = :connection AND r.stream = :stream
      AND r.deleted_at IS NULL AND r.external_id > :after
      AND EXISTS (SELECT 1 FROM quarantine q
                  WHERE q.tenant_id = :tenant AND q.connection_id = :connection AND q.stream = :stream
                    AND q.external_id = r.external_id AND q.asked_at IS NOT NULL)
    ORDER BY r.external_id LIMIT :limit
""")

_COUNT_ASKED = text("""
    SELECT count(DISTINCT external_id) FROM quarantine
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND asked_at IS NOT NULL
""")

_FORGET = text("""
    UPDATE quarantine SET asked_at = NULL
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream AND asked_at IS NOT NULL
""")


async def ask(
    session: AsyncSession,
    place: Place,
    *,
    recipe_id: UUID | None = None,
    external_id: str | None = None,
    message: str | None = None,
) -> int:
    """How many are to be tried again. `message`: only what was set aside with this cause.

    The stream's row must be locked: whoever writes a page locks it before these.
    """
    values = {**place.params(), "recipe": recipe_id, "external": external_id, "message": message}
    return len((await session.execute(_ASK, values)).all())


async def ask_passing(session: AsyncSession, place: Place) -> int:
    """Those whose cause may have passed, and whose turn it is."""
    values = {**place.params(), "most": MAX_TRIES, "seconds": BACKOFF_SECONDS}
    return len((await session.execute(_ASK_PASSING, values)).all())


async def asked(session: AsyncSession, place: Place, after: str, limit: int) -> list[SealedRecord]:
    rows = await session.execute(_ASKED, {**place.params(), "after": after, "limit": limit})
    return [SealedRecord(*row) for row in rows]


async def count_asked(session: AsyncSession, place: Place) -> int:
    return int((await session.execute(_COUNT_ASKED, place.params())).scalar_one())


async def forget(session: AsyncSession, place: Place) -> None:
    """What could not be tried: its record is gone."""
    await session.execute(_FORGET, place.params())
