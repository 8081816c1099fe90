"""No code but the egress client opens a connection to somewhere else: read from the source, so new code counts.

Types and errors of a client library may be named anywhere; what opens connections may not.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = (
    "platform/trunkline",
    "tenants/trunkline_tenants",
    "connectors/trunkline_connectors",
    "ui/trunkline_ui",
)

MODULES = {
    *(
        "aiohttp",
        "aiobotocore",
        "boto3",
        "botocore",
        "curl_cffi",
        "ftplib",
        "grpc",
        "h2",
        "http.client",
        "httpcore",
    ),
    *(
        "httpcore2",
        "httpx",
        "httplib2",
        "imaplib",
        "niquests",
        "nntplib",
        "paramiko",
        "poplib",
        "pycurl",
        "requests",
    ),
    *(
        "smtplib",
        "socket",
        "telnetlib",
        "trio",
        "urllib.request",
        "urllib3",
        "websocket",
        "websockets",
    ),
    *("xmlrpc.client", "anyio"),
}
"""Importing one of these is already a way out."""

OPENERS = {
    "httpx2": {
        *("AsyncClient", "Client", "AsyncHTTPTransport", "HTTPTransport", "request", "stream", "get", "post"),
        *("put", "patch", "delete", "head", "options", "create_ssl_context", "Proxy"),
    },
    "asyncio": {"open_connection", "open_unix_connection"},
}
METHODS = {"create_connection", "create_unix_connection", "sock_connect", "create_datagram_endpoint"}

EXCEPTIONS = {
    "platform/trunkline/kernel/egress": "the egress client itself",
    "platform/trunkline/cli/up.py": "asks its own web process on this machine whether it is ready",
    "platform/trunkline/cli/doctor.py": "looks whether a port of this machine is free",
    "platform/trunkline/cli/serving.py": "listens; connects to nothing",
    "platform/trunkline/kernel/embedded/postgres.py": "finds a free port for a server of our own",
    "platform/trunkline/kernel/embedded/valkey.py": "finds a free port for a server of our own",
    "platform/trunkline/vault/providers/aws_kms.py": "AWS's own client, to the operator's KMS: no address of a tenant",
    "platform/trunkline/work/worker.py": "the name of this machine",
    "platform/trunkline/sandbox/hook_sender.py": "a simulated provider: calls the intake of whoever runs the sandbox",
    "platform/trunkline/sandbox/product_backend.py": "the demo product: somebody else's code, calling our API",
}


def modules() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for source in SOURCES for path in (ROOT / source).rglob("*.py"))


def ways_out(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and what opens a connection there. Annotations open none."""
    notes = {
        id(inner)
        for node in ast.walk(tree)
        for note in (getattr(node, "annotation", None), getattr(node, "returns", None))
        if note is not None
        for inner in ast.walk(note)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name in MODULES or alias.name.partition(".")[0] in MODULES:
                    yield node.lineno, alias.name
                if alias.name in OPENERS and alias.asname:
                    yield node.lineno, f"{alias.name} under another name"
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
            if names & MODULES or node.module.partition(".")[0] in MODULES:
                yield node.lineno, node.module
            for alias in node.names:
                if alias.name in OPENERS.get(node.module, ()):
                    yield node.lineno, f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Attribute) and id(node) not in notes:
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in OPENERS.get(owner, ()) or node.attr in METHODS:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.Call) and _name(node.func) in {"import_module", "__import__"}:
            given = node.args[0] if node.args else None
            if isinstance(given, ast.Constant) and str(given.value) in MODULES | {"httpx2"}:
                yield node.lineno, str(given.value)
        if isinstance(node, ast.Call) and _name(node.func).endswith(("OAuth2Client", "OAuth1Client")):
            transport = next((word.value for word in node.keywords if word.arg == "transport"), None)
            if not (isinstance(transport, ast.Call) and _name(transport.func) == "transport"):
                yield node.lineno, f"{_name(node.func)} without transport=egress.transport(...)"


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", modules())
def test_nothing_else_opens_a_connection(path: str) -> None:
    if any(path == known or path.startswith(f"{known}/") for known in EXCEPTIONS):
        return
    found = list(ways_out(ast.parse((ROOT / path).read_text("utf-8"))))
    assert not found, f"{path}: call through trunkline.kernel.egress instead of {found}"


@pytest.mark.parametrize("path", EXCEPTIONS)
def test_every_exception_is_still_needed(path: str) -> None:
    files = [path] if path.endswith(".py") else [name for name in modules() if name.startswith(f"{path}/")]
    assert any(list(ways_out(ast.parse((ROOT / name).read_text("utf-8")))) for name in files), path


@pytest.mark.parametrize(
    "code",
    [
        "import requests",
        "import httpx",
        "from urllib.request import urlopen",
        "from urllib import request",
        "import urllib.request as u",
        "from http import client",
        "import httpx2\nc = httpx2.AsyncClient()",
        "import httpx2\nmake = httpx2.get",
        "from httpx2 import AsyncClient",
        "import httpx2 as h",
        "import asyncio\nasyncio.open_connection('a', 1)",
        "loop.create_connection(f, 'a', 1)",
        "import importlib\nimportlib.import_module('requests')",
        "from authlib.integrations.httpx_client import AsyncOAuth2Client\nAsyncOAuth2Client('id')",
        "AsyncOAuth2Client('id', transport=None)",
    ],
)
def test_it_would_be_seen(code: str) -> None:
    assert list(ways_out(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import httpx2\nclients: dict[str, httpx2.AsyncClient] = {}",
        "import httpx2\ndef f(a: httpx2.AsyncClient) -> httpx2.Response: ...",
        "import httpx2\ntry: ...\nexcept httpx2.HTTPError: ...",
        "AsyncOAuth2Client('id', transport=self._egress.transport(hosts))",
        "from urllib.parse import urlsplit",
    ],
)
def test_names_and_types_are_free(code: str) -> None:
    assert not list(ways_out(ast.parse(code)))
