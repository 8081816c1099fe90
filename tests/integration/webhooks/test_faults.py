"""Nothing that was acknowledged is lost, nothing is kept twice, whatever is sent and whoever dies."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from webhooks_kit.flow import Flow
from webhooks_kit.hooks import SECRET, V3, Hooks, event

from trunkline.kernel.db import Database
from trunkline.webhooks import events, repository

EVENTS = 10_000
FORGED = 40
LATE = 20
TOO_LATE = 600.0
"""Seconds: twice the window of the scheme."""
SERVER = Path(__file__).parent / "webhooks_kit" / "dying_server.py"
WORKER = SERVER.with_name("dying_worker.py")


class History:
    """What was sent and answered, and whether what is kept agrees with it."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.sent: set[int] = set()
        self.forged: list[int] = []

    def check(self, kept: Counter[int]) -> None:
        lost = self.acknowledged - set(kept)
        assert not lost, f"acknowledged and lost: {len(lost)}"
        twice = [number for number, count in kept.items() if count > 1]
        assert not twice, f"kept twice: {len(twice)}"
        assert not set(kept) - self.sent, "kept and never sent"
        assert set(self.forged) <= {401}, f"a forged one was answered {Counter(self.forged)}"


async def storm(hooks: Hooks, seed: int, number: int) -> tuple[History, Counter[int]]:
    """Every event at least once, many again later in other company, in no order, with forgeries among them, and
    with deliveries that arrive when the time they were signed at is long over: as a replayed capture would.
    """
    chance, history = random.Random(seed), History()
    tenant, _ = await hooks.connect("101")
    every = [event("101", at, at) for at in range(number)]
    again = chance.sample(every, number // 4)
    chance.shuffle(every)
    sent = [*every, *again]
    bodies: list[tuple[bytes, list[int], str]] = []
    for start in range(0, len(sent), 100):
        part = sent[start : start + 100]
        numbers = [one["eventId"] for one in part]
        history.sent |= set(numbers)
        bodies.append((json.dumps(part).encode(), numbers, "sent"))
    for at in range(FORGED):
        never = json.dumps([event("101", at, number + at)]).encode()
        bodies.append((b'{"a":' * 50_000 if at % 2 else never, [], "forged"))
    for at in range(LATE):
        never = json.dumps([event("101", at, number + FORGED + at)]).encode()
        bodies.append((never, [], "late"))
    chance.shuffle(bodies)

    async def one(body: bytes, numbers: list[int], how: str) -> None:
        at = time.time() - TOO_LATE if how == "late" else None
        headers = hooks.signed(body, at, secret="guessed" if how == "forged" else None)
        said = await hooks.deliver(body, headers=headers)
        if how != "sent":
            history.forged.append(said.status)
        elif said.status == 200:
            history.acknowledged |= set(numbers)

    for start in range(0, len(bodies), 16):
        await asyncio.gather(*(one(*body) for body in bodies[start : start + 16]))
    async with hooks.db.tenant(tenant) as session:
        rows = await session.execute(
            text("SELECT event_id FROM inbound_events WHERE tenant_id = :t"), {"t": tenant}
        )
        return history, Counter(int(row.event_id) for row in rows)


async def test_ten_thousand_events_doubled_shuffled_and_forged(hooks: Hooks) -> None:
    history, kept = await storm(hooks, 1, EVENTS)
    assert len(history.acknowledged) == EVENTS
    assert len(history.forged) == FORGED + LATE
    history.check(kept)


@pytest.mark.parametrize(
    "planted", ["no deduplication", "answers before it keeps", "believes everybody", "any time will do"]
)
async def test_a_planted_fault_turns_the_checker_red(
    hooks: Hooks, monkeypatch: pytest.MonkeyPatch, planted: str
) -> None:
    if planted == "no deduplication":
        monkeypatch.setattr(events, "_event", _always_new(events._event))
    elif planted == "answers before it keeps":
        kept = repository.keep

        async def forgetful(db: Any, rows: Any) -> Any:
            return await kept(db, rows[1:])

        monkeypatch.setattr(repository, "keep", forgetful)
    elif planted == "any time will do":
        from trunkline.webhooks.signatures import Scheme

        verify = Scheme.verify

        def timeless(scheme: Scheme, keys: Any, delivery: Any, at: float) -> Any:
            return verify(scheme, keys, delivery, scheme.signed_at(delivery.headers) or at)

        monkeypatch.setattr(Scheme, "verify", timeless)
    else:
        from trunkline.webhooks import intake
        from trunkline.webhooks.signatures import Verdict

        monkeypatch.setattr(intake, "verify_any", lambda *_: Verdict("verified", 0))
    history, found = await storm(hooks, 2, 1000)
    with pytest.raises(AssertionError):
        history.check(found)


def _always_new(plain: Callable[..., Any]) -> Callable[..., Any]:
    import msgspec

    def event_of(*given: Any) -> Any:
        return msgspec.structs.replace(plain(*given), identity=os.urandom(16))

    return event_of


# --- kill -9 of the web process after the commit, before the answer ---


@contextlib.contextmanager
def server(mode: str, env: dict[str, str], script: Path = SERVER) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(script), mode], stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def post(url: str, origin: str, path: str, body: bytes) -> int | None:
    """The status; None: no answer came."""
    headers = V3.sign(V3.key(SECRET), method="POST", url=origin + path, body=body, at=time.time())
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url + path, body, headers, method="POST"), timeout=20
        ) as answer:
            status: int = answer.status
            assert answer.headers["x-content-type-options"] == "nosniff", "the frame of every answer"
            assert answer.headers["x-request-id"]
            return status
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (OSError, ConnectionError):
        return None


