"""Addresses that belonged to no connection become own systems, with what was merely kept there."""

import importlib.util
from pathlib import Path
from uuid import uuid4

import asyncpg

MIGRATION = Path(__file__).parents[3] / "migrations" / "versions" / "0017_systems.py"
_spec = importlib.util.spec_from_file_location("systems_migration", MIGRATION)
assert _spec is not None
assert _spec.loader is not None
migration = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(migration)

EVENT = """
    INSERT INTO inbound_events (tenant_id, id, source_id, identity, endpoint_id, connector, event_id, type,
        received_at, verdict, body, key_version, size, request_id, expires_at, state)
    VALUES ($1, $2, $3, $4, $3, 'custom', '', 'order.paid', now(), 'verified', $5, 1, 1, '', now(), 'kept')
"""


async def test_they_become_connections_under_their_own_ids(database_url: str) -> None:
    owner = await asyncpg.connect(database_url)
    tenant, address, whole, expired = (uuid4() for _ in range(4))
    await owner.execute("INSERT INTO data_keys VALUES ($1, 1, $2, 'local', 'k')", tenant, b"x")
    await owner.execute(
        "INSERT INTO hook_endpoints (tenant_id, id, connector, name, key_hash, key, secret, key_version, state)"
        " VALUES ($1, $2, 'custom', 'Our shop', $3, $3, $3, 1, 'active')",
        tenant,
        address,
        b"x",
    )
    await owner.execute(EVENT, tenant, whole, address, b"1", b"sealed")
    await owner.execute(EVENT, tenant, expired, address, b"2", None)
    for _ in range(2):  # once more changes nothing
        for statement in migration.ADDRESSES:
            await owner.execute(statement)
        made = await owner.fetch("SELECT id, name, connector, state FROM connections")
        assert [tuple(one) for one in made] == [(address, "Our shop", "custom", "setup")]
        assert await owner.fetchval("SELECT connection_id FROM hook_endpoints") == address
        events = await owner.fetch("SELECT id, connection_id, source_id, state FROM inbound_events")
        assert {tuple(one) for one in events} == {
            (whole, address, address, "queued"),
            (expired, address, address, "ignored"),
        }
    forced = "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE relname = ANY($1)"
    tables = ["connections", "hook_endpoints", "inbound_events"]
    assert await owner.fetchval(forced, tables) is True
    await owner.close()
