"""What a checker says: `lost` (missing, stale, stuck), `doubled` (too often, or going back), `crossed` (another
tenant's, or nobody's).
"""

from typing import Any, Literal

import asyncpg
import msgspec
from chaos_kit.customers import Customer

Verdict = Literal["lost", "doubled", "crossed"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """`subject`: the record's id at the provider. `at`: seconds since 1970 when it can be told."""

    verdict: Verdict
    tenant: str
    what: str
    subject: str = ""
    at: float | None = None


class Finder:
    """Of one tenant."""

    def __init__(self, connection: asyncpg.Connection, customer: Customer) -> None:
        self.db = connection
        self.customer = customer
        self.found: list[Finding] = []

    def find(self, verdict: Verdict, what: str, subject: str = "", at: float | None = None) -> None:
        self.found.append(
            Finding(verdict=verdict, tenant=self.customer.slug, what=what, subject=subject, at=at)
        )

    async def rows(self, sql: str, *values: Any) -> list[Any]:
        """`$1` is the tenant."""
        return list(await self.db.fetch(sql, self.customer.tenant_id, *values))
