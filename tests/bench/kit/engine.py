"""The engine as shipped, in a worker process of its own, and the tenants that it works for.

Run as a script it is that worker, until SIGTERM: what `trunkline worker` makes, but with a connector whose rate
limits are high (each call still asks for leave) and with the provider of this measurement behind the sandbox.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

import asyncpg
import msgspec
import structlog
import uvloop
from sqlalchemy import text

from trunkline.connections.models import Connection
from trunkline.connections.schemas import Tokens
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.principal import SYSTEM
from trunkline.kernel.settings import Settings
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.resilience.limiter import RateLimiter
from trunkline.sdk.manifest import Field, Manifest, Rate
from trunkline.sdk.registry import Connectors
from trunkline.services import Services, build_services
from trunkline_connectors.catalogue import manifests

PROPERTIES = (
    "email", "firstname", "lastname", "phone", "jobtitle", "company",
    "city", "country", "website", "lifecyclestage", "createdate", "lastmodifieddate",
)  # fmt: skip
SECRET = "secret"
"""Of the operator's app."""
UNLIMITED = 1_000_000
"""Requests a second: beyond what any worker makes."""
RECIPE = RecipeDefinition(
    stream="contacts",
    model="contact",
    mappings=(
        Mapping("email", source="email"),
        Mapping("first_name", source="firstname"),
        Mapping("last_name", source="lastname"),
        Mapping(
            "full_name", kind="expression", expression='text(record.firstname) + " " + text(record.lastname)'
        ),
        Mapping("phone", source="phone"),
        Mapping("job_title", source="jobtitle"),
        Mapping("country", kind="expression", expression="text(record.country).upperAscii()"),
        Mapping("updated_at", source="lastmodifieddate"),
    ),
    filter='record.lifecyclestage != "subscriber"',
)


def manifest() -> Manifest:
    """HubSpot's contacts with twelve fields, and no rate that matters."""
    hubspot = next(one for one in manifests() if one.name == "hubspot")
    contacts = hubspot.stream("contacts")
    assert contacts is not None
    fields = tuple(Field(name=name, label=name) for name in PROPERTIES)
    return msgspec.structs.replace(
        hubspot,
        rates=tuple(msgspec.structs.replace(rate, requests=UNLIMITED, seconds=1) for rate in hubspot.rates),
        streams=(msgspec.structs.replace(contacts, fields=fields),),
    )


def services(settings: Settings) -> Services:
    made = build_services(settings, Connectors([manifest()]), application="bench")
    high = Rate(bucket="tenant", requests=UNLIMITED, seconds=1)
    made.provider.calls._limiter = RateLimiter(made.valkey, tenant_rate=high)
    return made


class Tenants:
    """Makes tenants with one connection and one recipe each, and asks for runs."""

    def __init__(self, settings: Settings) -> None:
        self._services = services(settings)
        self._url = settings.database_url

    async def __aenter__(self) -> Self:
        await self._services.start()
        self._own = await asyncpg.connect(self._url)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._own.close()
        await self._services.close()

    async def add(self, *, recipe: bool = True, account: str = "1") -> tuple[UUID, UUID]:
        """A tenant and its connection, with a run due if it has a recipe."""
        here, tenant_id, connection_id = self._services, uuid4(), uuid4()
        async with here.db.tenant(OPERATOR) as session:
            await here.connections.clients.register(
                session, OPERATOR, "hubspot", client_id="client", secret=SECRET
            )
            client = (await session.execute(text("SELECT id FROM oauth_clients"))).scalar_one()
        async with here.db.tenant(tenant_id) as session:
            session.add(
                Connection(
                    tenant_id=tenant_id, id=connection_id, connector="hubspot", name="HubSpot", state="active",
                    account_id=account, oauth_client_tenant=OPERATOR, oauth_client_id=client, scopes=[], via="portal",
                    created_by="bench",
                )
            )  # fmt: skip
            await session.flush()
            await here.connections._tokens.store(
                session,
                tenant_id,
                connection_id,
                Tokens(
                    access_token="token",
                    refresh_token="refresh",
                    expires_at=datetime.now(UTC) + timedelta(hours=12),
                    scopes=None,
                ),
            )
            if recipe:
                await here.recipes.create(
                    session, tenant_id, SYSTEM, connection_id=connection_id, connector="hubspot", name="Contacts",
                    definition=RECIPE, schedule_seconds=3600,
                )  # fmt: skip
        return tenant_id, connection_id

    async def sleepers(self, number: int) -> None:
        """So many tenants with a connection each, whose run and check are an hour away."""
        await self._own.execute(
            """
            WITH made AS (
                INSERT INTO connections (tenant_id, id, connector, name, state, oauth_client_tenant,
                    oauth_client_id, scopes, via, created_by)
                SELECT gen_random_uuid(), gen_random_uuid(), 'hubspot', 'HubSpot', 'active', $2, $2, '{}',
                    'portal', 'bench' FROM generate_series(1, $1)
                RETURNING tenant_id, id)
            INSERT INTO work (tenant_id, id, kind, key, connection_id, due_at)
            SELECT tenant_id, gen_random_uuid(), kind, id || coalesce(stream, ''), id, now() + interval '1 hour'
            FROM made, (VALUES ('sync', ':contacts'), ('check', NULL)) AS kinds (kind, stream)
            """,
            number,
            OPERATOR,
        )
        await self._own.execute("ANALYZE work")

    async def ask(self, tenant_id: UUID, connection_id: UUID, mode: Any = None) -> None:
        async with self._services.db.tenant(tenant_id) as session:
            await self._services.runs.sync_now(session, tenant_id, connection_id, None, mode)

    async def finished(self, tenants: list[UUID]) -> tuple[datetime, datetime, dict[str, int]]:
        """Waits for the runs under way; when the first began, when the last ended, and what they counted."""
        while True:
            row = await self._own.fetchrow(
                """SELECT count(*) FILTER (WHERE state IN ('queued', 'running', 'waiting')) AS open,
                          array_agg(DISTINCT state || coalesce(': ' || cause, '')) AS states,
                          min(started_at) AS began, max(finished_at) AS ended,
                          sum(fetched)::bigint AS fetched, sum(created)::bigint AS created,
                          sum(updated)::bigint AS updated, sum(unchanged)::bigint AS unchanged,
                          sum(changes)::bigint AS changes, sum(pages)::bigint AS pages
                   FROM (SELECT DISTINCT ON (tenant_id) * FROM runs WHERE tenant_id = ANY($1)
                         ORDER BY tenant_id, created_at DESC) latest""",
                tenants,
            )
            if row["open"] == 0:
                if row["states"] != ["succeeded"]:
                    raise RuntimeError(f"a run did not succeed: {row['states']}")
                counts = {
                    name: row[name]
                    for name in ("fetched", "created", "updated", "unchanged", "changes", "pages")
                }
                return row["began"], row["ended"], counts
            await asyncio.sleep(0.05)


async def work() -> None:
    import signal

    from trunkline.work.worker import run_worker

    settings = Settings.load()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    made = services(settings)
    await made.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        await run_worker(settings, made.db, made.handlers(), stop=stop)
    finally:
        await made.close()


def environment(settings: Settings) -> dict[str, str]:
    return {
        "TRUNKLINE_DATA": str(settings.data),
        "TRUNKLINE_DATABASE_URL": settings.database_url,
        "TRUNKLINE_VALKEY_URL": settings.valkey_url,
        "TRUNKLINE_SANDBOX_URL": settings.sandbox_url,
    }


SCRIPT = Path(__file__)

if __name__ == "__main__":
    uvloop.run(work())
