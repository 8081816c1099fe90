"""The snippets of the page "How to verify", run as they stand on freshly signed bodies where their runtime is."""

import asyncio
import base64
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from trunkline.deliveries.signing import headers, message_id, new_secret
from trunkline_ui.webhooks.languages import LANGUAGES

CODE = {one.name: one.code for one in LANGUAGES}
MODULES = os.environ.get("TRUNKLINE_NODE_MODULES", "")
"""Whole path of a node_modules folder with standardwebhooks and express."""
LIBRARIES = os.environ.get("TRUNKLINE_STANDARDWEBHOOKS", "")
"""Whole path of the folder `libraries` of the official repository."""


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


def runtime(name: str) -> str:
    """Its path."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def library(part: str) -> str:
    """Of the official libraries' sources."""
    if not LIBRARIES or not (Path(LIBRARIES) / part).is_dir():
        pytest.skip(
            f"TRUNKLINE_STANDARDWEBHOOKS names no folder with {part} in it (the folder `libraries` of"
            " github.com/standard-webhooks/standard-webhooks): read by its compiler, not run"
        )
    return LIBRARIES


def write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "tool", "before", "given"),
    [
        ("Go", "gofmt", "package receiver\n\n", ("-e",)),
        ("Ruby", "ruby", "", ("-wc",)),
        ("PHP", "php", "", ("-l",)),
    ],
)
async def test_its_compiler_can_read_it(
    tmp_path: Path, name: str, tool: str, before: str, given: tuple[str, ...]
) -> None:
    async def status(code: str) -> tuple[int | None, str]:
        (tmp_path / "receiver").write_text(before + code)
        process = await asyncio.create_subprocess_exec(
            *(runtime(tool), *given, str(tmp_path / "receiver")),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, said.decode()

    found, said = await status(CODE[name])
    assert found == 0, said
    found, _ = await status(CODE[name] + "\n)))")
    assert found != 0, "it would be seen"


GO = {
    "go.mod": """module receiver

go 1.19

require github.com/standard-webhooks/standard-webhooks/libraries v0.0.1

replace github.com/standard-webhooks/standard-webhooks/libraries => {library}
""",
    "receiver.go": "package main\n\n" + CODE["Go"],
    "main.go": """package main

import (
	"fmt"
	"net"
	"net/http"
)

var seen = map[string]bool{{}}

func seenBefore(id string) bool {{
	was := seen[id]
	seen[id] = true
	return was
}}

func handle(body []byte) {{ fmt.Println("handled") }}

func main() {{
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {{
		panic(err)
	}}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	http.HandleFunc("/webhooks", receive)
	panic(http.Serve(listener, nil))
}}
""",
}

# What Rails gives an action, as far as the snippet asks for it; a request a line.
RUBY = """
require "json"
require "base64"
$stdout.sync = true
Request = Struct.new(:raw_post, :headers)
class Controller
  attr_accessor :request
  SEEN = {}
  def seen_before?(id) = SEEN.key?(id) || !(SEEN[id] = true)
  def handle(event) = puts("handled #{event["type"]}")
  def head(status) = puts({ no_content: 204, bad_request: 400 }.fetch(status))
"""
RUBY_END = """
end
STDIN.each_line do |line|
  given = JSON.parse(line)
  controller = Controller.new
  controller.request = Request.new(Base64.decode64(given["body"]), given["headers"])
  controller.receive
end
"""

PHP = r"""<?php
spl_autoload_register(function ($class) {{
    require '{library}/php/src/' . str_replace('\\', '/', substr($class, strlen('StandardWebhooks\\'))) . '.php';
}});
function seen_before(string $id): bool {{ return !@mkdir(__DIR__ . '/seen-' . $id); }}
function handle(array $event): void {{
    file_put_contents(__DIR__ . '/handled', "handled {{$event['type']}}\n", FILE_APPEND);
}}
"""


async def answers(url: str, signed: Signed) -> None:
    """Each case is answered as it should be, and one that comes again is taken and not handled again."""
    async with httpx2.AsyncClient() as client:
        for what, body, sent, taken in signed.cases():
            said = await client.post(url, content=body, headers={"content-type": "application/json", **sent})
            assert said.status_code == (204 if taken else 400), what
        body, sent = signed.event()
        for _ in range(2):
            assert (await client.post(url, content=body, headers=dict(sent))).status_code == 204


@asynccontextmanager
async def process(
    *command: str, folder: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    made = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield made
    finally:
        if made.returncode is None:
            made.kill()
        await made.wait()


async def line(of: asyncio.subprocess.Process) -> str:
    assert of.stdout is not None
    return (await asyncio.wait_for(of.stdout.readline(), 120)).decode().strip()


async def test_go(tmp_path: Path) -> None:
    go, given = runtime("go"), library("go")
    write(tmp_path, {name: text.format(library=given) for name, text in GO.items() if name != "receiver.go"})
    write(tmp_path, {"receiver.go": GO["receiver.go"]})
    world = {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOCACHE": str(tmp_path / "cache"), "CGO_ENABLED": "0"}
    for task in (("vet", "."), ("build", "-o", "receiver", ".")):
        async with process(go, *task, folder=tmp_path, **world) as compiling:
            assert await asyncio.wait_for(compiling.wait(), 300) == 0
    signed = Signed()
    async with process("./receiver", folder=tmp_path, WEBHOOK_SECRET=signed.secret) as receiver:
        port = int((await line(receiver)).split()[1])
        await answers(f"http://127.0.0.1:{port}/webhooks", signed)
        assert [await line(receiver) for _ in range(3)] == ["handled"] * 3


async def test_ruby(tmp_path: Path) -> None:
    ruby, given = runtime("ruby"), library("ruby/lib")
    write(tmp_path, {"receiver.rb": RUBY + CODE["Ruby"] + RUBY_END})
    signed = Signed()
    command = (ruby, "-I", f"{given}/ruby/lib", "receiver.rb")
    async with process(*command, folder=tmp_path, WEBHOOK_SECRET=signed.secret) as receiver:
        assert receiver.stdin is not None

        async def ask(body: bytes, sent: Mapping[str, str]) -> list[str]:
            asked = {"body": base64.b64encode(body).decode(), "headers": dict(sent)}
            receiver.stdin.write(json.dumps(asked).encode() + b"\n")  # type: ignore[union-attr]
            said = [await line(receiver)]
            return said if said[0].isdigit() else [*said, await line(receiver)]

        for what, body, sent, taken in signed.cases():
            assert await ask(body, sent) == (["handled record.created", "204"] if taken else ["400"]), what
        again = signed.event()
        assert [await ask(*again) for _ in range(2)] == [["handled record.created", "204"], ["204"]]


async def test_php(tmp_path: Path, free_ports: Callable[[int], list[int]]) -> None:
    php, given = runtime("php"), library("php/src")
    files = {"receiver.php": CODE["PHP"], "vendor/autoload.php": PHP.format(library=given)}
    write(tmp_path, files)
    (port,) = free_ports(1)
    signed = Signed()
    command = (php, "-S", f"127.0.0.1:{port}", "receiver.php")
    async with process(*command, folder=tmp_path, WEBHOOK_SECRET=signed.secret) as receiver:
        async with asyncio.timeout(30):
            while receiver.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                    continue
                writer.close()
                break
        await answers(f"http://127.0.0.1:{port}/webhooks", signed)
    assert (tmp_path / "vendor" / "handled").read_text().splitlines() == ["handled record.created"] * 3
