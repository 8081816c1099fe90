"""The mechanism's own rules: who is woken, who waits, what is remembered of a failure."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.readers import repository
from trunkline.readers.daily import DailyChangesReader
from trunkline.readers.reader import Batch, Reader
from trunkline.readers.repository import PERMANENT, work_kind
from trunkline.readers.schemas import ReaderView
from trunkline.work.queue import CHANNEL, WorkQueue

from .conftest import Readers, Writer, furnish


class Moody(Reader):
    """Fails as long as it is told to."""

    kind = "moody"
    size = 3

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.seen: list[int] = []

    async def handle(self, session: AsyncSession, batch: Batch) -> None:
        if self.error is not None:
            raise self.error
        self.seen += [change.position for change in batch.changes]


async def work_of(db: Database, tenant: UUID, kind: str) -> Any:
    async with db.tenant(tenant) as session:
        return (
            await session.execute(
                text(
                    "SELECT key, due_at, tries, cause, due_at - clock_timestamp() AS ahead FROM work"
                    " WHERE tenant_id = :t AND kind = :k"
                ),
                {"t": tenant, "k": work_kind(kind)},
            )
        ).one_or_none()


async def view(db: Database, tenant: UUID, kind: str) -> ReaderView:
    async with db.tenant(tenant) as session:
        (found,) = await repository.views(session, tenant, kind=kind)
    return found


@pytest.fixture
async def writer(db: Database, tenant: UUID) -> Writer:
    return (await furnish(db, db, tenant, 1))[0]


async def test_the_first_change_brings_every_tenants_readers(
    db: Database, tenant: UUID, writer: Writer
) -> None:
    await writer.write(["a"], [], 1)
    for kind, gather in PERMANENT:
        found = await view(db, tenant, kind)
        assert (found.position, found.head, found.unread) == (0, 1, 1)
        row = await work_of(db, tenant, kind)
        assert row.key == kind
        assert row.ahead.total_seconds() <= gather


async def test_days_are_counted_by_model(db: Database, tenant: UUID, writer: Writer) -> None:
    await writer.write(["a", "b", "c"], [], 1)
    await writer.write(["a"], ["b"], 2)
    running = Readers(db, db, [DailyChangesReader()])
    await running.until_idle(tenant)
    async with db.tenant(tenant) as session:
        (day,) = await repository.days(session, tenant, 1)
    assert (day.model, day.created, day.updated, day.deleted) == ("contact", 3, 1, 1)
    found = await view(db, tenant, "daily_changes")
    assert (found.unread, found.waiting_since, found.lag_seconds(datetime.now(UTC))) == (0, None, 0)
    assert found.advanced_at is not None


async def test_a_failure_is_remembered_and_a_change_does_not_cut_its_wait_short(
    db: Database, tenant: UUID, writer: Writer
) -> None:
    moody = Moody()
    running = Readers(db, db, [moody])
    await running.add(tenant, moody, "m")
    moody.error = PermissionError("not yet")
    await writer.write(["a"], [], 1)
    assert await running.step() == 1
    found = await view(db, tenant, "moody")
    assert (found.position, found.failures, found.cause) == (0, 1, "internal_error")
    assert found.retry_at is not None
    waits = (await work_of(db, tenant, "moody")).due_at
    assert abs((waits - found.retry_at).total_seconds()) < 0.001
    await writer.write(["b"], [], 2)
    assert (await work_of(db, tenant, "moody")).due_at == waits
    moody.error = None
    async with db.tenant(tenant) as session:
        await session.execute(
            text("UPDATE work SET due_at = now() WHERE tenant_id = :t AND kind = 'read:moody'"), {"t": tenant}
        )
    await running.step()
    found = await view(db, tenant, "moody")
    assert (found.position, found.failures, found.cause, found.retry_at) == (2, 0, None, None)
    assert moody.seen == [1, 2]
    assert await work_of(db, tenant, "moody") is None


async def test_what_trying_again_does_not_help_waits_long(
    db: Database, tenant: UUID, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every action of the failure table ends in a retry: by jittered backoff, or by the quarter of an hour."""
    from trunkline.readers import jobs
    from trunkline.resilience.failures import failures

    moody = Moody()
    running = Readers(db, db, [moody])
    await running.add(tenant, moody, "m")
    moody.error = RuntimeError("whatever")
    by_action = {one.action: one for one in failures().values()}
    for number, (action, row) in enumerate(by_action.items(), 1):
        if row.code in {"lease_lost", "database_unavailable"}:
            continue
        with monkeypatch.context() as patch:
            patch.setattr(jobs, "classify", lambda *_, row=row, **__: row)
            async with db.tenant(tenant) as session:
                await session.execute(
                    text("UPDATE work SET due_at = now() WHERE tenant_id = :t AND kind = 'read:moody'"),
                    {"t": tenant},
                )
            if number == 1:
                await writer.write(["a"], [], 1)
            assert await running.step() == 1
        ahead = (await work_of(db, tenant, "moody")).ahead.total_seconds()
        assert (ahead > jobs.RETRY_CAP) == (action in {"fail", "pause", "reconnect"}), action
        assert (await view(db, tenant, "moody")).cause == row.code


async def test_a_reader_that_reads_at_once_is_hinted_at_after_the_commit(
    db: Database, tenant: UUID, writer: Writer, valkey_url: str
) -> None:
    moody = Moody()
    await Readers(db, db, [moody]).add(tenant, moody, "m")
    client = Redis.from_url(valkey_url)
    heard = client.pubsub()
    await heard.subscribe(CHANNEL)
    assert (await heard.get_message(timeout=5))["type"] == "subscribe"
    writer.pages._work = WorkQueue(client)
    await writer.write(["a"], [], 1)
    async with asyncio.timeout(10):
        while (message := await heard.get_message(timeout=1)) is None:
            pass
    assert message["type"] == "message"
    await heard.aclose()
    await client.aclose()
