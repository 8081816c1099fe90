"""A rig that does not get on says what it waits for, and no fault leaves anything behind that it would wait for."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaos_kit.crew import Crew, EndedError, Member, free_port, listens, says, until
from chaos_kit.plan import Fault
from chaos_kit.saboteur import Saboteur
from chaos_kit.standing import database, processes

from .conftest import Small, eventually


async def test_a_stopped_worker_and_its_run_are_named(small: Small, database_url: str) -> None:
    await small.customers.control("script", kind="latency", seconds=120, milliseconds=300)
    worker = small.worker("worker0", "")

    async def begun() -> bool:
        return bool((await small.run())["pages"])

    await eventually(begun)
    await small.freeze(worker)
    try:
        (told,) = [line for line in processes(small.crew) if line.startswith("worker0")]
        assert f"({worker.pid}): stopped for" in told
        lines = await database(database_url)
        (run,) = [line for line in lines if line.startswith("open run") and "stream contacts" in line]
        assert "slug t00" in run
        assert "state running" in run
        assert "connection active" in run
        (work,) = [line for line in lines if line.startswith("work: kind sync")]
        assert f":{worker.pid}:" in work
        assert any(line.startswith("stopped by somebody's decision: paused 0, reviews 0") for line in lines)
    finally:
        worker.signal(signal.SIGCONT)


async def test_a_database_that_is_away_is_said_and_not_waited_for() -> None:
    (line,) = await database("postgresql://nobody:x@127.0.0.1:1/none")
    assert line.startswith("the database is away")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Crew, Member]]:
    crew = Crew(tmp_path, {})
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import time; time.sleep(600)")  # it is ended by the test
    member = Member("web", [sys.executable, str(sleeper)], {}, tmp_path / "web.log")
    crew.members["web"] = member
    member.start()
    yield crew, member
    crew.stop()


class Notes:
    def __init__(self, noted: list[tuple[str, dict[str, Any]]]) -> None:
        self._noted = noted

    def note(self, what: str, **more: Any) -> None:
        self._noted.append((what, more))


class Absent:
    """Customers whose provider does not answer, and servers that nobody asks."""

    async def control(self, *_: Any, **__: Any) -> None:
        raise TimeoutError


async def test_a_trap_that_could_not_be_laid_out_whole_leaves_nobody_away(web: tuple[Crew, Member]) -> None:
    crew, member = web
    noted: list[tuple[str, dict[str, Any]]] = []
    absent: Any = Absent()
    saboteur = Saboteur(
        servers=absent,
        disk=absent,
        proxies=absent,
        crew=crew,
        customers=absent,
        recorder=Notes(noted),  # type: ignore[arg-type]  # as much of a recorder as is asked here
        seed=1,
    )
    pid = member.pid
    await saboteur.carry_out([Fault(at=0.0, kind="web dies in the insert", place="web", seconds=0.0)])
    assert [what for what, _ in noted] == ["fault", "not struck"]
    assert (saboteur.struck, saboteur.missed, saboteur.in_hand) == (0, 1, {})
    assert not crew.trap("web", "in the insert").exists()
    await lives_again(member, pid)
    assert not member.away


async def test_who_is_struck_between_two_lives_is_not_away_in_the_next(web: tuple[Crew, Member]) -> None:
    _, member = web
    pid = member.pid
    member.signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while member.child is not None:
        assert time.monotonic() < deadline
        member.tend()
        await asyncio.sleep(0.01)
    member.leave(signal.SIGKILL)  # nobody is there to take it
    assert member.away
    await lives_again(member, pid)
    assert not member.away


async def test_a_port_that_another_program_took_is_not_taken_for_the_providers(tmp_path: Path) -> None:
    """It may be another rig's, which answers too."""
    port = free_port()
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    crew = Crew(tmp_path, {})
    try:
        provider = crew.add_script("provider", "provider_process.py", port, 1, 1, 5)
        with pytest.raises(
            EndedError, match=r"provider ended with \d+; it last said: .*address already in use"
        ):
            await until(lambda: listens(provider, port), 60, "The provider")
    finally:
        crew.stop()
        other.close()


async def test_a_provider_that_ends_ends_the_rig_and_one_that_is_busy_says_where_it_stands(
    tmp_path: Path,
) -> None:
    port = free_port()
    crew = Crew(tmp_path, {})
    try:
        provider = crew.add_script("provider", "provider_process.py", port, 1, 1, 5)
        await until(lambda: listens(provider, port), 60, "The provider")
        provider.signal(signal.SIGUSR1)
        await until(lambda: any("uvicorn" in line for line in says(provider)), 20, "Its stack")
        tending = asyncio.create_task(crew.tend())
        provider.signal(signal.SIGKILL)
        with pytest.raises(EndedError, match="provider ended with"):
            await asyncio.wait_for(tending, 20)
    finally:
        crew.stop()


async def lives_again(member: Member, before: int | None) -> None:
    deadline = time.monotonic() + 20
    while member.pid in {None, before}:
        assert time.monotonic() < deadline
        member.tend()
        await asyncio.sleep(0.01)
