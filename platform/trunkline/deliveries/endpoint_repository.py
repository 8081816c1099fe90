"""SQL of webhook endpoints and their secrets."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries.schedule import CERTIFICATE_NOTICE
from trunkline.deliveries.schemas import EndpointView, Wanted
from trunkline.kernel.db import OPERATOR

_ASKING = text("""
    SELECT tenant_id AS owner, id, types, full_data, created_at, disabled_at FROM webhook_endpoints
    WHERE tenant_id IN (:tenant, :operator) AND removed_at IS NULL ORDER BY created_at, id
""")

_VIEW = """
    SELECT e.tenant_id, e.id, e.url, e.description, e.types, e.full_data, e.concurrency, e.rate, e.created_by,
           CASE WHEN e.ordered THEN e.order_key ELSE 'none' END AS ordering,
           e.created_at, e.failing_since, e.noticed_at, e.resting_until, e.disabled_at,
           e.disabled_cause, coalesce(c.header_names, '{}') AS header_names, c.certificate_subject,
           c.certificate_ends
    FROM webhook_endpoints e LEFT JOIN endpoint_credentials c
        ON c.tenant_id = e.tenant_id AND c.endpoint_id = e.id
"""

_ENDPOINTS = text(
    _VIEW
    + """
    WHERE e.tenant_id IN (:tenant, :other) AND e.removed_at IS NULL
      AND (CAST(:id AS uuid) IS NULL OR e.id = :id)
    ORDER BY e.created_at, e.id
"""
)

_TROUBLED = text(
    _VIEW
    + """
    WHERE e.tenant_id = :tenant AND e.removed_at IS NULL
      AND (e.failing_since < now() - interval '1 day' OR e.disabled_cause IN ('gone', 'failing')
           OR e.disabled_at IS NULL AND c.certificate_ends < now() + CAST(:notice AS interval))
    ORDER BY coalesce(e.failing_since, e.disabled_at, c.certificate_ends), e.id
"""
)

_ADD_ENDPOINT = text("""
    INSERT INTO webhook_endpoints
        (tenant_id, id, url, description, types, full_data, ordered, order_key, concurrency, rate, created_by,
         created_at)
    VALUES (:tenant, :id, :url, :description, CAST(:types AS text[]), :full_data, :ordered, :order_key,
            :concurrency, CAST(:rate AS integer), :created_by, :created_at)
""")

_CHANGE_ENDPOINT = text("""
    UPDATE webhook_endpoints SET url = :url, description = :description, types = CAST(:types AS text[]),
        full_data = :full_data, ordered = :ordered, order_key = :order_key, concurrency = :concurrency,
        rate = CAST(:rate AS integer)
    WHERE tenant_id = :tenant AND id = :id
""")

_DISABLE = text("""
    UPDATE webhook_endpoints SET disabled_at = clock_timestamp(), disabled_cause = :cause
    WHERE tenant_id = :tenant AND id = :id AND disabled_at IS NULL AND removed_at IS NULL RETURNING id
""")

_ENABLE = text("""
    UPDATE webhook_endpoints SET disabled_at = NULL, disabled_cause = NULL, failing_since = NULL,
        noticed_at = NULL, resting_until = NULL
    WHERE tenant_id = :tenant AND id = :id
""")

_REMOVE = text("""
    UPDATE webhook_endpoints SET removed_at = clock_timestamp(), failing_since = NULL
    WHERE tenant_id = :tenant AND id = :id AND removed_at IS NULL
""")

_FAILING = text("""
    UPDATE webhook_endpoints SET failing_since = coalesce(failing_since, CAST(:at AS timestamptz))
    WHERE tenant_id = :tenant AND id = :id RETURNING failing_since
""")

_NOTICED = text("""
    UPDATE webhook_endpoints SET noticed_at = CAST(:at AS timestamptz)
    WHERE tenant_id = :tenant AND id = :id AND noticed_at IS NULL RETURNING id
""")

_WORKING = text("""
    UPDATE webhook_endpoints SET failing_since = NULL, noticed_at = NULL
    WHERE tenant_id = :tenant AND id = :id AND failing_since IS NOT NULL RETURNING id
""")

_REST = text("""
    UPDATE webhook_endpoints SET resting_until = greatest(resting_until, CAST(:until AS timestamptz))
    WHERE tenant_id = :tenant AND id = :id
""")

_ADD_SECRET = text("""
    INSERT INTO endpoint_secrets (tenant_id, endpoint_id, id, secret, key_version)
    VALUES (:tenant, :endpoint, :id, :secret, :version)
""")

_SECRETS = text("""
    SELECT id, secret, key_version FROM endpoint_secrets
    WHERE tenant_id = :tenant AND endpoint_id = :endpoint
      AND (expires_at IS NULL OR expires_at > CAST(:now AS timestamptz)) ORDER BY created_at DESC, id DESC
""")

_OLD_SECRETS = text("""
    UPDATE endpoint_secrets SET expires_at = CASE WHEN expires_at IS NULL THEN CAST(:until AS timestamptz)
        ELSE CAST(:now AS timestamptz) END
    WHERE tenant_id = :tenant AND endpoint_id = :endpoint
""")

_DROP_SECRETS = text("""
    DELETE FROM endpoint_secrets WHERE tenant_id = :tenant AND endpoint_id = :endpoint
      AND (:every OR expires_at <= CAST(:now AS timestamptz))
""")

_CREDENTIAL = text("""
    SELECT headers, certificate, private_key, key_version FROM endpoint_credentials
    WHERE tenant_id = :tenant AND endpoint_id = :endpoint
""")

_PUT_CREDENTIAL = text("""
    INSERT INTO endpoint_credentials AS c
        (tenant_id, endpoint_id, headers, header_names, certificate, certificate_subject, certificate_ends,
         private_key, key_version)
    VALUES (:tenant, :endpoint, CAST(:headers AS bytea), CAST(:names AS text[]), CAST(:certificate AS text),
            CAST(:subject AS text), CAST(:ends AS timestamptz), CAST(:key AS bytea), :version)
    ON CONFLICT (tenant_id, endpoint_id) DO UPDATE SET
        headers = excluded.headers, header_names = excluded.header_names,
        certificate = excluded.certificate, certificate_subject = excluded.certificate_subject,
        certificate_ends = excluded.certificate_ends, private_key = excluded.private_key,
        certificate_notice = CASE WHEN c.certificate = excluded.certificate THEN c.certificate_notice END,
        key_version = excluded.key_version
""")

_NOTE_CERTIFICATE = text("""
    UPDATE endpoint_credentials SET certificate_notice = :days
    WHERE tenant_id = :tenant AND endpoint_id = :endpoint AND coalesce(certificate_notice > :days, true)
    RETURNING endpoint_id
""")

_DROP_CREDENTIAL = text(
    "DELETE FROM endpoint_credentials WHERE tenant_id = :tenant AND endpoint_id = :endpoint"
)


async def asking(session: AsyncSession, tenant_id: UUID) -> list[Wanted]:
    """The tenant's endpoints and the installation's, the disabled ones too."""
    rows = await session.execute(_ASKING, {"tenant": tenant_id, "operator": OPERATOR})
    return [Wanted(**row) for row in rows.mappings()]


async def endpoints(session: AsyncSession, tenant_id: UUID) -> list[EndpointView]:
    """The tenant's own; oldest first."""
    return await _endpoints(session, tenant_id, tenant_id, None)


