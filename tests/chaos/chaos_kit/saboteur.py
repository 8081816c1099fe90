"""Carries a plan of faults out."""

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx2
from chaos_kit.crew import Crew, Member
from chaos_kit.customers import Customers
from chaos_kit.plan import Fault
from chaos_kit.proxy import Mode, Proxies
from chaos_kit.recorder import Recorder
from chaos_kit.servers import Disk, Servers
from chaos_kit.traps import AFTER_SENDING

from trunkline.work.errors import DATABASE_AWAY

STRIKE_SECONDS = 1.5
"""How long a worker is waited for to have work in hand before it is struck anyhow."""
TERM_SECONDS = 15.0
TRAP_SECONDS = 5.0
"""How long a process has to come by the place at which it is to die; then it is killed where it stands."""
EDITS = 20
AIM_SECONDS = 60.0
"""How long a worker that works is waited for; then the fault is noted as not struck, and the plan goes on."""
DEED_SECONDS = 180.0
"""How long a fault may take, its own length and all waits included; then likewise."""
PROXIED = frozenset({"valkey", "postgres", "provider", "receiver"})
_MODES: dict[str, Mode] = {"slow": "slow", "refuses": "refuse", "half open": "hold"}


class Saboteur:
    def __init__(
        self,
        *,
        servers: Servers,
        disk: Disk,
        proxies: Proxies,
        crew: Crew,
        customers: Customers,
        recorder: Recorder,
        seed: int,
    ) -> None:
        self._servers = servers
        self._disk = disk
        self._proxies = proxies
        self._crew = crew
        self._customers = customers
        self._recorder = recorder
        self._rng = random.Random(f"saboteur:{seed}")
        self._locks: dict[str, asyncio.Lock] = {}
        self._aiming = asyncio.Lock()
        self.struck = self.missed = 0
        self.in_hand: dict[str, tuple[Fault, float]] = {}
        """By place: what strikes it, and since when."""

    async def carry_out(self, faults: Sequence[Fault]) -> None:
        """Each at its time; a place that is still being struck is waited for."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                group.create_task(self._strike(fault))

    async def _strike(self, fault: Fault) -> None:
        async with self._locks.setdefault(fault.place, asyncio.Lock()):
            self._recorder.note(
                "fault", kind=fault.kind, place=fault.place, seconds=fault.seconds, **fault.detail
            )
            self.in_hand[fault.place] = fault, time.monotonic()
            try:
                async with asyncio.timeout(DEED_SECONDS):
                    more = await self._deed(fault)(fault)
            except Exception as error:  # noqa: BLE001 - one fault that cannot be carried out is no reason to stop
                self.missed += 1
                self._recorder.note("not struck", kind=fault.kind, place=fault.place, error=repr(error))
                return
            finally:
                del self.in_hand[fault.place]
            self.struck += 1
            self._recorder.note("fault over", kind=fault.kind, place=fault.place, **(more or {}))

    def _deed(self, fault: Fault) -> Callable[[Fault], Coroutine[Any, Any, dict[str, Any] | None]]:
        named = {
            "kill": self._kill,
            "pause": self._pause,
            "deploy": self._deploy,
            "kill web": self._kill_web,
            "web dies after the insert": self._trap,
            "web dies in the insert": self._trap,
            "worker dies in a batch": self._trap,
            "worker dies after sending": self._trap,
            "receiver fails": self._scripted,
            "receiver busy": self._scripted,
            "flush": self._flush,
            "restart valkey": self._restart_valkey,
            "valkey out of memory": self._starve,
            "crash postgres": self._crash,
            "restart postgres": self._restart,
            "disk full": self._fill,
        }
        if fault.kind in named:
            return named[fault.kind]
        return self._proxied if fault.place in PROXIED else self._scripted

    # -- workers ----------------------------------------------------------------------------

    async def _kill(self, fault: Fault) -> dict[str, Any]:
        async with self._aim(fault.place) as (member, held):
            pid = member.pid
            member.leave(signal.SIGKILL)
        return {"pid": pid, "held": held, "killed": time.time()}

    async def _pause(self, fault: Fault) -> dict[str, Any]:
        """Longer than its lease: what it had in hand is somebody else's when it goes on."""
        async with self._aim(fault.place) as (member, held):
            pid = member.pid
            member.pause()
        try:
            await asyncio.sleep(fault.seconds)
        finally:
            member.go_on()
        return {"pid": pid, "held": held}

    async def _deploy(self, fault: Fault) -> dict[str, Any]:
        """SIGTERM, and a new process once the old one has ended."""
        async with self._aim(fault.place) as (member, held):
            child, pid = member.child, member.pid
            began = time.monotonic()
            member.leave(signal.SIGTERM)
        while child is not None and child.status is None:
            if time.monotonic() - began > TERM_SECONDS:
                member.signal(signal.SIGKILL)
                break
            await asyncio.sleep(0.02)
        return {"pid": pid, "held": held, "ended": time.monotonic() - began}

    async def _kill_web(self, fault: Fault) -> None:
        (await self._alive(fault.place)).signal(signal.SIGKILL)

    async def _trap(self, fault: Fault) -> dict[str, Any]:
        """Killed by its own hand at a named point, so that it is that very point."""
        point = fault.kind.partition(" dies ")[2]
        if fault.place == "web":
            member = await self._alive(fault.place)
        else:
            async with self._aim(fault.place) as (member, _):
                member.away = True
        pid, child = member.pid, member.child
        trap = self._crew.trap(fault.place, point)
        trap.touch()
        try:
            # so that every worker has something to come by with
            if point == AFTER_SENDING:
                await self._customers.send_tests()
            else:
                await self._customers.control("edit", times=EDITS)
            deadline = time.monotonic() + TRAP_SECONDS
            while child is not None and child.status is None:
                if time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.02)
        finally:  # whatever went wrong: a worker that is left with a trap counts as away for ever
            there = not trap.exists()
            trap.unlink(missing_ok=True)
            if not there:
                member.leave(signal.SIGKILL)
        return {"pid": pid, "at": point if there else "elsewhere"}

    async def _alive(self, name: str) -> Member:
        member = self._crew.members[name]
        while member.pid is None:  # noqa: ASYNC110 - what is waited for is a process
            await asyncio.sleep(0.05)
        return member

    @asynccontextmanager
    async def _aim(self, name: str) -> AsyncIterator[tuple[Member, list[tuple[str, int]]]]:
        """A worker that works, and what it has in hand; one is aimed at at a time, while another works too.

        With none left nothing could resume, and how long that takes would tell of starting processes.
        """
        async with self._aiming, asyncio.timeout(AIM_SECONDS):
            while True:
                member = await self._alive(name)
                held = await self._held(member) if await self._works(member) else []
                others = [one for one in self._crew.workers if one is not member]
                if (
                    member.pid is not None
                    and not member.away
                    and any([await self._works(one) for one in others])
                ):
                    break
                await asyncio.sleep(0.2)
            yield member, held

    async def _works(self, member: Member) -> bool:
        """Whether it has taken up work since it was begun."""
        rows = await self._asked(
            """SELECT 1 FROM chaos.events WHERE what = 'claimed' AND detail->>'holder' LIKE $1
               ORDER BY id DESC LIMIT 1""",
            f"%:{member.pid}:%",
        )
        return member.pid is not None and not member.away and bool(rows)

    async def _asked(self, sql: str, *values: Any) -> list[Any]:
        """Nothing while the database is away."""
        with contextlib.suppress(*DATABASE_AWAY):
            connection = await asyncpg.connect(self._servers.database_url, timeout=2)
            try:
                return list(await connection.fetch(sql, *values, timeout=2))
            finally:
                await connection.close(timeout=2)
        return []

    async def _held(self, member: Member) -> list[tuple[str, int]]:
        """What it has in hand, once it has something: (work, attempt)."""
        deadline = time.monotonic() + STRIKE_SECONDS
        while time.monotonic() < deadline:
            rows = await self._asked(
                "SELECT id, attempt FROM work WHERE leased_by LIKE $1", f"%:{member.pid}:%"
            )
            if rows:
                return [(str(row["id"]), row["attempt"]) for row in rows]
            await asyncio.sleep(0.1)
        return []

    # -- servers ----------------------------------------------------------------------------

    async def _flush(self, _: Fault) -> None:
        await self._servers.flush_valkey()

    async def _restart_valkey(self, _: Fault) -> None:
        await self._servers.restart_valkey()

    async def _starve(self, fault: Fault) -> None:
        try:
            await self._servers.starve_valkey()
            await asyncio.sleep(fault.seconds)
        finally:
            await self._servers.feed_valkey()

    async def _crash(self, _: Fault) -> None:
        await self._servers.restart_postgres(signal.SIGKILL)

    async def _restart(self, _: Fault) -> None:
        await self._servers.restart_postgres(signal.SIGINT)

    async def _fill(self, fault: Fault) -> None:
        try:
            self._disk.fill()
            await asyncio.sleep(fault.seconds)
        finally:
            self._disk.empty()
        await self._servers.revive_postgres()

    async def _proxied(self, fault: Fault) -> None:
        how = fault.kind.removeprefix(fault.place).strip()
        if how == "cut":
            self._proxies.cut(fault.place)
            return
        try:
            self._proxies.become(fault.place, _MODES[how])
            await asyncio.sleep(fault.seconds)
        finally:
            self._proxies.become(fault.place, "pass")

    async def _scripted(self, fault: Fault) -> None:
        given: dict[str, Any] = {**fault.detail, "kind": fault.kind}
        if fault.seconds:
            given["seconds"] = fault.seconds
        if fault.kind == "revoke":
            given["account"] = fault.place
        with contextlib.suppress(httpx2.HTTPError):
            await self._customers.control("script", **given)
