"""Requests over so many connections, each its next when the last is answered; raw sockets, bytes made before.
One connection alone rests for a twentieth of a second in between. With a rate all of them together keep to it,
or fall behind it where answers take longer than a connection's share.

A script of its own, so that what drives does not share the driven process's core. Arguments: host, port, path,
origin, secret, account, connections, seconds, first number, and maybe requests a second (0: as many as can be).
Lines: `ready`; then on any line from standard input it begins, and prints JSON: answered, refused, seconds,
latencies' p50, p99 and worst in ms.
"""

import asyncio
import json
import sys
import time

import uvloop

from trunkline.sdk.signatures import known
from trunkline.webhooks.signatures import Scheme


def requests(path: str, origin: str, secret: str, account: str, first: int, number: int) -> list[bytes]:
    scheme = Scheme(known()["hubspot-v3"])
    key, moment = scheme.key(secret), time.time()
    host = origin.partition("://")[2]
    made = []
    for eventid in range(first, first + number):
        body = (
            f'[{{"eventId":{eventid},"subscriptionId":7,"portalId":{account},"appId":4812,"occurredAt":'
            f'{int(moment * 1000)},"subscriptionType":"contact.propertyChange","attemptNumber":0,"objectId":'
            f'{100_000_000_000 + eventid % 5000},"changeSource":"CRM_UI","propertyName":"jobtitle","propertyValue":"'
            f'{"x" * 300}"}}]'
        ).encode()
        signed = scheme.sign(key, method="POST", url=origin + path, body=body, at=moment)
        lines = [
            f"POST {path} HTTP/1.1", f"host: {host}", "content-type: application/json",
            f"content-length: {len(body)}", *(f"{name}: {value}" for name, value in signed.items()),
        ]  # fmt: skip
        made.append("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    return made


class Caller(asyncio.Protocol):
    def __init__(self, load: "Load") -> None:
        self.load = load
        self.began = 0.0
        self.got = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def next(self) -> None:
        wire = self.load.take()
        if wire is None:
            self.transport.close()
            self.load.left -= 1
            if self.load.left == 0:
                self.load.done.set()
            return
        self.began = time.perf_counter()
        self.transport.write(wire)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.got += data
        if not self.got.endswith(b"\r\n\r\n"):
            return
        self.load.answered(self.got[9:12], time.perf_counter() - self.began)
        self.got = b""
        if self.load.pause:
            rest = self.load.pause - (time.perf_counter() - self.began if self.load.paced else 0)
            asyncio.get_running_loop().call_later(max(0.0, rest), self.next)
        else:
            self.next()


class Load:
    def __init__(self, wires: list[bytes], connections: int, seconds: float, rate: float) -> None:
        self.wires = iter(wires)
        self.left = connections
        self.until = time.perf_counter() + seconds
        self.took: list[float] = []
        self.refused = 0
        self.paced = rate > 0
        self.pause = connections / rate if self.paced else 0.05 if connections == 1 else 0.0
        self.done = asyncio.Event()

    def take(self) -> bytes | None:
        return next(self.wires, None) if time.perf_counter() < self.until else None

    def answered(self, status: bytes, seconds: float) -> None:
        self.took.append(seconds * 1000)
        self.refused += status != b"200"


async def main() -> None:
    host, port, path, origin, secret, account, connections, seconds, first, *more = sys.argv[1:]
    rate = float(more[0]) if more else 0.0
    wires = requests(
        path,
        origin,
        secret,
        account,
        int(first),
        min(int(float(seconds) * 25_000), int(connections) * int(float(seconds) * 1000), 400_000),
    )
    loop = asyncio.get_running_loop()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    load = Load(wires, int(connections), float(seconds), rate)
    callers = [
        (await loop.create_connection(lambda: Caller(load), host, int(port)))[1]
        for _ in range(int(connections))
    ]
    began = time.perf_counter()
    load.until = began + float(seconds)
    for number, caller in enumerate(callers):
        loop.call_later(number * load.pause / len(callers) if load.paced else 0, caller.next)
    await load.done.wait()
    took = sorted(load.took)
    answer = {
        "answered": len(took) - load.refused,
        "refused": load.refused,
        "seconds": time.perf_counter() - began,
        "p50_ms": took[len(took) // 2],
        "p99_ms": took[int(len(took) * 0.99)],
        "worst_ms": took[-1],
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