async def test_killed_after_the_commit_and_before_the_answer(
    hooks: Hooks, db: Database, valkey_url: str, tmp_path: Path, free_ports: Callable[[int], list[int]]
) -> None:
    tenant, _ = await hooks.connect("101")
    (port,) = free_ports(1)
    origin = "https://trunkline.test"
    env = {
        "TRUNKLINE_DATA": str(tmp_path),
        "TRUNKLINE_DATABASE_URL": db.url,
        "TRUNKLINE_VALKEY_URL": valkey_url,
        "TRUNKLINE_PUBLIC_URL": origin,
        "TRUNKLINE_PORT": str(port),
    }
    body = json.dumps([event("101", 1, 1)]).encode()
    url = f"http://127.0.0.1:{port}"

    def deliver(mode: str) -> tuple[int | None, int | None]:
        with server(mode, env) as process:
            status = post(url, origin, hooks.path, body)
            if mode == "dies":
                process.wait(10)
            return status, process.returncode

    assert await asyncio.to_thread(deliver, "dies") == (None, -signal.SIGKILL)
    (row,) = await hooks.events(tenant)
    assert row["state"] == "queued"
    async with db.tenant(tenant) as session:
        asked = await session.execute(text("SELECT 1 FROM work WHERE tenant_id = :t"), {"t": tenant})
        assert asked.all() == [], "it died before it could ask for its processing"
    status, _ = await asyncio.to_thread(deliver, "lives")
    assert status == 200, "the provider tries again"
    assert len(await hooks.events(tenant)) == 1
    # what makes up for the first death without the second delivery: the sweep finds it
    async with db.tenant(tenant) as session:
        await session.execute(text("DELETE FROM work WHERE tenant_id = :t"), {"t": tenant})
        await session.execute(
            text("UPDATE inbound_events SET due_at = now() - interval '5 s' WHERE tenant_id = :t"),
            {"t": tenant},
        )
    async with db.system() as system:
        assert [one for one, _ in await repository.waiting(system, 10)] == [tenant]


# --- kill -9 of a worker with a batch written and not committed ---


async def test_killed_in_the_middle_of_a_batch(flow: Flow, valkey_url: str) -> None:
    made = [flow.create(email=f"{number}@example.com") for number in range(50)]
    await flow.deliver(*(flow.event(one) for one in made))
    settings = flow.rig.settings
    env = {
        "TRUNKLINE_DATA": str(settings.data),
        "TRUNKLINE_DATABASE_URL": settings.database_url,
        "TRUNKLINE_VALKEY_URL": valkey_url,
        "TRUNKLINE_SANDBOX_URL": settings.sandbox_url,
        "TRUNKLINE_LEASE_SECONDS": "2",
        "TRUNKLINE_HEARTBEAT_SECONDS": "1",
    }

    def dies() -> int:
        with server("dies", env, WORKER) as process:
            return process.wait(30)

    assert await asyncio.to_thread(dies) == -signal.SIGKILL
    assert await flow.states() == [("queued", None)] * 50
    assert await flow.emails() == {}
    assert await flow.connected.positions() == []

    def lives() -> None:
        with server("lives", env, WORKER):
            asyncio.run_coroutine_threadsafe(_settled(flow), loop).result(40)

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(lives)
    assert await flow.states() == [("applied", None)] * 50
    assert sorted(await flow.emails()) == sorted(made)
    assert await flow.connected.positions() == list(range(1, 51)), "each once"
    assert len(await flow.attempts()) == 50
    await flow.connected.stands()


async def _settled(flow: Flow) -> None:
    for _ in range(200):
        if not any(state == "queued" for state, _ in await flow.states()):
            return
        await asyncio.sleep(0.2)
