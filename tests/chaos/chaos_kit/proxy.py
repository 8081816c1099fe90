"""A small TCP proxy that can be cut, slowed, refused and left half open. Its own thread: nothing else delays it."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Literal

import uvloop
from chaos_kit.crew import free_port

Mode = Literal["pass", "slow", "hold", "refuse"]
Dial = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
CHUNK = 65_536
SLOW_SECONDS = 0.05
"""Added to each piece that passes while `slow`."""


class Proxy:
    """Of one server. `hold`: accepted, and nothing passes (half open). `refuse`: nobody listens."""

    def __init__(self, dial: Dial) -> None:
        self._dial = dial
        self._mode: Mode = "pass"
        self._passing = asyncio.Event()
        self._passing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = free_port()

    def __str__(self) -> str:
        listens = "" if self._server is not None else ", nobody listens"
        return f"{self._mode} at {self.port}{listens}, {len(self._open)} ends open"

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=512)

    async def become(self, mode: Mode) -> None:
        """Whatever was half open or down breaks off when it ends: its peers never learn what was lost."""
        before, self._mode = self._mode, mode
        self._passing.clear() if mode == "hold" else self._passing.set()
        if mode == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
        if mode == "refuse" or before == "hold":
            self.cut()
        if mode != "refuse" and self._server is None:
            await self.listen()

    def cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            await self._passing.wait()
            answers, far = await self._dial()
            self._open.add(far)
            both = [
                asyncio.ensure_future(self._pump(reader, far)),
                asyncio.ensure_future(self._pump(answers, writer)),
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for pump in both:
                pump.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass
        finally:
            for one in (writer, far):
                if one is not None:
                    self._open.discard(one)
                    one.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(CHUNK):
                await self._passing.wait()
                if self._mode == "slow":
                    await asyncio.sleep(SLOW_SECONDS)
                sink.write(piece)
                await sink.drain()


class Proxies:
    """All proxies of a rig, in one thread."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._all: dict[str, Proxy] = {}

    def to_socket(self, name: str, path: str) -> int:
        """The port that leads to a unix socket."""
        return self._add(name, lambda: asyncio.open_unix_connection(path))

    def to_port(self, name: str, port: int) -> int:
        return self._add(name, lambda: asyncio.open_connection("127.0.0.1", port))

    def become(self, name: str, mode: Mode) -> None:
        self._wait(self._all[name].become(mode))

    def cut(self, name: str) -> None:
        self._loop.call_soon_threadsafe(self._all[name].cut)

    def standing(self) -> list[str]:
        return [f"proxy of {name}: {proxy}" for name, proxy in self._all.items()]

    def close(self) -> None:
        for proxy in self._all.values():
            self._wait(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _add(self, name: str, dial: Dial) -> int:
        proxy = self._all[name] = Proxy(dial)
        self._wait(proxy.listen())
        return proxy.port

    def _wait(self, deed: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(deed, self._loop).result(10)
