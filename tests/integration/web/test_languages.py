"""The snippets of the page "How to verify", run as they stand on freshly signed bodies where their runtime is."""

import asyncio
import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from trunkline.deliveries.signing import headers, message_id, new_secret
from trunkline_ui.webhooks.languages import LANGUAGES

CODE = {one.name: one.code for one in LANGUAGES}
MODULES = os.environ.get("TRUNKLINE_NODE_MODULES", "")
"""Whole path of a node_modules folder with standardwebhooks and express."""


class Signed:
    """Events as they are sent, by the secret in force and while two are."""

    def __init__(self) -> None:
        self.secret, self.older, self.stranger = new_secret(), new_secret(), new_secret()

    def event(self, *keys: str, age: int = 0) -> tuple[bytes, dict[str, str]]:
        data = {"type": "record.created", "tenant": "acme", "data": {"name": "Grüße „CRM“"}}
        body = json.dumps(data, ensure_ascii=False).encode()
        return body, headers(keys or [self.secret], message_id(uuid4()), int(time.time()) - age, body)

    def cases(self) -> list[tuple[str, bytes, Mapping[str, str], bool]]:
        """What, the request, and whether it is to be taken."""
        body, signed = self.event()
        return [
            ("as it is sent", body, signed, True),
            ("while the secret is changed", *self.event(self.older, self.secret), True),
            ("a body that was touched", body.replace(b"acme", b"evil"), signed, False),
            ("a stranger's", *self.event(self.stranger), False),
            ("an hour old", *self.event(age=3600), False),
            ("without a signature", body, {k: v for k, v in signed.items() if "signature" not in k}, False),
        ]


def test_five_languages_are_shown() -> None:
    assert list(CODE) == ["Python", "JavaScript", "Go", "Ruby", "PHP"]


def test_python(monkeypatch: pytest.MonkeyPatch) -> None:
    signed, handled = Signed(), []
    monkeypatch.setenv("WEBHOOK_SECRET", signed.secret)
    seen: set[str] = set()

    def seen_before(identity: str) -> bool:
        return identity in seen or seen.add(identity) is not None

    world = {"seen_before": seen_before, "handle": lambda *event: handled.append(event)}
    exec(CODE["Python"], world)
    receive = world["receive"]
    for what, body, sent, taken in signed.cases():
        assert receive(body, dict(sent)) == (204 if taken else 400), what  # type: ignore[operator]
    assert [event[0] for event in handled] == ["record.created"] * 2
    body, sent = signed.event()
    assert [receive(body, dict(sent)) for _ in range(2)] == [204, 204]  # type: ignore[operator]
    assert len(handled) == 3  # one that comes again is not handled again


HARNESS = """
const seen = new Set();
function seenBefore(id) { const was = seen.has(id); seen.add(id); return was; }
function handle(event) { process.stdout.write("handled " + event.type + "\\n"); }
const server = app.listen(0, "127.0.0.1", () => process.stdout.write("port " + server.address().port + "\\n"));
"""


async def test_javascript(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    if not all((Path(MODULES) / name).is_dir() for name in ("standardwebhooks", "express")) or not MODULES:
        pytest.skip(
            "TRUNKLINE_NODE_MODULES names no folder with standardwebhooks and express"
            " (npm install standardwebhooks express)"
        )
    (tmp_path / "node_modules").symlink_to(MODULES)
    (tmp_path / "receiver.mjs").write_text(CODE["JavaScript"] + HARNESS)
    signed = Signed()
    process = await asyncio.create_subprocess_exec(
        node,
        "receiver.mjs",
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "WEBHOOK_SECRET": signed.secret},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        url = f"http://127.0.0.1:{int(line.split()[1])}/webhooks"
        async with httpx2.AsyncClient() as client:
            for what, body, sent, taken in signed.cases():
                said = await client.post(
                    url, content=body, headers={"content-type": "application/json", **sent}
                )
                assert said.status_code == (204 if taken else 400), what
        for _ in range(2):
            assert await asyncio.wait_for(process.stdout.readline(), 20) == b"handled record.created\n"
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize(("name", "runtime"), [("Go", "go"), ("Ruby", "ruby"), ("PHP", "php")])
def test_other_languages(name: str, runtime: str) -> None:
    """What can be seen without running them: the official library, the raw body, the header, the secret."""
    code = CODE[name]
    for words in (
        "WEBHOOK_SECRET",
        "webhook-id",
        {"Go": "io.ReadAll", "Ruby": "raw_post", "PHP": "php://input"}[name],
    ):
        assert words in code
    assert "standardwebhooks" in code.lower().replace("-", "").replace("\\", "")
    where = (
        "is not installed" if shutil.which(runtime) is None else "has no standardwebhooks that could be run"
    )
    pytest.skip(f"only read, not run: {runtime} {where} here")
