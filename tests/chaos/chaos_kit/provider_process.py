"""HubSpot's simulator in a process of its own, with somebody who edits all along and a script of bad days.

`python provider_process.py PORT SEED ACCOUNTS [CONTACTS]`, the last of the first account. Its own control lies below
/chaos. It tells of its edits (`Postman`); below /receiver is the product's backend, which our own webhooks go to.
"""

import asyncio
import faulthandler
import random
import signal
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from litestar.types import Receive, Scope, Send

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos_kit.accounts import BUSY_COUNT, KINDS, MARK, account_ids, mark, portal, seeds, values
from chaos_kit.postman import Postman
from chaos_kit.receiver import Receiver

from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.hubspot.simulator import HubSpotSimulator

CLIENT = OAuthClient("chaos", "chaos-secret", ("http://127.0.0.1:1/oauth/callback/hubspot",), "Trunkline")
LATENCY = (0.02, 0.12)
"""Seconds that an answer takes, so that runs are long enough to be hit in the middle."""
ACCESS_SECONDS = 360
"""Of which 300 are kept in hand: every connection renews its token each minute."""


class Clock:
    """The provider's own: hours away from ours. Its Date header is moved by `skew` seconds while that lasts; the
    times of its records are not: by them it is decided which of two forms is the newer one.
    """

    def __init__(self, away: float) -> None:
        self._away = timedelta(seconds=away)
        self.skew = 0.0
        self.until = 0.0

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._away

    def jump(self, seconds: float) -> None:
        """From now on everything at the provider happens so much later."""
        self._away += timedelta(seconds=seconds)

    def shown(self) -> datetime:
        """In the Date header."""
        skew = self.skew if time.monotonic() < self.until else 0.0
        return self() + timedelta(seconds=skew)


class Editor:
    """Creates, changes, archives and restores, seeded; `rate` a second."""

    def __init__(self, simulator: HubSpotSimulator, accounts: list[str], seed: int) -> None:
        self._sim = simulator
        self._accounts = accounts
        self._rng = random.Random(f"editor:{seed}")
        self.rate = 0.0

    async def edit(self) -> None:
        while True:
            if self.rate <= 0:
                await asyncio.sleep(0.05)
                continue
            await asyncio.sleep(self._rng.expovariate(self.rate))
            self.once()

    def once(self) -> None:
        rng, store = self._rng, self._sim.store
        account, kind, chance = rng.choice(self._accounts), rng.choice(KINDS), rng.random()
        stamp = mark(account, len(store.ledger) + 1)
        if chance < 0.2:
            store.create(account, kind, values(rng, account, kind, stamp))
            return
        gone = chance > 0.95
        found = [one.id for one in store.walk(account, kind, archived=gone)]
        if not found:
            return
        chosen = rng.choice(found)
        if gone:
            store.restore(account, kind, chosen)
        elif chance > 0.85:
            store.archive(account, kind, chosen)
        else:
            store.update(account, kind, chosen, {MARK[kind]: stamp})


