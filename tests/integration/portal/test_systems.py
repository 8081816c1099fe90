"""A customer's own systems in the portal: made, tried by the snippets that the page shows, read, disconnected."""

import asyncio
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook

from trunkline.webhooks.intake import PREFIX
from trunkline_tenants.seed import Seeded

HOME = "/portal/systems"
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]{32}")
READING = {
    "label": "Customers",
    "key": "data.id",
    "record": "data",
    "at": "timestamp",
    "type": "type",
    "gone": "type",
    "gone_when": "customer.deleted",
}


def made(page: str) -> tuple[str, str]:
    """Path of its page, and its secret."""
    path = re.search(rf"{HOME}/[0-9a-f-]{{36}}", page)
    secret = SECRET.search(unescape(page))
    assert path is not None
    assert secret is not None
    return path[0], secret[0]


async def send(services: Any, page: str, secret: str, document: Any, identity: str = "msg_1") -> int:
    """To the address that the page shows."""
    found = re.search(r"/hooks/custom/[A-Za-z0-9_-]+", page)
    assert found is not None
    body, at, said = json.dumps(document).encode(), int(time.time()), []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def answer(message: Any) -> None:
        if message["type"] == "http.response.start":
            said.append(message["status"])

    signature = Webhook(secret).sign(identity, datetime.fromtimestamp(at, UTC), body.decode())
    headers = {"webhook-id": identity, "webhook-timestamp": str(at), "webhook-signature": signature}
    scope = {
        "type": "http",
        "method": "POST",
        "path": found[0],
        "raw_path": found[0].encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "state": {"request_id": "request-1"},
    }
    assert found[0].startswith(PREFIX)
    await services.intake(scope, receive, answer)
    return said[0]


CUSTOMER = {
    "type": "customer.updated",
    "timestamp": "2026-01-31T09:30:00Z",
    "data": {"id": "1001", "email": "ada@example.com", "<b>": "x"},
}


async def test_made_read_changed_and_disconnected(owner: Any, people: Seeded, services: Any) -> None:
    assert f'href="{HOME}"' in (await owner.get("/portal/connect")).text
    wrong = await owner.post(HOME, name=" ")
    assert wrong.status_code == 422
    assert "Give a name of 1 to 100 characters." in wrong.text
    path, secret = made((await owner.post(HOME, name="Our <shop>")).text)
    shown = (await owner.get(path)).text
    assert "Our &lt;shop&gt;" in shown
    assert "Waiting for the first event" in shown
    assert secret not in unescape(shown)
    assert path in (await owner.get(HOME)).text
    connection = path.replace(HOME, "/portal/connections")
    assert "Choose how it is read" in (await owner.get(connection)).text
    assert "Nothing to try it on" in (await owner.get(f"{path}/reading")).text

    assert await send(services, shown, secret, CUSTOMER) == 200
    assert "An event has come" in (await owner.get(path)).text
    form = (await owner.get(f"{path}/reading")).text
    for name, value in READING.items():
        if name != "label":
            assert re.search(rf'name="{name}"[^>]*value="{re.escape(value)}"', form), name
    assert "A record" in form
    assert "&lt;b&gt;" in form
    tried = await owner.post(f"{path}/reading", **READING | {"key": "data.nothing", "go": "try"})
    assert tried.status_code == 200
    assert "data.nothing is missing" in tried.text
    for field, value, words in (
        ("key", "data.nothing", "data.nothing is missing"),
        ("key", "a b", "Name the place of the key"),
        ("gone_when", "", "by which values"),
        ("only", "order.*", "None of the events"),
        ("at", "x" * 300, "Name a place"),
    ):
        refused = await owner.post(f"{path}/reading", **READING | {field: value, "go": "save"})
        assert refused.status_code == 422, field
        assert words in unescape(refused.text), field
    saved = await owner.post(f"{path}/reading", **READING | {"go": "save"})
    assert "is becoming records" in await owner.flash(saved)
    shown = (await owner.get(path)).text
    assert "Set up a recipe" in shown
    page = (await owner.get(connection)).text
    assert "Customers" in page
    for words in ("Sync now", "Full re-read", "Reconnect", "Access verified"):
        assert words not in page
    assert 'value="data.id"' in (await owner.get(f"{path}/reading")).text

    _, fresh = made((await owner.post(f"{path}/rotate")).text)
    assert fresh != secret
    assert "counts until" in (await owner.get(path)).text
    assert "Two secrets count already" in await owner.flash(await owner.post(f"{path}/rotate"))
    assert "Disconnect Our &lt;shop&gt;?" in (await owner.get(f"{path}/remove")).text
    assert "is disconnected" in await owner.flash(await owner.post(f"{path}/remove"))
    assert "This system is disconnected" in (await owner.get(path)).text
    assert path not in (await owner.get(HOME)).text
    async with services.db.tenant(people.tenants["globex"].id) as session:
        rows = await session.execute(
            text("SELECT action, detail::text, after::text FROM audit_entries ORDER BY sequence")
        )
        told = rows.all()
    assert [row.action for row in told][-5:] == [
        *("hook.added", "connection.reading_chosen", "connection.connected"),
        *("hook.rotated", "connection.disconnected"),
    ]
    assert secret not in repr(told)
    activity = (await owner.get("/portal/activity")).text
    assert "made an address for what" in activity
    assert "chose how what" in activity


