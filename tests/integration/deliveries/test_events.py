"""Events commit with their facts: nothing lost, nothing doubled, whatever is rolled back or killed."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from trunkline.deliveries.catalogue import ConnectionData
from trunkline.deliveries.outbox import emit
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.ids import new_id
from trunkline.runs import standing
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.weighing import weigh
from trunkline.runs.writes import Place


async def types(harbor: Any, tenant: UUID) -> list[str]:
    rows = await harbor.owner.fetch(
        "SELECT type FROM outbound_events WHERE tenant_id = $1 ORDER BY number", tenant
    )
    return [row["type"] for row in rows]


async def test_a_fact_that_is_rolled_back_was_never_told(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant)
    data = ConnectionData(connection_id=uuid4(), connector="hubspot", name="x", state="active")
    async with harbor.db.tenant(tenant) as session:
        emit(session, tenant, "connection.created", data, subject="x")
        await session.rollback()
    async with harbor.db.tenant(tenant) as session:
        savepoint = await session.begin_nested()
        emit(session, tenant, "connection.created", data, subject="x")
        await savepoint.rollback()
        emit(session, tenant, "connection.confirmed", data, subject="x")
    assert await types(harbor, tenant) == ["connection.confirmed"]


async def test_only_what_somebody_asks_for_is_kept(harbor: Any) -> None:
    tenant, silent = await harbor.tenant(), await harbor.tenant()
    await harbor.endpoint(tenant, types=["run.*"])
    await harbor.tell(tenant)
    await harbor.tell(silent)
    assert await types(harbor, tenant) == await types(harbor, silent) == []


async def test_many_at_once_meet_no_deadlock_and_lose_nothing(harbor: Any) -> None:
    """Facts beside deliveries and beside entries in the audit log, which all lock something at their end."""
    tenant, chance = await harbor.tenant(), random.Random(7)
    view, _ = await harbor.endpoint(tenant, "/crowd")
    told = set()

    async def tell(number: int) -> None:
        data = ConnectionData(connection_id=uuid4(), connector="hubspot", name=str(number), state="active")
        async with harbor.db.tenant(tenant) as session:
            event = emit(session, tenant, "connection.created", data, subject=data.connection_id)
            if chance.random() < 0.5:
                await harbor.deliveries._audited(session, harbor.who, "tested", view)
            await asyncio.sleep(chance.uniform(0, 0.005))
        told.add(f"msg_{event.hex}")

    sending = asyncio.create_task(_send(harbor, told, 60))
    await asyncio.gather(*(tell(number) for number in range(60)))
    await sending
    await harbor.settle("deliver")
    got = [one.id for one in harbor.receiver.of("/crowd")]
    assert len(got) == 60
    assert set(got) == told


async def _send(harbor: Any, told: set[str], many: int) -> None:
    while len(told) < many:
        await harbor.step("deliver")
        await asyncio.sleep(0)


async def test_lifecycle_of_a_connection(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, types=["connection.*"])
    connection = await harbor.connection(tenant)
    connections = harbor.services.connections
    async with harbor.db.tenant(tenant) as session:
        await connections.require_reconnect(session, tenant, connection, "grant_revoked")
    async with harbor.db.tenant(tenant) as session:
        await connections.require_reconnect(session, tenant, connection, "grant_revoked")  # once is once
    async with harbor.db.tenant(tenant) as session:
        await connections.disconnect(session, tenant, connection, harbor.who)
    assert await types(harbor, tenant) == ["connection.reconnect_needed", "connection.disconnected"]


async def _run(harbor: Any, tenant: UUID, connection: UUID) -> UUID:
    identity = new_id()
    await harbor.owner.execute(
        "INSERT INTO runs (tenant_id, id, connection_id, stream, mode, trigger, state, fetched, started_at)"
        " VALUES ($1, $2, $3, 'contacts', 'incremental', 'schedule', 'running', 5, now())",
        tenant,
        identity,
        connection,
    )
    return identity


async def test_runs_that_end(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/runs", types=["run.*"])
    connection = await harbor.connection(tenant)
    for state, cause in (("succeeded", None), ("failed", "provider_error"), ("cancelled", None)):
        run = await _run(harbor, tenant, connection)
        for _ in range(2):  # the second finds it ended
            async with harbor.db.tenant(tenant) as session:
                await standing.end_run(session, tenant, run, state, cause)
    assert await types(harbor, tenant) == ["run.finished", "run.failed"]
    await harbor.settle("deliver")
    failed = next(one.json for one in harbor.receiver.of("/runs") if one.json["type"] == "run.failed")
    assert failed["data"]["cause"] == "provider_error"
    assert failed["data"]["fetched"] == 5


async def test_a_review_is_asked_for(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, types=["review.requested"])
    connection = await harbor.connection(tenant)
    place, pass_id = Place(tenant, connection, "contacts"), new_id()
    await harbor.owner.execute(
        "INSERT INTO records (tenant_id, connection_id, stream, external_id, fingerprint, document, key_version,"
        " run_id) SELECT $1, $2, 'contacts', n::text, '', '', 1, $2 FROM generate_series(1, 100) n",
        tenant,
        connection,
    )
    await harbor.owner.execute(
        "INSERT INTO vanished (tenant_id, connection_id, stream, pass_id, external_id, listed)"
        " SELECT $1, $2, 'contacts', $3, n::text, true FROM generate_series(1, 60) n",
        tenant,
        connection,
        pass_id,
    )
    checkpoint = Checkpoint(
        mode="incremental",
        phase="list",
        fields=[],
        recipes={},
        started=await harbor.owner.fetchval("SELECT now()"),
        id=pass_id,
    )
    async with harbor.db.tenant(tenant) as session:
        assert not await weigh(session, place, new_id(), checkpoint)
    assert await types(harbor, tenant) == ["review.requested"]


async def _changes(
    harbor: Any, tenant: UUID, connection: UUID, first: int, last: int, operation: str
) -> None:
    """A page of the change log, with what wakes its readers."""
    async with harbor.db.tenant(tenant) as session:
        await session.execute(
            text(
                "INSERT INTO changes (tenant_id, position, operation, entity_id, model, connection_id, stream,"
                " external_id, recipe_id, recipe_version, run_id, revision, data)"
                " SELECT :t, n, CAST(:o AS text), md5(n::text)::uuid, 'contact', :c, 'contacts', n::text, :c, 1,"
                " :c, 1, jsonb_build_object('email', n::text) FROM"
                " generate_series(CAST(:a AS int), CAST(:b AS int)) n"
            ),
            {"t": tenant, "c": connection, "a": first, "b": last, "o": operation},
        )
        await session.execute(
            text(
                "INSERT INTO change_heads (tenant_id, position) VALUES (:t, :b)"
                " ON CONFLICT (tenant_id) DO UPDATE SET position = :b"
            ),
            {"t": tenant, "b": last},
        )
        await session.execute(
            text(
                "INSERT INTO readers (tenant_id, kind, name) VALUES (:t, 'webhooks', 'webhooks') ON CONFLICT DO NOTHING"
            ),
            {"t": tenant},
        )
        await session.execute(
            text(
                "INSERT INTO work (tenant_id, id, kind, key) VALUES (:t, uuidv7(), 'read:webhooks', 'webhooks')"
                " ON CONFLICT (tenant_id, kind, key) DO UPDATE SET due_at = now()"
            ),
            {"t": tenant},
        )


async def test_records_arrive_in_batches_thin_or_full(harbor: Any) -> None:
    tenant = await harbor.tenant()
    _, judge = await harbor.endpoint(tenant, "/thin", types=["record.*"], ordering="record")
    await harbor.endpoint(tenant, "/full", types=["record.created"], payload="full")
    connection = await harbor.connection(tenant)
    await _changes(harbor, tenant, connection, 1, 250, "created")
    await _changes(harbor, tenant, connection, 251, 260, "deleted")
    await harbor.settle()
    thin, full = harbor.receiver.of("/thin"), harbor.receiver.of("/full")
    seen = [(one.json["type"], len(one.json["data"]["records"])) for one in thin]
    assert seen == [("record.created", 100)] * 2 + [("record.created", 50), ("record.deleted", 10)]
    positions = [record["position"] for one in thin for record in one.json["data"]["records"]]
    assert positions == list(range(1, 261))
    assert all("data" not in record for one in thin for record in one.json["data"]["records"])
    emails = [record["data"]["email"] for one in full for record in one.json["data"]["records"]]
    assert sorted(emails, key=int) == [str(n) for n in range(1, 251)]
    assert {one.id for one in full} < {one.id for one in thin}, "an event has one id wherever it goes"
    judge.verify(thin[0].body, thin[0].headers)


async def test_a_reader_that_is_killed_tells_nothing_twice(
    harbor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/once", types=["record.*"])
    connection = await harbor.connection(tenant)
    await _changes(harbor, tenant, connection, 1, 30, "created")

    class Killed(BaseException):
        pass

    from trunkline.deliveries import outbox

    real = outbox.wake

    async def die(*args: Any, **options: Any) -> None:
        await real(*args, **options)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "wake", die)
        with pytest.raises(Killed):
            await harbor.step("read:webhooks")
    assert await types(harbor, tenant) == []
    await harbor.owner.execute(
        "UPDATE work SET lease_until = now() - interval '1 s' WHERE tenant_id = $1", tenant
    )
    await harbor.settle()
    records = [record for one in harbor.receiver.of("/once") for record in one.json["data"]["records"]]
    assert [record["position"] for record in records] == list(range(1, 31))


async def test_health_is_told_of_when_it_changes(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/health", types=["health.changed"])
    connection = await harbor.connection(tenant)
    run = await _run(harbor, tenant, connection)
    async with harbor.db.tenant(tenant) as session:
        await standing.end_run(session, tenant, run, "succeeded", None)
    await harbor.settle("watch_health")  # from now on it is watched
    assert await types(harbor, tenant) == []
    async with harbor.db.tenant(tenant) as session:
        await harbor.services.connections.require_reconnect(session, tenant, connection, "grant_revoked")
    await harbor.settle("watch_health", "deliver")
    await harbor.owner.execute(
        "UPDATE work SET due_at = now() WHERE tenant_id = $1 AND kind = 'watch_health'", tenant
    )
    await harbor.settle("watch_health", "deliver")
    (told,) = harbor.receiver.of("/health")
    assert told.json["data"]["level"] == "reconnect_needed"
    assert told.json["data"]["before"] == "healthy"
    assert told.json["data"]["cause"] == "grant_revoked"


async def test_an_endpoint_of_the_installation_gets_every_tenants_events(harbor: Any) -> None:
    one, two = await harbor.tenant("one"), await harbor.tenant("two")
    view, judge = await harbor.endpoint(OPERATOR, "/all", types=["connection.*"])
    try:
        await harbor.tell(one)
        await harbor.tell(two)
        await harbor.settle("deliver")
        got = harbor.receiver.of("/all")
        assert {judge.verify(each.body, each.headers)["tenant"] for each in got} == {"one", "two"}
        assert len(await harbor.listed(one)) == len(await harbor.listed(two)) == 1
        assert await harbor.listed(OPERATOR) == []
    finally:
        async with harbor.db.tenant(OPERATOR) as session:
            await harbor.deliveries.remove(session, OPERATOR, view.id, harbor.who)


async def test_a_tenants_events_go_to_nobody_else(harbor: Any) -> None:
    mine, other = await harbor.tenant(), await harbor.tenant()
    await harbor.endpoint(mine, "/mine")
    await harbor.endpoint(other, "/other")
    event = await harbor.tell(mine)
    await harbor.settle("deliver")
    assert [one.id for one in harbor.receiver.of("/mine")] == [f"msg_{event.hex}"]
    assert harbor.receiver.of("/other") == []
    assert await harbor.listed(other) == []


async def test_after_thirty_days_it_is_forgotten(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/kept")
    await harbor.tell(tenant)
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    old, young = await harbor.listed(tenant)
    for sql in (
        "UPDATE delivery_attempts SET at = now() - interval '31 days' WHERE delivery_id = $1",
        "UPDATE deliveries SET ended_at = now() - interval '31 days' WHERE id = $1",
        "UPDATE outbound_events e SET created_at = now() - interval '31 days' FROM deliveries d WHERE e.id = d.event_id AND d.id = $1",
    ):
        await harbor.owner.execute(sql, old.id)
    await harbor.owner.execute(
        "UPDATE work SET due_at = now() WHERE tenant_id = $1 AND kind = 'purge_deliveries'", tenant
    )
    await harbor.step("purge_deliveries")
    assert [one.id for one in await harbor.listed(tenant)] == [young.id]
    again = await harbor.owner.fetchval(
        "SELECT due_at > now() + interval '23 hours' FROM work WHERE tenant_id = $1 AND kind = 'purge_deliveries'",
        tenant,
    )
    assert again
