"""How a rig stands, in lines: said when it does not get on, so that what it waits for can be told.

Nothing here waits: a database that is away is one of the lines.
"""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
from chaos_kit.crew import Crew, Member
from chaos_kit.proxy import Proxies
from chaos_kit.saboteur import Saboteur
from chaos_kit.servers import Servers

from trunkline.kernel.embedded.process import Child, last_line
from trunkline.work.errors import DATABASE_AWAY

MOST = 12
"""Lines of one kind."""
ASK_SECONDS = 5.0

_RUNS = """
    SELECT t.slug, r.stream, r.mode, r.state, r.cause, r.attempt, s.cause AS stands, s.paused_at IS NOT NULL AS paused,
           c.state AS connection, extract(epoch FROM r.waiting_until - now())::int AS waits,
           extract(epoch FROM now() - r.created_at)::int AS age, count(*) OVER () AS all
    FROM runs r JOIN tenants t ON t.id = r.tenant_id
    JOIN connections c ON c.tenant_id = r.tenant_id AND c.id = r.connection_id
    LEFT JOIN streams s ON s.tenant_id = r.tenant_id AND s.connection_id = r.connection_id AND s.stream = r.stream
    WHERE r.state NOT IN ('succeeded', 'failed', 'cancelled') ORDER BY r.created_at LIMIT $1
"""
_WORK = """
    SELECT kind, count(*) AS all, count(*) FILTER (WHERE lease_until > now()) AS held,
           count(*) FILTER (WHERE lease_until <= now()) AS lapsed,
           count(*) FILTER (WHERE lease_until IS NULL AND due_at <= now()) AS due,
           extract(epoch FROM now() - min(due_at) FILTER (WHERE lease_until IS NULL))::int AS oldest,
           max(tries) AS tries, (array_agg(DISTINCT cause) FILTER (WHERE cause IS NOT NULL))[1:3] AS causes,
           (array_agg(DISTINCT leased_by) FILTER (WHERE leased_by IS NOT NULL))[1:4] AS holders
    FROM work WHERE due_at <= now() OR lease_until IS NOT NULL GROUP BY kind ORDER BY count(*) DESC LIMIT $1
"""
_BLOCKED = """
    SELECT application_name, state, wait_event_type, wait_event, pg_blocking_pids(pid) AS by,
           extract(epoch FROM now() - coalesce(xact_start, query_start))::int AS age
    FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND (cardinality(pg_blocking_pids(pid)) > 0 OR now() - xact_start > interval '5 seconds') LIMIT $1
"""
_ASIDE = """
    SELECT (SELECT count(*) FROM streams WHERE paused_at IS NOT NULL) AS paused,
           (SELECT count(*) FROM reviews WHERE state = 'open') AS reviews,
           (SELECT count(*) FROM streams WHERE drift IS NOT NULL) AS drifted,
           (SELECT count(*) FROM connections WHERE state <> 'active') AS resting
"""


async def standing(saboteur: Saboteur, crew: Crew, proxies: Proxies, servers: Servers) -> list[str]:
    """What strikes, every process and proxy, and what the database says is open, due and in the way."""
    moment = time.monotonic()
    lines = [
        f"fault in hand: {fault.kind} at {place} for {moment - since:.0f} s"
        for place, (fault, since) in saboteur.in_hand.items()
    ]
    lines += processes(crew)
    lines += [
        f"server {name}: {_process(child)}"
        for name, child in (
            ("postgres", servers.embedded.postgres.child),
            ("valkey", servers.embedded.valkey.child),
        )
    ]
    lines += proxies.standing()
    return lines + await database(servers.database_url)


def processes(crew: Crew) -> list[str]:
    return [_member(member) for member in crew.members.values()]


def _member(member: Member) -> str:
    pid, begun, _ = member.lives[-1]
    away = ", counted as away" if member.away else ""
    age = f"for {time.time() - begun:.0f} s, life {len(member.lives)}{away}"
    return f"{member.name} ({pid}): {_process(member.child)} {age}; last said: {last_line(member.log)}"


def _process(child: Child | None) -> str:
    """By the letter that the kernel has for it, in a word."""
    if child is None:
        return "not there"
    if child.status is not None:
        return f"ended with {child.status}"
    try:
        letter = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "there"
    words = {
        "T": "stopped",
        "t": "traced",
        "Z": "a zombie",
        "D": "waiting for a disk",
        "R": "running",
        "S": "asleep",
    }
    return words.get(letter, letter)


async def database(url: str) -> list[str]:
    try:
        connection = await asyncpg.connect(url, timeout=ASK_SECONDS, command_timeout=ASK_SECONDS)
        try:
            return [line async for line in _told(connection)]
        finally:
            await connection.close(timeout=ASK_SECONDS)
    except (*DATABASE_AWAY, TimeoutError) as error:
        return [f"the database is away: {type(error).__name__}"]


async def _told(connection: asyncpg.Connection) -> AsyncIterator[str]:
    for row in await connection.fetch(_RUNS, MOST):
        yield f"open run, one of {row['all']}: {_words(row)}"
    for row in await connection.fetch(_WORK, MOST):
        yield f"work: {_words(row)}"
    for row in await connection.fetch(_BLOCKED, MOST):
        yield f"in the database: {_words(row)}"
    yield f"stopped by somebody's decision: {_words(await connection.fetchrow(_ASIDE))}"


def _words(row: asyncpg.Record) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None and name != "all")
