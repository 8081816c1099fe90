"""One request to an endpoint, and what came of it. No redirect is followed; never raises for what answers."""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import httpx2
import msgspec

from trunkline.deliveries.credentials import Credentials
from trunkline.deliveries.schemas import Exchange
from trunkline.kernel.egress import ClientIdentity, Egress, EgressRefusedError

SECONDS: Final = 15.0
"""For all of it, from dialling to the answer's headers and the beginning of its body."""
BODY_BYTES: Final = 2048
HEADER_CHARACTERS: Final = 500
HEADERS: Final = 40
SHOWN: Final = frozenset(
    {
        *("content-type", "content-length", "date", "server", "retry-after", "via", "x-request-id", "cf-ray"),
        *("content-encoding", "cache-control", "connection", "traceparent", "x-amzn-requestid", "x-trace-id"),
    }
)
"""Headers of an answer that are kept as they are; of others only that they were there."""
REDACTED: Final = "(not kept)"
NOTHING: Final = Credentials()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    status: int | None
    cause: str | None
    """None: taken. Else status, redirected, timeout, unreachable, refused or unreadable."""
    headers: dict[str, str]
    """The answer's, as they came: for Retry-After, not to be kept."""
    took_ms: int
    exchange: Exchange


class Sender:
    def __init__(self, egress: Egress) -> None:
        self._egress = egress

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, beside: Credentials = NOTHING
    ) -> Sent:
        """`beside`: the receiver's own headers, none of which is kept, and a client certificate."""
        ours = {"content-type": "application/json", "user-agent": "trunkline-webhooks/1", **headers}
        sent = {**beside.headers, **ours}
        hidden = {"webhook-signature", *beside.headers}
        began = time.monotonic()
        status: int | None = None
        answer: dict[str, str] = {}
        text, cut = b"", False
        try:
            async with asyncio.timeout(SECONDS):
                status, answer, text, cut = await self._ask(url, sent, body, beside.identity)
            cause = _cause(status)
        except (TimeoutError, httpx2.TimeoutException):
            cause = "timeout"
        except EgressRefusedError as error:
            cause = "unreadable" if error.code == "answer_too_large" else "refused"
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError):
            cause = "unreachable"
        return Sent(
            status=status,
            cause=cause,
            headers=answer,
            took_ms=int((time.monotonic() - began) * 1000),
            exchange=Exchange(
                url=url,
                request={name: REDACTED if name in hidden else value for name, value in sent.items()},
                response=_kept(answer),
                body=text.decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}"),
                cut=cut,
            ),
        )

    async def _ask(
        self, url: str, headers: Mapping[str, str], body: bytes, identity: ClientIdentity | None
    ) -> tuple[int, dict[str, str], bytes, bool]:
        request = httpx2.Request(
            "POST",
            url,
            content=body,
            headers=dict(headers),
            extensions={"timeout": dict.fromkeys(("connect", "pool", "read", "write"), SECONDS)},
        )
        transport = self._egress.transport({self._egress.destination(url)}, identity)
        response = await transport.handle_async_request(request)
        try:
            text, cut = await _beginning(response)
        finally:
            await response.aclose()
        return response.status_code, dict(response.headers.items()), text, cut


async def _beginning(response: httpx2.Response) -> tuple[bytes, bool]:
    """An answer whose body breaks off or drips was an answer: its status counts."""
    text = b""
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    try:
        async with asyncio.timeout(SECONDS / 3):
            async for piece in stream:
                text += piece
                if len(text) > BODY_BYTES:
                    return text[:BODY_BYTES], True
    except (TimeoutError, httpx2.HTTPError, EgressRefusedError):
        return text, True
    return text, False


def _cause(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    return "redirected" if 300 <= status < 400 else "status"


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name[:100]: value[:HEADER_CHARACTERS] if name.lower() in SHOWN else REDACTED
        for name, value in list(headers.items())[:HEADERS]
    }