async def test_other_roles_and_other_organisations_stay_outside(
    owner: Any, viewer: Any, visitors: Any
) -> None:
    path, _ = made((await owner.post(HOME, name="Our shop")).text)
    assert (await viewer.get(HOME)).status_code == 403
    peter = await visitors("peter@initech.example")
    assert path not in (await peter.get(HOME)).text
    assert (await peter.get(path)).status_code == 404
    assert (await peter.get(f"{path}/reading")).status_code == 404
    assert (await peter.post(f"{path}/reading", **READING | {"go": "save"})).status_code == 404
    assert (await peter.post(f"{path}/rotate")).status_code == 404
    assert (await peter.post(f"{path}/remove")).status_code == 404


async def test_the_shells_snippet_signs_as_the_library_does(owner: Any, tmp_path: Path) -> None:
    """The shell's own words are run, with a curl that notes what it is given."""
    if not all(shutil.which(one) for one in ("sh", "openssl", "base64", "od")):
        pytest.skip("the snippet needs sh, openssl, base64 and od")
    path, secret = made((await owner.post(HOME, name="Our shop")).text)
    script = await snippet(owner, path, r"secret=….*?")
    script = script.replace("secret=… #", f"secret={secret.removeprefix('whsec_')} #")
    curl = tmp_path / "curl"
    curl.write_text('#!/bin/sh\nfor one in "$@"; do printf "%s\\n" "$one"; done\n')
    curl.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = (await run(["sh", "-c", script], environment)).splitlines()
    headers = dict(one.split(": ", 1) for one in said if one.startswith("webhook-"))
    body = said[-1]
    assert Webhook(secret).verify(body, headers)["type"] == "customer.updated"
    assert len(base64.b64decode(headers["webhook-signature"].removeprefix("v1,"))) == 32


async def test_pythons_snippet_signs_as_the_library_does(owner: Any) -> None:
    """As it stands, but for what carries the request."""
    path, secret = made((await owner.post(HOME, name="Our shop")).text)
    script = await snippet(owner, path, r"import base64, hashlib.*?")
    note = "import json; print(json.dumps([url, body.decode(), headers]))"
    assert script.count("print(urllib.request.urlopen(request, timeout=15).status)") == 1
    script = script.replace("print(urllib.request.urlopen(request, timeout=15).status)", note)
    url, body, headers = json.loads(
        await run([sys.executable, "-c", script], {**os.environ, "SYSTEM_SECRET": secret})
    )
    assert PREFIX in url
    assert Webhook(secret).verify(body, headers)["data"]["id"] == "1001"


async def snippet(owner: Any, path: str, pattern: str) -> str:
    shown = unescape((await owner.get(path)).text)
    found = re.search(rf"<code>({pattern})</code>", shown, re.DOTALL)
    assert found is not None
    return found[1]


async def run(command: list[str], environment: dict[str, str]) -> str:
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout
