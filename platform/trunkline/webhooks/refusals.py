"""What was refused: counted by address and cause, the last one outlined, written every few seconds.

Nothing of it is kept whole: a refused body is nobody's word, and its counting must not become a way to fill
the disk. What is unknown is counted for the operator under one id.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
import structlog

from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR, Database
from trunkline.webhooks import repository
from trunkline.work.errors import DATABASE_AWAY

Cause = Literal[
    "unknown_endpoint", "too_large", "unverifiable", "replayed", "unparsable", "unknown_account", "overloaded"
]
NOBODY: Final = UUID(int=0)
"""In the place of an address that nobody has."""
HEADERS_SHOWN: Final = 40

log = structlog.get_logger(__name__)


class _Count(msgspec.Struct):
    count: int
    sample: dict[str, Any]


class Refusals:
    """One per process."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: dict[tuple[UUID, UUID, Cause], _Count] = {}

    def add(
        self,
        cause: Cause,
        *,
        tenant_id: UUID = OPERATOR,
        endpoint_id: UUID = NOBODY,
        headers: Mapping[str, str],
        address: str | None,
        size: int,
        body: bytes = b"",
        detail: str = "",
        count: int = 1,
    ) -> None:
        """`detail`: of ours, without anything out of the body."""
        key = tenant_id, endpoint_id, cause
        before = self._counts.get(key)
        sample = {
            "address": address,
            "size": size,
            "headers": [name[:64] for name in sorted(headers)[:HEADERS_SHOWN]],
            "detail": detail[:200],
        }
        if body:
            sample["sha256"] = hashlib.sha256(body).hexdigest()
        self._counts[key] = _Count(count + (before.count if before else 0), sample)

    async def write(self) -> None:
        """What was counted since; kept for the next time where the database is away."""
        counts, self._counts = self._counts, {}
        moment = now()
        for (tenant, endpoint, cause), one in counts.items():
            try:
                async with self._db.tenant(tenant) as session:
                    await repository.refused(
                        session,
                        tenant,
                        endpoint,
                        cause,
                        day=moment.date(),
                        count=one.count,
                        at=moment,
                        sample=one.sample,
                    )
            except DATABASE_AWAY as error:
                log.warning("refusals not written", error=type(error).__name__)
                later = self._counts.get((tenant, endpoint, cause))
                self._counts[tenant, endpoint, cause] = _Count(
                    one.count + (later.count if later else 0), later.sample if later else one.sample
                )
