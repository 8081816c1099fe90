"""Worker processes killed, stopped, frozen: the work is resumed elsewhere and a late writer writes nothing."""

import asyncio
import signal

from .conftest import eventually


async def test_killed_in_the_middle_the_work_is_resumed_elsewhere(backlog, tenant, workers) -> None:
    first = await workers.start()
    await backlog.add(tenant, "k", kind="pages", args={"pages": 20})
    await workers.said("page", 3)
    first.kill()
    await first.wait()
    second = await workers.start()

    async def finished() -> bool:
        return any(line[0] == "end" for line in workers.lines())

    await eventually(finished)
    ends = [line for line in workers.lines() if line[0] == "end"]
    assert [(line[2], line[3]) for line in ends] == [("2", str(second.pid))]

    async def gone() -> bool:
        return not await backlog.rows(tenant)

    await eventually(gone)


async def test_frozen_and_thawed_it_writes_nothing(backlog, tenant, workers) -> None:
    first = await workers.start()
    await backlog.add(tenant, "k", kind="pages", args={"pages": 60})
    await workers.said("page", 2)
    first.send_signal(signal.SIGSTOP)
    second = await workers.start()

    async def taken_over() -> bool:
        return any(line[0] == "page" and line[3] == str(second.pid) for line in workers.lines())

    await eventually(taken_over)
    before = sum(line[0] == "page" and line[3] == str(first.pid) for line in workers.lines())
    first.send_signal(signal.SIGCONT)

    async def finished() -> bool:
        return any(line[0] == "end" for line in workers.lines())

    await eventually(finished)
    after = sum(line[0] == "page" and line[3] == str(first.pid) for line in workers.lines())
    # a page whose transaction had been committed before the freeze may still be told after it, no other
    assert after - before <= 1
    assert [line[3] for line in workers.lines() if line[0] == "end"] == [str(second.pid)]


async def test_sigterm_hands_back_and_ends_well(backlog, tenant, workers) -> None:
    first = await workers.start()
    await backlog.add(tenant, "polite", kind="pages", args={"pages": 500})
    await backlog.add(tenant, "stubborn", kind="stubborn")
    await workers.said("page", 2)
    await workers.said("begin", 1)
    first.terminate()
    async with asyncio.timeout(10):
        assert await first.wait() == 0
    assert [line[0] for line in workers.lines() if line[0] == "handback"] == ["handback"]
    rows = await backlog.rows(tenant)
    assert [(row.key, row.lease_until, row.due, row.tries) for row in rows] == [
        ("polite", None, True, 0),
        ("stubborn", None, True, 0),
    ]


async def test_a_crowd_through_several_processes_with_kills(backlog, tenant, workers) -> None:
    """Each of 60 items ends at least once, and no attempt is begun twice."""
    crew = [await workers.start() for _ in range(2)]
    for number in range(60):
        await backlog.add(tenant, f"{number:03d}", args={"seconds": 0.05})
    await workers.said("begin", 15)
    crew[0].kill()
    await crew[0].wait()
    await workers.start()

    async def drained() -> bool:
        return not await backlog.rows(tenant)

    await eventually(drained, seconds=60)
    begun = [(line[1], line[2]) for line in workers.lines() if line[0] == "begin"]
    assert len(begun) == len(set(begun))
    assert len({line[1] for line in workers.lines() if line[0] == "end"}) == 60
