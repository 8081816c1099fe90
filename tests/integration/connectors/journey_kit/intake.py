"""The real intake behind a real port, in this process; what was delivered is kept, to be delivered again."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import httpx2
import uvicorn

from trunkline.services import Services


class Door:
    """Bound before anything else is made, so that addresses can be known."""

    def __init__(self) -> None:
        self._held = socket.socket()
        self._held.bind(("127.0.0.1", 0))
        self.origin = f"http://127.0.0.1:{self._held.getsockname()[1]}"
        self.taken: list[tuple[str, Mapping[str, str], bytes]] = []
        """(path, headers, body) of each POST that was answered with 200."""
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self, services: Services) -> None:
        intake = services.intake
        await intake.start()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["state"] = {"request_id": str(uuid4())}
            parts: list[bytes] = []

            async def receiving() -> Any:
                message = await receive()
                parts.append(message.get("body", b""))
                return message

            async def sending(message: Any) -> None:
                if message.get("status") == 200 and scope["method"] == "POST":
                    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
                    self.taken.append((scope["path"], headers, b"".join(parts)))
                await send(message)

            await intake(scope, receiving, sending)

        config = uvicorn.Config(app, log_level="warning", ws="none", lifespan="off", access_log=False)
        self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._held]))

    async def close(self, services: Services) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
        await services.intake.close()
        self._held.close()

    async def again(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        kept = {name: value for name, value in headers.items() if name not in {"host", "content-length"}}
        async with httpx2.AsyncClient(trust_env=False) as http:
            return (await http.post(f"{self.origin}{path}", content=body, headers=kept)).status_code
