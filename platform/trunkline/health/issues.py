"""Issues: one row per problem of a connection, however often it is met."""

from collections.abc import Mapping, Sequence
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
        *("header", "api_version", "ends"),
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
      AND cause <> ALL(CAST(:lasting AS text[]))
""")

_RESOLVE_CAUSE = text("""
    UPDATE issues SET resolved_at = clock_timestamp()
    WHERE tenant_id = :tenant_id AND connection_id = :connection_id AND resolved_at IS NULL
      AND stream IS NOT DISTINCT FROM CAST(:stream AS text) AND cause = :cause
""")

_NOTE = text("""
    INSERT INTO issues AS i (tenant_id, id, connection_id, key, cause, detail)
    VALUES (:tenant_id, :id, :connection_id, :key, :cause, CAST(:detail AS jsonb))
    ON CONFLICT (tenant_id, key) WHERE resolved_at IS NULL DO UPDATE SET
        last_seen_at = clock_timestamp(), detail = excluded.detail
        WHERE i.detail <> excluded.detail AND (excluded.detail ? 'ends' OR NOT i.detail ? 'ends'
            OR i.detail ->> 'api_version' <> excluded.detail ->> 'api_version')
""")

_RESOLVE_CAUSES = text("""
    UPDATE issues SET resolved_at = clock_timestamp()
    WHERE tenant_id = :tenant_id AND connection_id = :connection_id AND resolved_at IS NULL
      AND cause = ANY(CAST(:causes AS text[]))
""")

_RESOLVE_DEPRECATED = text("""
    UPDATE issues SET resolved_at = clock_timestamp()
    WHERE tenant_id = :tenant_id AND key = :key AND resolved_at IS NULL
      AND detail ->> 'api_version' <> :version
""")

DEPRECATED = "api_deprecated"
HOOK_DRIFT = "webhook_drift"
LASTING = ("mass_deletion", DEPRECATED, "unknown_outcome", HOOK_DRIFT)
"""Causes that no successful pass and no reconnect ends: somebody decides, or `hook_drift` sees the end."""


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
    """Close what is open, but for lasting causes: of one stream, or without `stream` of the whole connection;
    how many.
    """
    values = {"tenant_id": tenant_id, "connection_id": connection_id, "stream": stream}
    result = await session.execute(_RESOLVE, values | {"lasting": list(LASTING)})
    return cast("CursorResult[Any]", result).rowcount


async def resolve_cause(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, cause: str, *, stream: str | None
) -> None:
    """Close the stream's (None: the connection's own) issue of this cause, if it is open."""
    values = {"tenant_id": tenant_id, "connection_id": connection_id, "stream": stream, "cause": cause}
    await session.execute(_RESOLVE_CAUSE, values)


async def note_deprecated(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, *, header: str, api_version: str, ends: str
) -> None:
    """The provider has announced an end: one issue, however often it says so; nothing is written again."""
    detail = {"header": header, "api_version": api_version, "ends": ends}
    await session.execute(
        _NOTE,
        {
            "tenant_id": tenant_id,
            "id": new_id(),
            "connection_id": connection_id,
            "key": _deprecated(connection_id),
            "cause": DEPRECATED,
            "detail": msgspec.json.encode(_plain({k: v for k, v in detail.items() if v})).decode(),
        },
    )


async def resolve_deprecated(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, api_version: str
) -> None:
    """Close it once another version of the API is spoken."""
    values = {"tenant_id": tenant_id, "key": _deprecated(connection_id), "version": api_version}
    await session.execute(_RESOLVE_DEPRECATED, values)


def _deprecated(connection_id: UUID) -> str:
    return f"{connection_id}::{DEPRECATED}"


async def resolve_causes(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, causes: Sequence[str]
) -> None:
    """Close the connection's issues of these causes, if they are open."""
    values = {"tenant_id": tenant_id, "connection_id": connection_id, "causes": list(causes)}
    await session.execute(_RESOLVE_CAUSES, values)


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
