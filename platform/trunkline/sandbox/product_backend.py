"""The server side of an integration, as a product that embeds Trunkline would write it."""

from typing import Any

import httpx2


class TrunklineApi:
    def __init__(self, url: str, api_key: str, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._client = httpx2.AsyncClient(
            base_url=f"{url.rstrip('/')}/v1/",
            headers={"Authorization": f"Bearer {api_key}"},
            transport=transport,
            timeout=10,
            trust_env=False,
        )

    async def start_connect(self, tenant: str, user: dict[str, str], origin: str) -> Any:
        """1. Before the widget opens: who asks, and what may be connected."""
        session = {
            "tenant": tenant,
            "end_user": user,
            "connectors": ["hubspot"],
            "recipes": ["contacts"],
            "origin": origin,
        }
        return await self._send("POST", "connect-sessions", json=session)

    async def confirm(self, tenant: str, code: str) -> Any:
        """2. After the widget says `connected`: until this call nothing is read."""
        body = {"tenant": tenant, "code": code}
        return await self._send("POST", "connections/confirm", json=body)

    async def connections(self, tenant: str) -> Any:
        return await self._send("GET", "connections", params={"tenant": tenant})

    async def contacts(self, tenant: str) -> Any:
        """3. Read what has arrived."""
        query = {"tenant": tenant, "limit": 20}
        return await self._send("GET", "records/contact", params=query)

    async def runs(self, tenant: str, connection_id: str) -> Any:
        """4. How far the sync is."""
        query = {"tenant": tenant, "stream": "contacts"}
        return await self._send("GET", f"connections/{connection_id}/runs", params=query)

    async def close(self) -> None:
        await self._client.aclose()

    async def _send(self, method: str, path: str, **more: Any) -> Any:
        answer = await self._client.request(method, path, **more)
        answer.raise_for_status()
        return answer.json()