async def endpoint(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> EndpointView | None:
    """The tenant's own."""
    return next(iter(await _endpoints(session, tenant_id, tenant_id, endpoint_id)), None)


async def receiving(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID | None = None
) -> list[EndpointView]:
    """Those that may get the tenant's events: its own and the installation's."""
    return await _endpoints(session, tenant_id, OPERATOR, endpoint_id)


async def _endpoints(
    session: AsyncSession, tenant_id: UUID, other: UUID, endpoint_id: UUID | None
) -> list[EndpointView]:
    rows = await session.execute(_ENDPOINTS, {"tenant": tenant_id, "other": other, "id": endpoint_id})
    return [EndpointView(**row) for row in rows.mappings()]


async def troubled(session: AsyncSession, tenant_id: UUID) -> list[EndpointView]:
    """The tenant's own that took nothing for a day, or were disabled for it, or whose client certificate
    ends soon.
    """
    rows = await session.execute(_TROUBLED, {"tenant": tenant_id, "notice": CERTIFICATE_NOTICE})
    return [EndpointView(**row) for row in rows.mappings()]


async def add_endpoint(session: AsyncSession, view: EndpointView) -> None:
    await session.execute(
        _ADD_ENDPOINT, _values(view) | {"created_by": view.created_by, "created_at": view.created_at}
    )


async def change_endpoint(session: AsyncSession, view: EndpointView) -> None:
    await session.execute(_CHANGE_ENDPOINT, _values(view))


def _values(view: EndpointView) -> dict[str, Any]:
    same = ("id", "url", "description", "types", "full_data", "concurrency", "rate")
    ordered = view.ordering != "none"
    # two columns, since a process of before, at work during an update, knows the first alone
    order = {"ordered": ordered, "order_key": view.ordering if ordered else "connection"}
    return {"tenant": view.tenant_id} | order | {name: getattr(view, name) for name in same}


async def disable(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, cause: str) -> bool:
    """False: it was not enabled."""
    given = {"tenant": tenant_id, "id": endpoint_id, "cause": cause}
    return (await session.execute(_DISABLE, given)).scalar() is not None


async def enable(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> None:
    await session.execute(_ENABLE, {"tenant": tenant_id, "id": endpoint_id})


async def remove_endpoint(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> None:
    await session.execute(_REMOVE, {"tenant": tenant_id, "id": endpoint_id})


async def note_failing(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, at: datetime
) -> datetime | None:
    """Since when it has been so."""
    given = {"tenant": tenant_id, "id": endpoint_id, "at": at}
    found: datetime | None = (await session.execute(_FAILING, given)).scalar()
    return found


async def note_noticed(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, at: datetime) -> bool:
    """True: its owner was not told before."""
    given = {"tenant": tenant_id, "id": endpoint_id, "at": at}
    return (await session.execute(_NOTICED, given)).scalar() is not None


async def note_working(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> bool:
    """True: it failed before."""
    given = {"tenant": tenant_id, "id": endpoint_id}
    return (await session.execute(_WORKING, given)).scalar() is not None


async def note_rest(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, until: datetime) -> None:
    await session.execute(_REST, {"tenant": tenant_id, "id": endpoint_id, "until": until})


# --- secrets ---


async def add_secret(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, secret_id: UUID, sealed: bytes, version: int
) -> None:
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "id": secret_id, "secret": sealed}
    await session.execute(_ADD_SECRET, {**given, "version": version})


async def secrets(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, now: datetime
) -> list[tuple[UUID, bytes, int]]:
    """Those in force, the newest first: id, sealed, key version."""
    rows = await session.execute(_SECRETS, {"tenant": tenant_id, "endpoint": endpoint_id, "now": now})
    return [(row.id, row.secret, row.key_version) for row in rows]


async def retire_secrets(
    session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, now: datetime, until: datetime
) -> None:
    """The one in force signs until then; one that was retired before, no more."""
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "now": now}
    await session.execute(_OLD_SECRETS, given | {"until": until})
    await session.execute(_DROP_SECRETS, given | {"every": False})


async def drop_secrets(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, now: datetime) -> None:
    await session.execute(
        _DROP_SECRETS, {"tenant": tenant_id, "endpoint": endpoint_id, "now": now, "every": True}
    )


# --- what a receiver wants beside the signature ---


async def credential(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> Any:
    """headers, certificate, private_key, key_version: sealed as they lie; None: it wants nothing."""
    return (await session.execute(_CREDENTIAL, {"tenant": tenant_id, "endpoint": endpoint_id})).one_or_none()


async def put_credential(
    session: AsyncSession,
    tenant_id: UUID,
    endpoint_id: UUID,
    *,
    headers: bytes | None,
    names: Sequence[str],
    certificate: str | None,
    subject: str | None,
    ends: datetime | None,
    key: bytes | None,
    version: int,
) -> None:
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "headers": headers, "names": list(names)}
    shown = {"certificate": certificate, "subject": subject, "ends": ends}
    await session.execute(_PUT_CREDENTIAL, {**given, **shown, "key": key, "version": version})


async def note_certificate(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID, days: int) -> bool:
    """True: this notice of its end, or a later one, was not given before."""
    given = {"tenant": tenant_id, "endpoint": endpoint_id, "days": days}
    return (await session.execute(_NOTE_CERTIFICATE, given)).scalar() is not None


async def drop_credential(session: AsyncSession, tenant_id: UUID, endpoint_id: UUID) -> None:
    await session.execute(_DROP_CREDENTIAL, {"tenant": tenant_id, "endpoint": endpoint_id})
