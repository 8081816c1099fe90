"""One authorised, rate-limited, classified call to a provider, and the whole page that it gives."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol
from uuid import UUID

import httpx2
import msgspec
from sqlalchemy import text

from trunkline.connections.errors import ProviderFailedError, ReconnectRequiredError
from trunkline.kernel import strictjson
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress, EgressRefusedError
from trunkline.kernel.errors import NotFoundError
from trunkline.resilience.backoff import full_jitter, retry_after
from trunkline.resilience.failures import classify, failure
from trunkline.runs.errors import ProviderError
from trunkline.runs.moments import parse_moment
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Field, Manifest, Rate, Read, StreamSpec, point
from trunkline.sdk.registry import Connectors
from trunkline.sdk.templates import fill_body, fill_query

PATIENCE_SECONDS: Final = 20.0
"""Waits up to this long are slept through in process; longer ones go back to the backlog."""
MAX_ID: Final = 512
"""Characters of a record's id: it is part of a Postgres index entry (at most some 2,700 bytes)."""
SEEN_EVERY: Final = 5.0
"""Seconds between two notes of an accepted call of one connection."""

OnWait = Callable[[datetime, str], Awaitable[None]]
"""Told until when and for which cause a call waits."""


class Token(Protocol):
    @property
    def value(self) -> str: ...
    @property
    def generation(self) -> int: ...


class Tokens(Protocol):
    """`trunkline.connections`: both open their own sessions and raise errors that carry `failure_code`."""

    async def access_token(self, tenant_id: UUID, connection_id: UUID) -> Token: ...
    async def token_rejected(self, tenant_id: UUID, connection_id: UUID, generation: int) -> None: ...


class Limiter(Protocol):
    async def acquire(
        self, rates: Sequence[Rate], tenant_id: UUID, connection_id: UUID, bucket: str
    ) -> float: ...
    async def penalise(self, connection_id: UUID, bucket: str, seconds: float) -> None: ...


class Account(msgspec.Struct, frozen=True):
    """Which account a grant belongs to."""

    id: str
    label: str | None


class Target(msgspec.Struct, frozen=True):
    """Whose account at which provider."""

    tenant_id: UUID
    connection_id: UUID
    manifest: Manifest


class Item(msgspec.Struct, frozen=True):
    external_id: str
    document: dict[str, Any]
    modified_at: datetime | None


class Page(msgspec.Struct, frozen=True):
    """A page that was whole. `at`: the provider's own clock, from its Date header."""

    items: list[Item]
    next: str | None
    total: int | None
    at: datetime | None


class ProviderClient:
    """One per process; opens its own sessions."""

    def __init__(
        self,
        *,
        db: Database,
        egress: Egress,
        endpoints: Endpoints,
        connectors: Connectors,
        connections: Tokens,
        limiter: Limiter,
    ) -> None:
        self._db = db
        self._egress = egress
        self._endpoints = endpoints
        self._connectors = connectors
        self._tokens = connections
        self._limiter = limiter
        self._clients: dict[str, httpx2.AsyncClient] = {}
        self._seen: OrderedDict[UUID, float] = OrderedDict()

    async def target(self, tenant_id: UUID, connection_id: UUID) -> Target:
        """Raises NotFoundError, also for another tenant's connection."""
        async with self._db.tenant(tenant_id) as session:
            connector = (
                await session.execute(
                    text("SELECT connector FROM connections WHERE tenant_id = :tenant AND id = :id"),
                    {"tenant": tenant_id, "id": connection_id},
                )
            ).scalar()
        if connector is None:
            raise NotFoundError
        return Target(tenant_id, connection_id, self._connectors.get(connector))

    # -- what callers ask for ---------------------------------------------------------------

    async def page(
        self,
        target: Target,
        spec: StreamSpec,
        read: Read,
        values: Mapping[str, Any],
        *,
        on_wait: OnWait | None = None,
    ) -> Page:
        """A whole page, or ProviderError: nothing half read ever comes back."""
        given = {"page_size": read.page_size, **values}
        response = await self._call(
            target,
            read.method,
            read.path,
            bucket=read.bucket,
            query=fill_query(read.query, given),
            body=None if read.body is None else fill_body(read.body, given),
            on_wait=on_wait,
        )
        body = self._json(target, response)
        return _page(spec, read, body, _date(response), lambda: self._malformed(target, response, body))

    async def sample(
        self,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        limit: int,
        fields: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Some real documents, as `list` gives them first. Raises ProviderError."""
        target = await self.target(tenant_id, connection_id)
        spec = _spec(target.manifest, stream)
        asked = sorted({*spec.field_names, *fields})
        values = {"page_size": max(1, min(limit, spec.list.page_size)), "properties": asked}
        page = await self.page(target, spec, spec.list, values)
        return [item.document for item in page.items[:limit]]

    async def discover(self, tenant_id: UUID, connection_id: UUID, stream: str) -> list[Field]:
        """The account's own fields of a stream; the manifest's where the provider lists none."""
        target = await self.target(tenant_id, connection_id)
        spec = _spec(target.manifest, stream)
        discovery = spec.discovery
        if discovery is None:
            return list(spec.fields)
        response = await self._call(target, "GET", discovery.path, bucket="default")
        body = self._json(target, response)
        listed = point(body, discovery.records)
        if not isinstance(listed, list):
            raise self._malformed(target, response, body)
        fields: dict[str, Field] = {}
        for entry in listed:
            name = point(entry, discovery.name)
            if isinstance(name, str) and name:
                label = point(entry, discovery.label)
                kind = discovery.types.get(str(point(entry, discovery.type)), "string")
                given = {"name": name, "label": label if isinstance(label, str) and label else name}
                fields[name] = msgspec.convert({**given, "type": kind}, Field)
        return list(fields.values())

    async def account(self, tenant_id: UUID, connection_id: UUID) -> Account:
        """The cheapest call that proves the grant. Raises ProviderError."""
        target = await self.target(tenant_id, connection_id)
        about = target.manifest.account
        response = await self._call(target, "GET", about.path, bucket="default")
        body = self._json(target, response)
        found = point(body, about.id)
        if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
            raise self._malformed(target, response, body)
        label = point(body, about.label)
        return Account(str(found), None if label is None else str(label))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    # -- one call ---------------------------------------------------------------------------

    async def _call(
        self,
        target: Target,
        method: str,
        path: str,
        *,
        bucket: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        on_wait: OnWait | None = None,
    ) -> httpx2.Response:
        """A 2xx answer. Short waits for a limit are slept through; a rejected token is renewed once."""
        manifest = target.manifest
        url = self._endpoints.url(manifest, path)
        content = None if body is None else strictjson.canonical(body)
        patience = _Patience(on_wait)
        renewed = False
        tries = 0
        while True:
            token = await self._token(target)
            await self._admit(target, bucket, patience)
            headers = {"authorization": f"Bearer {token.value}", "accept": "application/json"}
            if content is not None:
                headers["content-type"] = "application/json"
            try:
                response = await self._client(manifest).request(
                    method, url, params=query or None, content=content, headers=headers
                )
            except (httpx2.HTTPError, httpx2.InvalidURL, EgressRefusedError) as error:
                found = classify(manifest, error=error)
                raise ProviderError(found, detail={"error": type(error).__name__}) from error
            if response.is_success:
                await self._note_accepted(target)
                return response
            found = classify(manifest, response.status_code, response.content)
            if found.action == "refresh" and not renewed:
                renewed = True
                await self._rejected(target, token.generation)
                continue
            if found.action == "refresh":
                # A token fresh from the provider is refused too: only a person can mend that.
                found = failure("token_rejected")
            asked = retry_after(response.headers, now())
            if found.action == "wait":
                tries += 1
                seconds = self._pause(manifest, bucket, asked, tries, daily=found.code == "daily_limit")
                await self._limiter.penalise(target.connection_id, bucket, seconds)
                if tries <= 5 and await patience.sleep(seconds, found.code):
                    continue
                asked = seconds
            raise ProviderError(
                found,
                retry_at=None if asked is None else now() + timedelta(seconds=asked),
                detail=self._detail(target, response),
            )

    @staticmethod
    def _pause(manifest: Manifest, bucket: str, asked: float | None, tries: int, *, daily: bool) -> float:
        """Seconds after a 429. Without Retry-After: the bucket's window, or for a day's limit 15 minutes."""
        if asked is not None:
            return asked
        if daily:
            return 900.0
        window = max((rate.seconds for rate in manifest.rates if rate.bucket == bucket), default=10.0)
        return window + full_jitter(tries, base=1.0, cap=10.0)

    async def _admit(self, target: Target, bucket: str, patience: "_Patience") -> None:
        """Returns when our own budget lets the call through."""
        while True:
            seconds = await self._limiter.acquire(
                target.manifest.rates, target.tenant_id, target.connection_id, bucket
            )
            if seconds <= 0:
                return
            if not await patience.sleep(seconds, "rate_limited"):
                raise ProviderError(failure("rate_limited"), retry_at=now() + timedelta(seconds=seconds))

    async def _token(self, target: Target) -> Token:
        try:
            return await self._tokens.access_token(target.tenant_id, target.connection_id)
        except (ReconnectRequiredError, ProviderFailedError) as error:
            raise _known(error) from error

    async def _rejected(self, target: Target, generation: int) -> None:
        try:
            await self._tokens.token_rejected(target.tenant_id, target.connection_id, generation)
        except (ReconnectRequiredError, ProviderFailedError) as error:
            raise _known(error) from error

    def _client(self, manifest: Manifest) -> httpx2.AsyncClient:
        client = self._clients.get(manifest.name)
        if client is None:
            client = self._clients[manifest.name] = self._egress.client(self._endpoints.hosts(manifest))
        return client

    async def _note_accepted(self, target: Target) -> None:
        moment = time.monotonic()
        if moment - self._seen.get(target.connection_id, -SEEN_EVERY) < SEEN_EVERY:
            return
        self._seen[target.connection_id] = moment
        self._seen.move_to_end(target.connection_id)
        while len(self._seen) > 10_000:
            self._seen.popitem(last=False)
        async with self._db.tenant(target.tenant_id) as session:
            await session.execute(
                text("UPDATE connections SET last_call_at = now() WHERE tenant_id = :tenant AND id = :id"),
                {"tenant": target.tenant_id, "id": target.connection_id},
            )

    def _json(self, target: Target, response: httpx2.Response) -> Any:
        try:
            return strictjson.decode(response.content, nul="replace", long_integers="text")
        except strictjson.JSONLimitError as error:
            raise self._malformed(target, response, None) from error

    def _malformed(self, target: Target, response: httpx2.Response, body: Any) -> ProviderError:
        """A success that is none: by the manifest's signs if its body has one, else malformed_answer."""
        found = failure("malformed_answer")
        if isinstance(body, dict):
            found = classify(target.manifest, response.status_code, response.content)
        return ProviderError(found, detail=self._detail(target, response))

    @staticmethod
    def _detail(target: Target, response: httpx2.Response) -> dict[str, Any]:
        detail: dict[str, Any] = {"status": response.status_code}
        if target.manifest.correlation:
            try:
                body = strictjson.decode(response.content, nul="replace", long_integers="text")
            except strictjson.JSONLimitError:
                return detail
            found = point(body, target.manifest.correlation)
            if isinstance(found, str):
                detail["correlation_id"] = found[:100]
        return detail


class _Patience:
    """How long one call may still be waited for in process."""

    def __init__(self, on_wait: OnWait | None) -> None:
        self._left = PATIENCE_SECONDS
        self._on_wait = on_wait

    async def sleep(self, seconds: float, cause: str) -> bool:
        """False, without having slept, when it takes too long."""
        if seconds > self._left:
            return False
        self._left -= seconds
        if self._on_wait is not None and seconds >= 1:
            await self._on_wait(now() + timedelta(seconds=seconds), cause)
        await asyncio.sleep(seconds)
        return True


def _known(error: ReconnectRequiredError | ProviderFailedError) -> ProviderError:
    """A grant that is gone, or a provider that fails to renew it, classified."""
    if isinstance(error, ReconnectRequiredError):
        return ProviderError(failure(error.cause))
    return ProviderError(failure(error.failure_code), retry_at=error.retry_at)


def _spec(manifest: Manifest, stream: str) -> StreamSpec:
    spec = manifest.stream(stream)
    if spec is None:
        raise NotFoundError(f'{manifest.label} has no stream "{stream[:80]}".', field="stream")
    return spec


def _page(
    spec: StreamSpec,
    read: Read,
    body: Any,
    at: datetime | None,
    malformed: Callable[[], ProviderError],
) -> Page:
    listed = point(body, read.records)
    if not isinstance(listed, list):
        raise malformed()
    items: dict[str, Item] = {}
    for document in listed:
        found = point(document, spec.id)
        if isinstance(found, bool) or not isinstance(found, str | int) or not 0 < len(str(found)) <= MAX_ID:
            raise malformed()
        external_id = str(found)
        modified = parse_moment(point(document, spec.modified)) if spec.modified else None
        items.pop(external_id, None)  # named twice in a page: the later form counts
        items[external_id] = Item(external_id, document, modified)
    cursor = point(body, read.paginator.next)
    if cursor is not None and (isinstance(cursor, bool) or not isinstance(cursor, str | int)):
        raise malformed()
    total = point(body, read.total) if read.total else None
    return Page(
        list(items.values()),
        None if cursor in (None, "") else str(cursor),
        total if isinstance(total, int) and not isinstance(total, bool) else None,
        at,
    )


def _date(response: httpx2.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
