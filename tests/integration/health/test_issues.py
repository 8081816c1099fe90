"""One row per problem: counted while open, opened anew after it was resolved."""

import asyncio
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from trunkline.health.issues import DETAIL_LENGTH, open_issue, resolve_deprecated, resolve_issues
from trunkline.kernel.db import OPERATOR, Database
from trunkline.runs.calls import DatabaseBooks
from trunkline.runs.notices import Notice


@pytest.fixture
def tenant() -> UUID:
    return uuid4()


@pytest.fixture
async def connection(db: Database, tenant: UUID) -> UUID:
    return await connect(db, tenant)


async def connect(db: Database, tenant: UUID) -> UUID:
    connection = uuid4()
    async with db.tenant(tenant) as session:
        await session.execute(
            text(
                "INSERT INTO connections (tenant_id, id, connector, name, state, oauth_client_tenant, "
                "oauth_client_id, scopes, via, created_by) VALUES (:tenant, :id, 'hubspot', 'HubSpot', "
                "'active', :operator, :id, '{}', 'portal', 'somebody')"
            ),
            {"tenant": tenant, "id": connection, "operator": OPERATOR},
        )
    return connection


async def issues(db: Database, tenant: UUID) -> list:
    async with db.tenant(tenant) as session:
        return list(
            await session.execute(
                text(
                    "SELECT id, stream, cause, count AS times, detail, resolved_at, opened_at <= last_seen_at "
                    "AS ordered FROM issues WHERE tenant_id = :tenant ORDER BY opened_at, id"
                ),
                {"tenant": tenant},
            )
        )


async def report(db: Database, tenant: UUID, connection: UUID, cause: str, **options) -> UUID:
    async with db.tenant(tenant) as session:
        return await open_issue(session, tenant, connection, cause, **options)


async def test_the_same_problem_is_counted_even_when_met_at_once(db, tenant, connection) -> None:
    ids = await asyncio.gather(
        *(report(db, tenant, connection, "provider_error", stream="contacts") for _ in range(8))
    )
    assert len(set(ids)) == 1
    (row,) = await issues(db, tenant)
    assert (row.times, row.cause, row.resolved_at, row.ordered) == (8, "provider_error", None, True)


async def test_another_cause_or_stream_is_another_issue(db, tenant, connection) -> None:
    await report(db, tenant, connection, "provider_error", stream="contacts")
    await report(db, tenant, connection, "provider_error", stream="deals")
    await report(db, tenant, connection, "rate_limited", stream="deals")
    await report(db, tenant, connection, "grant_revoked")
    assert len(await issues(db, tenant)) == 4


async def test_resolving_a_stream_or_all(db, tenant, connection) -> None:
    for stream in ("contacts", "deals", None):
        await report(db, tenant, connection, "provider_error", stream=stream)
    async with db.tenant(tenant) as session:
        assert await resolve_issues(session, tenant, connection, stream="deals") == 1
    assert {row.stream for row in await issues(db, tenant) if row.resolved_at} == {"deals"}
    async with db.tenant(tenant) as session:
        assert await resolve_issues(session, tenant, connection) == 2
        assert await resolve_issues(session, tenant, connection) == 0
    await report(db, tenant, connection, "provider_error", stream="deals")
    rows = [row for row in await issues(db, tenant) if row.stream == "deals"]
    assert [(row.times, row.resolved_at is None) for row in rows] == [(1, False), (1, True)]


async def test_details_are_plain_and_few(db, tenant, connection) -> None:
    detail = {
        "status": 500,
        "correlation_id": "c\0" * 500,
        "message": "Contact ada@example.com is broken",
        "attempt": {"nested": "ada@example.com"},
        "run_id": connection,
    }
    await report(db, tenant, connection, "provider_error", detail=detail)
    await report(db, tenant, connection, "provider_error")  # says nothing: the last known detail stays
    (row,) = await issues(db, tenant)
    assert row.detail == {"status": 500, "correlation_id": "c" * DETAIL_LENGTH, "run_id": str(connection)}


async def test_an_unknown_cause_is_unclassified(db, tenant, connection) -> None:
    await report(db, tenant, connection, "never heard of")
    assert [row.cause for row in await issues(db, tenant)] == ["unclassified"]


async def test_tenants_stay_apart(db, tenant, connection) -> None:
    other = uuid4()
    await report(db, tenant, connection, "provider_error")
    async with db.tenant(other) as session:
        assert await resolve_issues(session, tenant, connection) == 0
    with pytest.raises(DBAPIError):
        await report(db, other, connection, "provider_error")  # not its connection
    assert [row.resolved_at for row in await issues(db, tenant)] == [None]
    assert await issues(db, other) == []


async def test_an_announced_end_is_one_issue_until_another_version_is_spoken(db, tenant, connection) -> None:
    books = DatabaseBooks(db)

    async def seen() -> list:
        async with db.tenant(tenant) as session:
            return list(
                await session.execute(
                    text(
                        "SELECT count AS times, detail, last_seen_at, resolved_at, cause FROM issues "
                        "WHERE tenant_id = :tenant ORDER BY opened_at"
                    ),
                    {"tenant": tenant},
                )
            )

    await books.deprecated(tenant, connection, Notice("deprecation", "v1"))
    first = await seen()
    await books.deprecated(tenant, connection, Notice("deprecation", "v1"))
    assert await seen() == first
    await books.deprecated(tenant, connection, Notice("sunset", "v1", "2027-03-30"))
    await books.deprecated(tenant, connection, Notice("deprecation", "v1"))
    [held] = await seen()
    assert (held.cause, held.times) == ("api_deprecated", 1)
    assert held.detail == {"header": "sunset", "api_version": "v1", "ends": "2027-03-30"}
    async with db.tenant(tenant) as session:
        assert await resolve_issues(session, tenant, connection) == 0
        await resolve_deprecated(session, tenant, connection, "v1")
    assert (await seen())[0].resolved_at is None
    async with db.tenant(tenant) as session:
        await resolve_deprecated(session, tenant, connection, "v2")
    assert (await seen())[0].resolved_at is not None
