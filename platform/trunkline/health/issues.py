"""Issues: one row per problem of a connection, however often it is met."""

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.ids import new_id
from trunkline.resilience.failures import failure

DETAILS = frozenset(
    {
        *("status", "correlation_id", "stream", "attempt", "tries", "run_id", "recipe_id", "work_id"),
        *("retry_at", "pages", "records", "field", "expected", "found", "error"),
    }
)
"""Keys of an issue's detail. A provider's message is not among them: it may quote personal data."""
DETAIL_LENGTH = 200

_OPEN = text("""
    INSERT INTO issues AS i (tenant_id, id, connection_id, stream, key, cause, detail)
    VALUES (:tenant_id, :id, :connection_id, :stream, :key, :cause, CAST(:detail AS jsonb))
    ON CONFLICT (tenant_id, key) WHERE resolved_at IS NULL DO UPDATE SET
        count = i.count + 1, last_seen_at = clock_timestamp(),
        detail = CASE WHEN excluded.detail = '{}' THEN i.detail ELSE excluded.detail END
    RETURNING i.id
""")

_RESOLVE = text("""
    UPDATE issues SET resolved_at = clock_timestamp()
    WHERE tenant_id = :tenant_id AND connection_id = :connection_id AND resolved_at IS NULL
      AND (CAST(:stream AS text) IS NULL OR stream = :stream)
""")


async def open_issue(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    cause: str,
    *,
    stream: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> UUID:
    """Open it, or count it once more if it is open already; its id.

    `cause`: a code of the failure table (another becomes `unclassified`). Keys of `detail` beyond DETAILS
    and values that are not plain are dropped.
    """
    code = failure(cause).code
    result = await session.execute(
        _OPEN,
        {
            "tenant_id": tenant_id,
            "id": new_id(),
            "connection_id": connection_id,
            "stream": stream,
            "key": f"{connection_id}:{stream or ''}:{code}",
            "cause": code,
            "detail": msgspec.json.encode(_plain(detail or {})).decode(),
        },
    )
    return cast("UUID", result.scalar_one())


async def resolve_issues(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, *, stream: str | None = None
) -> int:
    """Close what is open: of one stream, or without `stream` of the whole connection; how many."""
    result = await session.execute(
        _RESOLVE, {"tenant_id": tenant_id, "connection_id": connection_id, "stream": stream}
    )
    return cast("CursorResult[Any]", result).rowcount


def _plain(detail: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in detail.items():
        if key not in DETAILS:
            continue
        if isinstance(value, bool | int | float):
            kept[key] = value
        elif isinstance(value, str | UUID):
            kept[key] = str(value).replace("\0", "")[:DETAIL_LENGTH]
    return kept
