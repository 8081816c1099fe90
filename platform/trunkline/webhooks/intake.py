"""POST /hooks/{connector}/{key}: bounded, proven, stored, then answered; what is made of it comes later.

A bare ASGI application, because a provider's burst is as many requests as it likes. The order is the point:
nothing is read beyond the limit, nothing of a body is looked at before its signature holds, and 2xx is only
said once the event is durable.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
import structlog

from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import CLIENT_ADDRESS
from trunkline.sdk.manifest import point
from trunkline.sdk.webhooks import Challenge
from trunkline.webhooks.events import Event, UnparsableError, document, split
from trunkline.webhooks.group_commit import GroupCommit, OverloadedError
from trunkline.webhooks.refusals import Refusals
from trunkline.webhooks.repository import Row
from trunkline.webhooks.signatures import Delivery, Verdict, verify_any
from trunkline.webhooks.sources import Source, Sources
from trunkline.webhooks.waker import Waker
from trunkline.work.errors import DATABASE_AWAY

PREFIX: Final = "/hooks/"
READ_SECONDS: Final = 10.0
"""For a whole body to arrive."""
FLUSH_SECONDS: Final = 2.0
ECHO: Final = 512
"""Characters of a challenge that are given back."""
HEADER_LENGTH: Final = 500
SECRET_HEADERS: Final = (
    "authorization",
    "cookie",
    "token",
    "secret",
    "signature",
    "key",
    "hmac",
    "hub-signature",
)
"""Headers with such a word in their name are kept without their value."""

log = structlog.get_logger(__name__)

Headers = Mapping[str, str]


class Answer(Exception):  # noqa: N818 - it is not an error: it ends the request
    def __init__(self, status: int, body: bytes = b"", **headers: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


class Intake:
    """`origin`: under which providers reach us; it is part of what some of them sign."""

    def __init__(self, db: Database, sources: Sources, waker: Waker, *, origin: str) -> None:
        self._sources = sources
        self._origin = origin
        self._waker = waker
        self._commit = GroupCommit(db)
        self._refusals = Refusals(db)
        self._flushing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._answered(scope, receive)
        except Answer as answer:
            headers = [(b"content-length", str(len(answer.body)).encode())]
            if answer.body:
                headers.append((b"content-type", b"text/plain; charset=utf-8"))
            headers += [
                (name.replace("_", "-").encode(), value.encode()) for name, value in answer.headers.items()
            ]
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            body = b"" if scope["method"] == "HEAD" else answer.body
            await send({"type": "http.response.body", "body": body})

    async def start(self) -> None:
        self._flushing = asyncio.create_task(self._flush(), name="hook refusals")

    async def close(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait({self._flushing})
        await self._commit.close()
        await self._waker.close()
        await self._refusals.write()

    # -- one request ------------------------------------------------------------------------

    async def _answered(self, scope: Any, receive: Any) -> None:
        """Always raises Answer."""
        connector, _, key = scope["path"][len(PREFIX) :].partition("/")
        headers = _headers(scope)
        address = CLIENT_ADDRESS.get()
        try:
            source = await self._sources.find(connector, key)
        except DATABASE_AWAY as error:
            log.warning("address not looked up", error=type(error).__name__)
            raise _again() from error
        if source is None:
            self._refusals.add("unknown_endpoint", headers=headers, address=address, size=0)
            raise Answer(404)
        method = scope["method"]
        if method in {"GET", "HEAD"}:
            raise _handshake(source, method, scope)
        if method != "POST":
            raise Answer(405, allow="POST")
        body = await self._body(source, receive, headers, address)
        delivery = Delivery(method, self._url(scope), headers, body)
        arrived = now()
        verdict = verify_any(source.ways, delivery, arrived.timestamp())
        if not verdict.ok:
            self._refuse(source, verdict, delivery, address)
            raise Answer(401)
        await self._taken(source, verdict, delivery, address, arrived, scope["state"]["request_id"])

    async def _body(self, source: Source, receive: Any, headers: Headers, address: str | None) -> bytes:
        """Never more than the limit, whatever the request says of its length."""
        limit, said = source.hooks.body_limit, headers.get("content-length", "")
        size, parts = int(said) if said.isdecimal() and len(said) < 16 else 0, []
        if size <= limit:
            size = 0
            try:
                async with asyncio.timeout(READ_SECONDS):
                    more = True
                    while more and size <= limit:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise Answer(400)
                        parts.append(message.get("body", b""))
                        size += len(parts[-1])
                        more = message.get("more_body", False)
            except TimeoutError:
                raise Answer(408, connection="close") from None
        if size > limit:
            self._refusals.add(
                "too_large",
                tenant_id=source.tenant_id,
                endpoint_id=source.endpoint_id,
                headers=headers,
                address=address,
                size=size,
            )
            raise Answer(413, connection="close")
        return b"".join(parts)

    async def _taken(
        self,
        source: Source,
        verdict: Verdict,
        delivery: Delivery,
        address: str | None,
        arrived: datetime,
        request_id: str,
    ) -> None:
        try:
            events = _challenged(source.hooks.challenge, delivery.body)
            if events is None:
                named = source.hooks.id_header
                events = split(
                    source.hooks, delivery.body, delivery.headers.get(named.lower()) if named else None
                )
        except UnparsableError as error:
            self._refuse(source, verdict, delivery, address, detail=str(error))
            raise Answer(400) from None
        for trial in (1, 2):
            try:
                rows = await self._rows(source, verdict, delivery, events, address, arrived, request_id)
                touched = await self._commit.put(rows) if rows else set()
                break
            except (OverloadedError, *DATABASE_AWAY) as error:
                if isinstance(error, OverloadedError) or trial == 2:
                    self._refuse(source, None, delivery, address)
                    raise _again() from error
                self._sources.forget()  # a connection or a key may have gone meanwhile
        self._waker.wake(touched)
        raise Answer(200)

    async def _rows(
        self,
        source: Source,
        verdict: Verdict,
        delivery: Delivery,
        events: list[Event],
        address: str | None,
        arrived: datetime,
        request_id: str,
    ) -> list[Row]:
        """Sealed, each for every connection that it is for."""
        shown = msgspec.json.encode(redacted(delivery.headers))
        said = "verified" if verdict.key == 0 else "verified_by_previous_secret"
        rows, unknown = [], 0
        for event in events:
            routes = await self._sources.routes(source, event.account)
            unknown += not routes
            for tenant, connection in routes:
                sealing = await self._sources.sealing(tenant)
                identity = new_id()
                named = str(identity)
                rows.append(
                    Row(
                        tenant_id=tenant,
                        id=identity,
                        identity=event.identity,
                        connection_id=connection,
                        endpoint_id=source.endpoint_id,
                        connector=source.connector,
                        event_id=event.event_id,
                        type=event.type,
                        occurred_at=event.occurred_at,
                        received_at=arrived,
                        verdict=said,
                        headers=sealing.headers(shown, named),
                        body=sealing.body(event.raw, named),
                        key_version=sealing.version,
                        size=len(event.raw),
                        address=address,
                        request_id=request_id,
                    )
                )
        if unknown:
            # whoever connected that account has gone: to refuse would only have it sent again for a day
            self._refusals.add(
                "unknown_account",
                tenant_id=source.tenant_id,
                endpoint_id=source.endpoint_id,
                headers=delivery.headers,
                address=address,
                size=len(delivery.body),
                count=unknown,
            )
        return rows

    def _refuse(
        self,
        source: Source,
        verdict: Verdict | None,
        delivery: Delivery,
        address: str | None,
        detail: str = "",
    ) -> None:
        if verdict is None:
            cause = "overloaded"
        elif verdict.ok:
            cause = "unparsable"
        else:
            cause = "replayed" if verdict.outcome == "stale" else "unverifiable"
        self._refusals.add(
            cause,  # type: ignore[arg-type]
            tenant_id=source.tenant_id,
            endpoint_id=source.endpoint_id,
            headers=delivery.headers,
            address=address,
            size=len(delivery.body),
            body=delivery.body,
            detail=detail or (verdict.outcome if verdict else ""),
        )

    def _url(self, scope: Any) -> str:
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        query = scope["query_string"].decode("latin-1")
        return f"{self._origin}{path}?{query}" if query else f"{self._origin}{path}"

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self._refusals.write()
            except Exception:
                log.exception("refusals not written")


def redacted(headers: Headers) -> dict[str, str]:
    """As they may be kept: no value of a header that authenticates."""
    return {
        name[:64]: "…" if _authenticates(name) else value[:HEADER_LENGTH]
        for name, value in sorted(headers.items())[:60]
    }


@lru_cache(maxsize=256)
def _authenticates(name: str) -> bool:
    return any(word in name for word in SECRET_HEADERS)


def _headers(scope: Any) -> dict[str, str]:
    """One sent twice is joined, as HTTP has it."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]},{text}" if key in found else text
    return found


def _handshake(source: Source, method: str, scope: Any) -> Answer:
    hooks = source.hooks
    if method == "HEAD":
        return Answer(200) if hooks.head else Answer(405, allow="POST")
    challenge = hooks.challenge
    if challenge is None or challenge.method != "GET":
        return Answer(405, allow="POST")
    with contextlib.suppress(ValueError):
        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
        given = query.get(challenge.answer, [""])[0]
        wanted = all(query.get(name, [""])[0] == value for name, value in challenge.when.items())
        if wanted and 0 < len(given) <= ECHO and given.isprintable():
            return Answer(200, given.encode())
    return Answer(400)


def _challenged(challenge: Challenge | None, body: bytes) -> list[Event] | None:
    """Raises Answer to a proven handshake; None: it is none."""
    if challenge is None or challenge.method != "POST":
        return None
    found = document(body)
    if all(str(point(found, pointer)) == value for pointer, value in challenge.when.items()):
        given = point(found, challenge.answer)
        if isinstance(given, str) and 0 < len(given) <= ECHO and given.isprintable():
            raise Answer(200, given.encode())
    return None


def _again() -> Answer:
    return Answer(503, retry_after="2")
