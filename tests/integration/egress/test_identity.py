"""Mutual TLS: a client certificate is shown to who asks for it, and its connections serve nobody else."""

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime

import pytest

from trunkline.cli import bench
from trunkline.deliveries.credentials import Credentials
from trunkline.deliveries.sender import Sender
from trunkline.kernel.egress import Egress, IdentityError
from trunkline.kernel.egress.identity import examine
from trunkline.kernel.settings import Settings

egress = bench._load("egress")
API, HONEST = egress.cases.API, egress.cases.HONEST
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority():
    return egress.Authority()


class Receiver:
    """Says who it was called by; keeps connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.heads: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = next(
                    int(line.split(":")[1])
                    for line in head.splitlines()
                    if line.lower().startswith("content-length")
                )
                await reader.readexactly(length)
                shown = writer.get_extra_info("ssl_object").getpeercert()
                name = shown["subject"][0][0][1] if shown else "nobody"
                writer.write(f"HTTP/1.1 200 Fine\r\ncontent-length: {len(name)}\r\n\r\n{name}".encode())
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def asking(authority, required: ssl.VerifyMode):
    """A receiver behind `API`, and a sender to it."""
    receiver = Receiver()
    context = authority.server(API)
    context.verify_mode = required
    context.load_verify_locations(cadata=authority.pem)
    async with await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        world = egress.World(egress.Canary(), port, port)
        world.answers = [(HONEST,)]
        out = Egress(
            Settings(),
            lookup=world.lookup,
            wire=world,
            trust=lambda: ssl.create_default_context(cadata=authority.pem),
        )
        yield receiver, Sender(out)
        await out.close()


def beside(authority, name: str) -> Credentials:
    return Credentials(identity=examine(*authority.client(name), NOW)[0])


async def test_it_is_shown_to_a_receiver_that_requires_one(authority) -> None:
    async with asking(authority, ssl.CERT_REQUIRED) as (_, sender):
        sent = await sender.send(f"https://{API}/hooks", {}, b"{}", beside(authority, "trunkline of acme"))
        assert (sent.status, sent.exchange.body) == (200, "trunkline of acme")
        without = await sender.send(f"https://{API}/hooks", {}, b"{}")
        assert (without.status, without.cause) == (None, "unreachable")
        stranger = beside(egress.Authority(), "a stranger")
        assert (await sender.send(f"https://{API}/hooks", {}, b"{}", stranger)).cause == "unreachable"


async def test_a_connection_is_one_identitys_alone(authority) -> None:
    acme, globex = beside(authority, "acme"), beside(authority, "globex")
    async with asking(authority, ssl.CERT_OPTIONAL) as (receiver, sender):
        said = [
            (await sender.send(f"https://{API}/", {}, b"{}", one)).exchange.body
            for one in (acme, Credentials(), globex, acme, Credentials(), globex)
        ]
        assert said == ["acme", "nobody", "globex", "acme", "nobody", "globex"]
        assert receiver.connections == 3  # each was kept, for its own


async def test_own_headers_are_sent_and_not_kept(authority) -> None:
    async with asking(authority, ssl.CERT_NONE) as (receiver, sender):
        own = Credentials(headers={"Authorization": "Bearer t0p-secret", "X-Tenant": "acme"})
        sent = await sender.send(f"https://{API}/", {"webhook-id": "msg_1"}, b"{}", own)
        assert "Authorization: Bearer t0p-secret" in receiver.heads[0]
        assert "t0p-secret" not in repr(sent)
        assert sent.exchange.request["X-Tenant"] == "(not kept)"
        assert sent.exchange.request["webhook-id"] == "msg_1"


def test_what_is_no_certificate_with_its_key_is_refused(authority) -> None:
    certificate, key = authority.client("acme")
    other, _ = authority.client("other")
    found, shown = examine(certificate, key, NOW)
    assert (shown.subject, repr(found)) == ("CN=acme", "ClientIdentity()")
    for given, field in (
        (("", key), "certificate"),
        ((key, key), "certificate"),
        ((certificate, certificate), "key"),
        ((other, key), "key"),
        ((certificate, key.replace("PRIVATE", "PUBLIC")), "key"),
    ):
        with pytest.raises(IdentityError) as refused:
            examine(*given, NOW)
        assert refused.value.field == field
        assert "MII" not in str(refused.value)
    with pytest.raises(IdentityError, match="ended on"):
        examine(certificate, key, NOW.replace(year=NOW.year + 1))