class BadDays:
    """In front of the sandbox: /chaos, slowness, wrong dates, overlapping pages, errors that call themselves 200."""

    def __init__(
        self,
        app: Any,
        simulator: HubSpotSimulator,
        clock: Clock,
        editor: Editor,
        postman: Postman,
        seed: int,
    ) -> None:
        self._app = app
        self._sim = simulator
        self._clock = clock
        self._editor = editor
        self._postman = postman
        self._receiver = Receiver(seed)
        self._rng = random.Random(f"provider:{seed}")
        self._left = {"overlap": 0, "error200": 0}
        self._before: dict[tuple[str, str], list[str]] = {}
        self._traffic = {"open": 0, "pages": 0}
        """Requests that are not answered yet, and pages of contacts that were given, since the beginning."""
        self._beside: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked: Any = scope
        if asked["type"] == "lifespan":
            self._beside = [
                asyncio.create_task(self._editor.edit(), name="editor"),
                asyncio.create_task(self._postman.run(), name="postman"),
            ]
            await self._app(scope, receive, send)
            return
        path = str(asked["path"])
        if path.startswith("/chaos/"):
            given = msgspec.json.decode(await _body(receive) or b"{}", type=dict[str, Any])
            await _answer(send, self._control(path.removeprefix("/chaos/"), given))
            return
        if path.startswith("/receiver/"):
            headers = {name.decode(): value.decode() for name, value in asked["headers"]}
            status, more = self._receiver.take(path, headers, await _body(receive))
            await _answer(send, {}, status, more)
            return
        answer = _Kept(send, self._dated)
        if "/_control" in path or path.endswith("/healthz"):
            await self._app(scope, receive, answer)
            await answer.go()
            return
        self._traffic["open"] += 1
        try:
            await asyncio.sleep(self._rng.uniform(*LATENCY))
            await self._app(scope, receive, answer)
            if answer.status == 200 and "/crm/objects/" in path:
                answer.body = self._spoilt(asked, path, answer.body)
            await answer.go()
            self._traffic["pages"] += answer.status == 200 and "/crm/objects/" in path and "/contacts" in path
        finally:
            self._traffic["open"] -= 1

    def _dated(self) -> tuple[bytes, bytes]:
        return b"date", format_datetime(self._clock.shown().replace(microsecond=0), usegmt=True).encode()

    def _spoilt(self, asked: Any, path: str, body: bytes) -> bytes:
        if self._take("error200"):
            return b'{"status":"error","message":"internal error","category":"INTERNAL"}'
        try:
            page = msgspec.json.decode(body)
        except msgspec.DecodeError:  # cut off on purpose
            return body
        place = self._account(asked), path
        before = self._before.get(place, [])
        self._before[place] = [item["id"] for item in page.get("results", [])]
        if page.get("results") and self._take("overlap"):
            page["results"] = self._overlapping(place[0], path, page["results"], before)
        return msgspec.json.encode(page)

    def _overlapping(self, account: str, path: str, results: list[Any], before: list[str]) -> list[Any]:
        """Everything twice, the page before once more, and in no order."""
        kind = next(kind for kind in KINDS if f"/{kind}" in path)
        names, archived = list(results[0]["properties"]), results[0]["archived"]
        again = [self._sim.store.get(account, kind, one) for one in before]
        more = [
            self._sim.crm.render(kind, item, names)
            for item in again
            if (item.archived_at is not None) == archived
        ]
        page = [*results, *results, *more]
        self._rng.shuffle(page)
        return page

    def _account(self, asked: Any) -> str:
        token = dict(asked["headers"]).get(b"authorization", b"").decode().removeprefix("Bearer ")
        return self._sim.oauth.authenticate(token).account

    def _take(self, kind: str) -> bool:
        struck = self._left[kind] > 0
        self._left[kind] -= struck
        return struck

    # -- control ----------------------------------------------------------------------------

    def _control(self, deed: str, given: dict[str, Any]) -> Any:
        return {
            "script": self._script,
            "quiet": self._quiet,
            "rate": self._rate,
            "truth": self._truth,
            "touch": self._touch,
            "edit": self._edit,
            "jump": self._clock.jump,
            "traffic": lambda: self._traffic,
            "ledger": self._ledger,
            "aim": self._postman.aim,
            "told": self._told,
            "expect": self._receiver.expect,
            "received": lambda: self._receiver.arrived,
        }[deed](**given)

    def _script(
        self,
        kind: str,
        requests: int = 1,
        seconds: float = 5.0,
        skew: float = 0.0,
        account: str = "",
        milliseconds: int = 1500,
    ) -> None:
        if self._receiver.script(kind, requests):
            return
        if kind in self._left:
            self._left[kind] += requests
        elif kind == "skew":
            self._clock.skew, self._clock.until = skew, time.monotonic() + seconds
        elif kind == "revoke":
            for grant in list(self._sim.oauth.grants.values()):
                if grant.account == account:
                    self._sim.oauth.revoke_grant(grant.id)
        elif kind == "expire":
            self._sim.oauth.expire_access()
        elif kind == "latency":
            self._sim.faults.add(kind, seconds=seconds, latency_ms=milliseconds, path="/crm/")
        else:
            self._sim.faults.add(kind, requests=requests, seconds=seconds)  # type: ignore[arg-type]

    def _quiet(self) -> None:
        """The bad days are over."""
        self._sim.faults.clear()
        self._left = dict.fromkeys(self._left, 0)
        self._clock.until = 0.0
        self._receiver.quiet()

    def _told(self) -> dict[str, Any]:
        ended = [f"{one.get_name()}: {one.exception()!r}" for one in self._beside if one.done()]
        return {**self._postman.told(), "ended": ended}

    def _rate(self, rate: float) -> int:
        self._editor.rate = rate
        return len(self._sim.store.ledger)

    def _touch(self, account: str, kind: str) -> int:
        """Somebody changes every record there is."""
        store = self._sim.store
        for item in list(store.walk(account, kind)):
            store.update(account, kind, item.id, {MARK[kind]: mark(account, len(store.ledger) + 1)})
        return len(store.ledger)

    def _edit(self, times: int) -> int:
        for _ in range(times):
            self._editor.once()
        return len(self._sim.store.ledger)

    def _ledger(self) -> Any:
        """(number, seconds since 1970 by this machine's clock, account, kind, record, change)."""
        return [
            (
                entry.sequence,
                (entry.at - self._clock._away).timestamp(),
                entry.account,
                entry.object_type,
                entry.object_id,
                entry.change,
            )
            for entry in self._sim.store.ledger
        ]

    def _truth(self, names: dict[str, list[str]]) -> Any:
        """Each record as a list would give it, and every state it ever had: (ledger number, alive, mark)."""
        states: dict[tuple[str, str, str], list[Any]] = {}
        for entry in self._sim.store.ledger:
            place = entry.account, entry.object_type, entry.object_id
            if place not in states:
                states[place] = [] if entry.before is None else [_state(0, entry.object_type, entry.before)]
            states[place].append(_state(entry.sequence, entry.object_type, entry.after))
        return {
            account: {
                kind: {
                    item.id: {
                        "archived": item.archived_at is not None,
                        "document": self._sim.crm.render(kind, item, names[kind]),
                        "values": item.values,
                        "states": states.get((account, kind, item.id)) or [_state(0, kind, item)],
                    }
                    for item in self._sim.store.walk(account, kind, archived=None)
                }
                for kind in KINDS
            }
            for account in self._sim.portals
        }


