"""Compares what the provider's ledger says with what is held: records, entities, change log, counters, work; then what
it told of (`hook_checker`) and what the product was told (`delivery_checker`).
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
from chaos_kit.accounts import KINDS, MARK_TARGET, number_of
from chaos_kit.customers import Customer, Customers, Visitors, expected
from chaos_kit.delivery_checker import check_deliveries
from chaos_kit.finding import Finder, Finding, Verdict
from chaos_kit.hook_checker import check_hooks
from sqlalchemy import text

from trunkline.runs.service import document_context

PATIENCE_SECONDS = 10.0
_NAMES = ("pages", "fetched", "created", "updated", "deleted", "unchanged")


class _Tenant(Finder):
    def __init__(
        self, connection: asyncpg.Connection, customer: Customer, truth: Any, patience: float
    ) -> None:
        super().__init__(connection, customer)
        self._patience = patience
        self._truth = truth

    # -- records ----------------------------------------------------------------------------

    def records(self, held: dict[tuple[str, str], Any]) -> None:
        """`held`: (stream, id) -> document, of live records."""
        live = {
            (kind, one): entry
            for kind in KINDS
            for one, entry in self._truth[kind].items()
            if not entry["archived"]
        }
        for (kind, one), entry in live.items():
            if (kind, one) not in held:
                self.find("lost", f"{kind} {one} is not held", one)
            elif held[kind, one] != entry["document"]:
                mine = str(held[kind, one]["properties"].get("lastmodifieddate"))
                self.find("lost", f"{kind} {one} is held as it was before ({mine})", one)
        for kind, one in held.keys() - live.keys():
            gone = one in self._truth[kind]
            self.find(
                "lost" if gone else "crossed",
                f"{kind} {one} is held and {'was archived' if gone else 'never existed in this account'}",
                one,
            )

    # -- entities ---------------------------------------------------------------------------

    async def entities(self) -> None:
        held: dict[tuple[str, str], Any] = {}
        for row in await self.rows(
            "SELECT stream, external_id, data FROM entities WHERE tenant_id = $1 AND deleted_at IS NULL"
        ):
            key = row["stream"], row["external_id"]
            data = msgspec.json.decode(row["data"])
            if key in held:
                self.find("doubled", f"two entities of {key[0]} {key[1]}", key[1])
            held[key] = data
            self._mine(data, key[1], "an entity")
        for kind in KINDS:
            for one, entry in self._truth[kind].items():
                data = held.get((kind, one))
                if entry["archived"]:
                    if data is not None:
                        self.find("lost", f"the entity of {kind} {one} outlived its record", one)
                    continue
                wanted = expected(kind, entry["values"])
                mine = {name: value for name, value in (data or {}).items() if value}
                if mine != wanted:
                    self.find("lost", f"the entity of {kind} {one} is not what the recipe makes of it", one)

    # -- the change log ---------------------------------------------------------------------

    async def log(self) -> list[Any]:
        entries = await self.rows(
            """SELECT position, operation, entity_id, revision, stream, external_id, data, run_id, changed_at
               FROM changes WHERE tenant_id = $1 ORDER BY position"""
        )
        positions = [row["position"] for row in entries]
        if positions != list(range(1, len(positions) + 1)):
            self.find("lost", "the change log has a gap")
        head = await self.rows("SELECT position FROM change_heads WHERE tenant_id = $1")
        if (head[0]["position"] if head else 0) != len(positions):
            self.find("lost", "the head of the change log is not its last position")
        of_record: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for row in entries:
            of_record[row["stream"], row["external_id"]].append(row)
        for (kind, one), history in of_record.items():
            self._history(kind, one, history)
        last = {(row["stream"], row["external_id"]): row for row in entries}
        for row in await self.rows(
            "SELECT stream, external_id, revision, data, deleted_at FROM entities WHERE tenant_id = $1"
        ):
            newest = last.get((row["stream"], row["external_id"]))
            same = newest is not None and (newest["revision"], newest["data"]) == (
                row["revision"],
                row["data"],
            )
            if not same or (newest["operation"] == "deleted") != (row["deleted_at"] is not None):
                self.find("lost", "the change log does not end with what is held", row["external_id"])
        return entries

    def _history(self, kind: str, one: str, history: Sequence[Any]) -> None:
        """Entries must tell of states of the ledger, each later than the one before: none twice, none back."""
        entry = self._truth[kind].get(one)
        if entry is None:
            self.find("crossed", f"the change log tells of {kind} {one}, which this account never had", one)
            return
        states, at, alive, before = entry["states"], 0, False, None
        for row in history:
            when = row["changed_at"].timestamp()
            data = msgspec.json.decode(row["data"])
            self._mine(data, one, "the change log", when)
            operation = row["operation"]
            if (operation == "created") == alive:
                self.find("doubled", f"{kind} {one} was {operation} twice over", one, when)
            if operation == "updated" and data == before:
                self.find("doubled", f"{kind} {one}: the same state twice in the change log", one, when)
            alive, before = operation != "deleted", data
            stamp = data.get(MARK_TARGET[kind])
            while at < len(states):
                _, living, mark = states[at]
                at += 1
                if living == alive and (not alive or mark == stamp):
                    break
            else:
                number = number_of(stamp)
                self.find("doubled", f"{kind} {one}: the change log went back to state {number}", one, when)
                return

    # -- counters ---------------------------------------------------------------------------

    async def counters(self, entries: Sequence[Any], held: int) -> None:
        told = Counter(row["run_id"] for row in entries)
        total: Counter[str] = Counter()
        for row in await self.rows(f"SELECT id, changes, {', '.join(_NAMES)} FROM runs WHERE tenant_id = $1"):
            if row["changes"] != told[row["id"]]:
                verdict: Verdict = "doubled" if row["changes"] > told[row["id"]] else "lost"
                self.find(verdict, f"a run counts {row['changes']} changes and made {told[row['id']]}")
            if row["fetched"] != row["created"] + row["updated"] + row["unchanged"]:
                self.find("lost", "a run's counters do not add up")
            total.update({name: row[name] for name in _NAMES})
        if total["created"] - total["deleted"] != held:
            more = total["created"] - total["deleted"] > held
            self.find("doubled" if more else "lost", "created less deleted is not what is held")
        streams = await self.rows("SELECT sum(records)::bigint AS n FROM streams WHERE tenant_id = $1")
        if streams[0]["n"] != held:
            self.find(
                "doubled" if streams[0]["n"] > held else "lost",
                "the streams count other records than are held",
            )

    # -- work -------------------------------------------------------------------------------

    async def work(self) -> None:
        """The backlog is drained, nothing leased by nobody, and every stream is still due some day."""
        rows = await self._work()
        deadline = time.monotonic() + self._patience
        while any(row["late"] for row in rows) and time.monotonic() < deadline:
            await asyncio.sleep(0.2)  # who was asked for during a run is due at its end, since the asking
            rows = await self._work()
        for row in rows:
            if row["lapsed"] and row["leased_by"] is not None:
                self.find("lost", f"a lease of {row['kind']} is nobody's")
            elif row["late"]:
                self.find("lost", f"work {row['kind']} is due and not done")
        awaited = {f"{self.customer.connection_id}:{kind}" for kind in KINDS}
        if missing := awaited - {row["key"] for row in rows if row["kind"] == "sync"}:
            self.find("lost", f"{len(missing)} streams are never due again")
        unended = await self.rows(
            """SELECT r.id FROM runs r WHERE r.tenant_id = $1 AND r.state IN ('queued', 'running', 'waiting')
               AND NOT EXISTS (SELECT 1 FROM streams s WHERE s.tenant_id = r.tenant_id AND s.run_id = r.id)"""
        )
        if unended:
            self.find("lost", f"{len(unended)} runs never ended and nobody works on them")

    async def _work(self) -> list[Any]:
        return await self.rows(
            """SELECT kind, key, leased_by, lease_until < now() AS lapsed, due_at < now() - interval '10 s' AS late
               FROM work WHERE tenant_id = $1"""
        )

    # -- the follower -----------------------------------------------------------------------

    def follower(self, seen: Sequence[tuple[int, str, int, str]], entries: Sequence[Any]) -> None:
        mine = [
            (row["position"], str(row["entity_id"]), row["revision"], row["operation"]) for row in entries
        ]
        if list(seen) == mine:
            return
        positions = [one[0] for one in seen]
        if len(set(positions)) < len(positions):
            self.find("doubled", "a reader of the change feed was told something twice")
        elif positions != list(range(1, len(positions) + 1)):
            self.find("lost", "a reader of the change feed missed a position")
        else:
            self.find("lost", "the change log is not any more what a reader was told")

    def _mine(self, data: Any, one: str, where: str, at: float | None = None) -> None:
        stamp = str(data.get("job_title") or data.get("phone") or "")
        if not stamp.startswith(f"{self.customer.account}/"):
            self.find("crossed", f"{where} holds another account's data", one, at)


async def check(
    customers: Customers, visitors: Visitors | None, url: str, truth: Any, patience: float = PATIENCE_SECONDS
) -> list[Finding]:
    """`patience`: seconds within which work that is late must be done."""
    found: list[Finding] = []
    connection = await asyncpg.connect(url)
    try:
        for customer in customers.all:
            tenant = _Tenant(connection, customer, truth[customer.account], patience)
            held = await _documents(customers, customer)
            tenant.records(held)
            await tenant.entities()
            entries = await tenant.log()
            await tenant.counters(entries, len(held))
            await tenant.work()
            if visitors is not None:
                tenant.follower(visitors.seen.get(customer.tenant_id, []), entries)
            found += tenant.found
        found += await check_hooks(connection, customers)
        found += await check_deliveries(connection, customers)
    finally:
        await connection.close()
    return found


async def _documents(customers: Customers, customer: Customer) -> dict[tuple[str, str], Any]:
    """Live records, opened with the tenant's own key: another tenant's could not be."""
    services = customers.services
    async with services.db.tenant(customer.tenant_id) as session:
        box = await services.vault.box(session, customer.tenant_id)
        rows = await session.execute(
            text("""SELECT connection_id, stream, external_id, document, key_version FROM records
                    WHERE tenant_id = :tenant AND deleted_at IS NULL"""),
            {"tenant": customer.tenant_id},
        )
        return {
            (row.stream, row.external_id): msgspec.json.decode(
                box.open(
                    row.document,
                    row.key_version,
                    document_context(row.connection_id, row.stream, row.external_id),
                )
            )
            for row in rows
        }
