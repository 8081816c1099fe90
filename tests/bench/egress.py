"""Outgoing calls that must not arrive: hundreds of ways to try, against a canary that counts connections.

figures.cases: ways tried. figures.reached: those after which the canary had seen a connection. guard_us: what
the guard adds to a request; vet_us: what a new connection's vetted name costs once it has been looked up.
"""

import asyncio
import contextlib
import os
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpcore2
import httpx2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trunkline.cli import bench
from trunkline.cli.bench import Figures, Say
from trunkline.kernel.egress import Egress
from trunkline.kernel.egress.resolver import Resolver
from trunkline.kernel.settings import Settings

cases = bench._load("_egress_cases")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


class Authority:
    """A certificate authority of our own, for the length of a test."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Trunkline test authority")])
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        self._own = self._sign(self._name, self._key, constraint, critical=True)
        self.pem = self._own.public_bytes(serialization.Encoding.PEM).decode()
        self.trust = ssl.create_default_context(cadata=self.pem)

    def server(self, *names: str) -> ssl.SSLContext:
        """What a server presents that is called by these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        certificate = self._sign(x509.Name([]), key, alternatives, critical=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with TemporaryDirectory() as folder:
            path = Path(folder) / "server.pem"
            private = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
            context.load_cert_chain(path)
        return context

    def client(self, name: str) -> tuple[str, str]:
        """A certificate and its key, as PEM, for who calls by this name."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, usage, critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        *,
        critical: bool,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=critical)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
            .sign(self._key, hashes.SHA256())
        )


class Canary:
    """A server that nobody may reach; also where the honest provider's answers come from."""

    def __init__(self) -> None:
        self.connections = 0
        self.location = ""
        self.status = 302
        self.honest = 0

    async def seen(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await reader.readuntil(b"\r\n\r\n")
            self.honest += 1
            head = f"HTTP/1.1 {self.status if self.location else 200} Fine\r\n"
            head += f"location: {self.location}\r\n" if self.location else ""
            writer.write(f"{head}content-length: 2\r\nconnection: close\r\n\r\nok".encode())
            await writer.drain()
        writer.close()


class World(httpcore2.AsyncNetworkBackend):
    """The network. Forbids nothing: whatever is dialled is connected, to the honest provider only for its
    address and port 443, to the canary for all else; a name is looked up once more, as any dialler would."""

    def __init__(self, canary: Canary, honest: int, trap: int) -> None:
        self.canary = canary
        self.honest = honest
        self.trap = trap
        self.answers: list[Sequence[str]] = []
        self.dialled: list[tuple[str, int]] = []
        self.looked_up: list[str] = []
        self._plain = httpcore2.AnyIOBackend()

    async def lookup(self, name: str) -> Sequence[str]:
        self.looked_up.append(name)
        if name == cases.API and self.answers[0] == (cases.HOSTILE,):
            return (cases.HONEST,)  # a stranger's answers are those for a stranger's names
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base's signature
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append((host, port))
        try:
            address = str(ip_address(host))
        except ValueError:
            address = (await self.lookup(host))[0]
        honest = (address, port) == (cases.HONEST, 443)
        return await self._plain.connect_tcp(
            "127.0.0.1", self.honest if honest else self.trap, timeout, local_address, socket_options
        )


@contextlib.asynccontextmanager
async def world(authority: Authority) -> AsyncIterator[World]:
    canary = Canary()
    certificate = authority.server(cases.API, "*.zendesk.com")
    async with (
        await asyncio.start_server(canary.answer, "127.0.0.1", 0, ssl=certificate) as honest,
        await asyncio.start_server(canary.seen, "127.0.0.1", 0) as trap,
    ):
        yield World(canary, honest.sockets[0].getsockname()[1], trap.sockets[0].getsockname()[1])


@contextlib.contextmanager
def proxies(url: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in PROXIES}
    os.environ.update(dict.fromkeys(PROXIES, url))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


async def attack(case: Any, around: World, authority: Authority) -> Exception | None:
    """Make the calls of a case; the first error, if there was one."""
    around.answers = list(case.answers)
    around.canary.location, around.canary.status = case.location, case.status
    settings = Settings(sandbox_url="http://127.0.0.1:8703")
    with proxies(f"http://127.0.0.1:{around.trap}"):
        egress = Egress(settings, lookup=around.lookup, wire=around, trust=lambda: authority.trust)
        try:
            hosts = _named(case.url) if case.hosts is None else case.hosts
            async with egress.client(hosts) as client:
                extensions = {"timeout": {"connect": 2.0, "read": 2.0, "write": 2.0, "pool": 2.0}}
                for _ in range(2):
                    await client.get(
                        case.url,
                        headers=case.headers,
                        extensions=extensions | case.extensions,
                        follow_redirects=True,
                    )
        except Exception as error:  # noqa: BLE001 - whatever stopped it, it is stopped
            return error
        finally:
            await egress.close()
    return None


def _named(url: str) -> tuple[str, ...]:
    try:
        return (httpx2.URL(url).netloc.decode("ascii"),)
    except (httpx2.InvalidURL, ValueError):
        return ()


async def _tried(say: Say) -> tuple[int, int]:
    authority, reached = Authority(), 0
    async with world(authority) as around:
        for case in cases.CASES:
            before = around.canary.connections
            await attack(case, around, authority)
            await asyncio.sleep(0)
            if around.canary.connections > before:
                reached += 1
                say(f"reached: {case.name}")
    return len(cases.CASES), reached


async def _cost() -> tuple[float, float]:
    """Microseconds that the guard adds to a request, and that a known name costs a new connection."""
    calls = 2000
    pool = httpx2.MockTransport(lambda _: httpx2.Response(200, content=b"{}"))
    url = f"https://{cases.API}/"

    async def each(client: httpx2.AsyncClient) -> float:
        async with client:
            await client.get(url)
            started = time.perf_counter()
            for _ in range(calls):
                await client.get(url)
            return (time.perf_counter() - started) / calls * 1e6

    bare = await each(httpx2.AsyncClient(transport=pool, trust_env=False))
    guarded = await each(Egress(Settings(), pool=pool).client([cases.API]))

    async def lookup(_name: str) -> list[str]:
        return [cases.HONEST]

    resolver = Resolver(lookup)
    await resolver.addresses(cases.API)
    started = time.perf_counter()
    for _ in range(calls):
        await resolver.addresses(cases.API)
    return guarded - bare, (time.perf_counter() - started) / calls * 1e6


def run(say: Say) -> Figures:
    tried, reached = asyncio.run(_tried(say))
    guard, vet = asyncio.run(_cost())
    return Figures(figures={"cases": tried, "reached": reached, "guard_us": guard, "vet_us": vet})