def _state(sequence: int, kind: str, item: SimulatedObject) -> tuple[int, bool, str | None]:
    return sequence, item.archived_at is None, item.values.get(MARK[kind])


class _Kept:
    """Holds an answer back until it is whole."""

    def __init__(self, send: Send, dated: Any) -> None:
        self._send = send
        self._dated = dated
        self._start: Any = None
        self.body = b""

    @property
    def status(self) -> int:
        return int(self._start["status"]) if self._start else 0

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self.body += message.get("body", b"")

    async def go(self) -> None:
        drop = {b"content-length", b"date"}
        kept = [(name, value) for name, value in self._start["headers"] if name.lower() not in drop]
        headers = [*kept, (b"content-length", str(len(self.body)).encode()), self._dated()]
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": self.body})


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message: Any = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(send: Send, value: Any, status: int = 200, more: Mapping[str, str] = {}) -> None:
    body = msgspec.json.encode(value)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), text.encode()) for name, text in more.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def main() -> None:
    faulthandler.register(signal.SIGUSR1)  # where it stands is asked for when it does not answer
    port, seed, number, busy = (int(word) for word in [*sys.argv[1:], BUSY_COUNT][:4])
    accounts = account_ids(number)
    clock = Clock(random.Random(f"clock:{seed}").choice((-3.0, 0.0, 5.0)) * 3600)
    simulator = HubSpotSimulator(
        clients=[CLIENT], seed=seed, now=clock, portals=[portal(account) for account in accounts]
    )
    simulator.oauth.access_seconds = ACCESS_SECONDS
    for account in accounts:
        for kind in KINDS:
            simulator.store.seed(account, kind, seeds(seed, account, kind, busy))
    editor, postman = Editor(simulator, accounts, seed), Postman(simulator, accounts, seed)
    app = BadDays(create_sandbox([simulator]), simulator, clock, editor, postman, seed)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        log_level="warning",
        access_log=False,
        date_header=False,
        lifespan="on",
    )


if __name__ == "__main__":
    main()
