"""A browser of one person."""

from typing import Any

from httpx2 import AsyncClient

PASSWORD = "correct horse battery"


class Visitor:
    """A member's, or with another `home` somebody's from support."""

    def __init__(self, client: AsyncClient, home: str = "/portal") -> None:
        self.client = client
        self.home = home
        self.csrf = ""

    async def sign_in(self, email: str) -> "Visitor":
        await self.client.get("/login")
        form = {"email": email, "password": PASSWORD, "csrf_token": self.client.cookies["trunkline_form"]}
        answer = await self.client.post("/login", data=form)
        assert answer.status_code == 303, answer.text
        text = (await self.client.get(self.home)).text
        self.csrf = text.partition('name="csrf-token" content="')[2].partition('"')[0]
        assert self.csrf
        return self

    async def get(self, path: str, *, target: str = "") -> Any:
        headers = {"hx-request": "true", "hx-target": target} if target else {}
        return await self.client.get(path, headers=headers)

    async def post(self, path: str, **data: str) -> Any:
        return await self.client.post(path, data={"csrf_token": self.csrf, **data})

    async def flash(self, answer: Any) -> str:
        """The page that a redirect leads to."""
        assert answer.status_code == 303, answer.text
        return (await self.client.get(answer.headers["location"])).text
