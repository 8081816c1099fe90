"""One authorised, rate-limited, classified call to a provider."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit
from uuid import UUID

import httpx2
import msgspec

from trunkline.connections.errors import ProviderFailedError, ReconnectRequiredError
from trunkline.kernel import strictjson
from trunkline.kernel.clock import now
from trunkline.kernel.egress import Egress, EgressRefusedError
from trunkline.resilience.backoff import full_jitter, retry_after
from trunkline.resilience.breaker import HOST_KINDS, OWN_KINDS
from trunkline.resilience.budgets import Budget, Caller
from trunkline.resilience.classify import is_success, sign_in_success
from trunkline.resilience.failures import classify, failure
from trunkline.resilience.limiter import Admission
from trunkline.runs.calls import Books
from trunkline.runs.errors import ProviderError
from trunkline.runs.notices import Remembered, notice_of
from trunkline.sdk.credentials import call_headers, values_of, way_of
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Manifest, Rate, point
from trunkline.sdk.refusals import Refused, refusals_in
from trunkline.sdk.templates import fill_body, fill_query, fill_text, form_pairs

PATIENCE_SECONDS: Final = 20.0
"""Waits up to this long are slept through in process; longer ones go back to the backlog."""
SEEN_EVERY: Final = 5.0
"""Seconds between two notes of an accepted call of one connection."""
BUDGETS_KEPT: Final = 10_000
BUDGETS_SECONDS: Final = 900.0
"""A reconnect may bring another OAuth client; until then its calls count in the former's budget."""

HELD_SECONDS: Final = 0.5
"""A token serves that long; it is given out with at least half a minute left, see `connections.tokens`."""
HELD_KEPT: Final = 1000
"""Tokens of that many connections are in memory at a time."""

READ: Final = "trunkline.json"
"""Extension of an answer: its JSON, read once."""

OnWait = Callable[[datetime, str], Awaitable[None]]
"""Told until when and for which cause a call waits."""


Sleep = Callable[[float], Awaitable[object]]


class Token(Protocol):
    @property
    def value(self) -> str: ...
    @property
    def generation(self) -> int: ...
    @property
    def config(self) -> Mapping[str, Any]: ...


class Tokens(Protocol):
    """`trunkline.connections`: both open their own sessions and raise errors that carry `failure_code`."""

    async def access_token(self, tenant_id: UUID, connection_id: UUID) -> Token: ...
    async def token_rejected(self, tenant_id: UUID, connection_id: UUID, generation: int) -> None: ...


class Limiter(Protocol):
    """`trunkline.resilience.limiter`."""

    def budget(self, rates: Sequence[Rate], caller: Caller, bucket: str, *, cost: int = 1) -> Budget: ...
    async def acquire(self, budget: Budget, *, interactive: bool = False) -> Admission: ...
    async def answered(
        self, budget: Budget, admission: Admission, headers: Mapping[str, str], now: datetime
    ) -> None: ...
    async def failed(self, budget: Budget, admission: Admission, code: str) -> None: ...
    async def penalise(self, budget: Budget, seconds: float) -> None: ...


class Target(msgspec.Struct, frozen=True):
    """Whose account at which provider."""

    tenant_id: UUID
    connection_id: UUID
    manifest: Manifest


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """Templates, and what is `given` for them besides the connection's values."""

    method: str = "GET"
    path: str
    """A manifest's; with `query` None one that an answer named, its query in it."""
    query: Mapping[str, Any] | None = {}
    body: Any = None
    form: bool = False
    """The body is sent as a form, not as JSON."""
    headers: Mapping[str, str] = {}
    given: Mapping[str, Any] = {}
    bucket: str = "default"
    cost: int = 1
    interactive: bool = False
    """Somebody waits for it, so that it may use what background work leaves of the budgets."""
    patience: float = PATIENCE_SECONDS
    read: Callable[[bytes], Any] | None = None
    """Reads a success; JSONLimitError: it is none. Without one it is read as JSON."""


class Answer(msgspec.Struct, frozen=True):
    """A success, and the connection's values that its address was made of."""

    response: httpx2.Response
    values: Mapping[str, str]


class Calls:
    """One per process; opens its own sessions."""

    def __init__(
        self,
        *,
        books: Books,
        egress: Egress,
        endpoints: Endpoints,
        connections: Tokens,
        limiter: Limiter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._books = books
        self._sleep = sleep
        self._egress = egress
        self._endpoints = endpoints
        self._tokens = connections
        self._limiter = limiter
        self._clients: OrderedDict[tuple[str, frozenset[str]], httpx2.AsyncClient] = OrderedDict()
        self._seen: OrderedDict[UUID, float] = OrderedDict()
        self._notices = Remembered()
        self._held: OrderedDict[UUID, tuple[float, Token]] = OrderedDict()
        """Until when a token serves without being asked for again."""
        self._budgets: OrderedDict[tuple[UUID, str, int], tuple[float, Budget]] = OrderedDict()

    async def answer(self, target: Target, call: Call, *, on_wait: OnWait | None = None) -> Answer:
        """A success. Short waits for a limit are slept through; a rejected token is renewed once."""
        manifest = target.manifest
        budget = await self.budget(target, call.bucket, call.cost)
        patience = Patience(on_wait, self._sleep, call.patience)
        renewed = False
        tries = 0
        while True:
            admission = await self._admit(budget, patience, interactive=call.interactive)
            token = await self._token(target, budget, admission)
            values = values_of(manifest, token.config)
            try:
                response = await self._send(target, token, call, values)
            except (httpx2.HTTPError, httpx2.InvalidURL, EgressRefusedError) as error:
                found = classify(manifest, error=error)
                await self._limiter.failed(budget, admission, found.code)
                raise ProviderError(found, detail={"error": type(error).__name__}) from error
            await self._note_deprecated(target, response)
            moment = now()
            given = response.status_code, response.content, response.headers
            if response.is_success or is_success(manifest, *given):
                told = _told(manifest, response, call.read or _json)
                if told in OWN_KINDS:
                    await self._limiter.failed(budget, admission, told)
                else:
                    await self._limiter.answered(budget, admission, response.headers, moment)
                    await self._note_accepted(target)
                return Answer(response, values)
            found = classify(manifest, response.status_code, response.content, headers=response.headers)
            if found.code in HOST_KINDS:
                await self._limiter.failed(budget, admission, found.code)
            else:
                await self._limiter.answered(budget, admission, response.headers, moment)
            if found.action == "refresh" and not renewed:
                renewed = True
                await self._rejected(target, token.generation)
                continue
            if found.action == "refresh":
                # A token fresh from the provider is refused too: only a person can mend that.
                found = failure("token_rejected")
            if found.action == "reconnect":
                # Whoever gives access anew must not be met with what is held in memory.
                self._held.pop(target.connection_id, None)
            asked = retry_after(response.headers, moment, other=manifest.retry_after)
            if found.action == "wait":
                tries += 1
                seconds = _pause(manifest, call.bucket, asked, tries, daily=found.code == "daily_limit")
                await self._limiter.penalise(budget, seconds)
                if tries <= 5 and await patience.sleep(seconds, found.code):
                    continue
                asked = seconds
            raise ProviderError(
                found,
                retry_at=None if asked is None else moment + timedelta(seconds=asked),
                detail=detail_of(target, response),
                refused=refused_of(manifest, response) if call.method != "GET" else (),
            )

    async def budget(self, target: Target, bucket: str = "default", cost: int = 1) -> Budget:
        """What a call is charged to."""
        moment = time.monotonic()
        key = target.connection_id, bucket, cost
        made, budget = self._budgets.get(key, (-BUDGETS_SECONDS, None))
        if budget is not None and moment - made < BUDGETS_SECONDS:
            return budget
        row = await self._books.charged_to(target.tenant_id, target.connection_id)
        manifest = target.manifest
        try:
            base = self._endpoints.url(manifest, "/", values_of(manifest, row.config if row else {}))
        except EgressRefusedError as error:
            raise ProviderError(failure("egress_refused"), detail={"error": type(error).__name__}) from error
        caller = Caller(
            tenant_id=target.tenant_id,
            connection_id=target.connection_id,
            host=f"{manifest.name}@{urlsplit(base).netloc}",
            client_id=row.oauth_client_id if row else None,
            account=row.account_id if row else None,
        )
        budget = self._limiter.budget(manifest.rates, caller, bucket, cost=cost)
        self._budgets[key] = moment, budget
        self._budgets.move_to_end(key)
        if len(self._budgets) > BUDGETS_KEPT:
            self._budgets.popitem(last=False)
        return budget

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    # -- inside -----------------------------------------------------------------------------

    async def _send(
        self, target: Target, token: Token, call: Call, values: Mapping[str, str]
    ) -> httpx2.Response:
        manifest, given = target.manifest, {**values, **call.given}
        headers = call_headers(manifest, way_of(manifest, token.config), token.value, values)
        for name, template in call.headers.items():
            filled = fill_text(template, given)
            if filled is not None:
                headers[name.lower()] = filled
        content = None
        if call.body is not None:
            content, headers["content-type"] = _content(call, given)
        if call.query is None:
            url = self._endpoints.join(manifest, call.path, values)
        else:
            url = self._endpoints.url(manifest, call.path, given)
            query = fill_query(call.query, given)
            url += f"?{urlencode(query, doseq=True)}" if query else ""
        client = self._client(manifest, values)
        return await client.request(call.method, url, content=content, headers=headers)

    async def _admit(self, budget: Budget, patience: "Patience", *, interactive: bool) -> Admission:
        """Returns when budgets and breakers let the call through; raises where that is not soon."""
        while True:
            admission = await self._limiter.acquire(budget, interactive=interactive)
            if admission.wait <= 0:
                return admission
            seconds = admission.wait
            if admission.cause == "circuit_open":
                seconds += full_jitter(1, base=max(1.0, seconds / 4))  # not all at the same moment
            elif await patience.sleep(seconds, admission.cause):
                continue
            raise ProviderError(failure(admission.cause), retry_at=now() + timedelta(seconds=seconds))

    async def _token(self, target: Target, budget: Budget, admission: Admission) -> Token:
        """After the admission: renewing a token is a call to the same provider.

        One that was just given serves again: whether the connection may still be used is asked anew by each
        page's commit, and by the first call after a moment.
        """
        held = self._held.get(target.connection_id)
        if held is not None and time.monotonic() < held[0]:
            return held[1]
        try:
            token = await self._tokens.access_token(target.tenant_id, target.connection_id)
        except ProviderFailedError as error:
            # a time-out without a request sent was our own, waiting for another worker's renewal
            if error.reply_lost or error.failure_code != "provider_timeout":
                await self._limiter.failed(budget, admission, error.failure_code)
            raise _known(error) from error
        except ReconnectRequiredError as error:
            raise _known(error) from error
        self._held[target.connection_id] = time.monotonic() + HELD_SECONDS, token
        while len(self._held) > HELD_KEPT:
            self._held.popitem(last=False)
        return token

    async def _rejected(self, target: Target, generation: int) -> None:
        self._held.pop(target.connection_id, None)
        try:
            await self._tokens.token_rejected(target.tenant_id, target.connection_id, generation)
        except (ReconnectRequiredError, ProviderFailedError) as error:
            raise _known(error) from error

    def _client(self, manifest: Manifest, values: Mapping[str, str]) -> httpx2.AsyncClient:
        """May call the hosts of this connection's account and no other's."""
        hosts = self._endpoints.hosts(manifest, values)
        client = self._clients.get((manifest.name, hosts))
        if client is None:
            client = self._clients[manifest.name, hosts] = self._egress.client(hosts)
            if len(self._clients) > HELD_KEPT:
                self._clients.popitem(last=False)  # the pool behind it is shared: nothing is left open
        return client

    async def _note_deprecated(self, target: Target, response: httpx2.Response) -> None:
        notice = notice_of(target.manifest, response.headers)
        if notice is None or not self._notices.is_new(target.connection_id, notice):
            return
        try:
            await self._books.deprecated(target.tenant_id, target.connection_id, notice)
        except BaseException:
            self._notices.forget(target.connection_id)
            raise

    async def _note_accepted(self, target: Target) -> None:
        moment = time.monotonic()
        if moment - self._seen.get(target.connection_id, -SEEN_EVERY) < SEEN_EVERY:
            return
        self._seen[target.connection_id] = moment
        self._seen.move_to_end(target.connection_id)
        while len(self._seen) > 10_000:
            self._seen.popitem(last=False)
        await self._books.accepted(target.tenant_id, target.connection_id)


class Patience:
    """How long one call may still be waited for in process."""

    def __init__(self, on_wait: OnWait | None, sleep: Sleep, seconds: float = PATIENCE_SECONDS) -> None:
        self._sleep = sleep
        self._left = seconds
        self._on_wait = on_wait

    async def sleep(self, seconds: float, cause: str) -> bool:
        """False, without having slept, when it takes too long."""
        if seconds > self._left:
            return False
        self._left -= seconds
        if self._on_wait is not None and seconds >= 1:
            await self._on_wait(now() + timedelta(seconds=seconds), cause)
        await self._sleep(seconds)
        return True


def detail_of(target: Target, response: httpx2.Response) -> dict[str, Any]:
    """For support: the status, and the id by which the provider finds the request."""
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


def refused_of(manifest: Manifest, response: httpx2.Response) -> tuple[Refused, ...]:
    """Which fields a refusal names, in the provider's words for them."""
    signs = manifest.refusals
    if signs is None or not 300 <= response.status_code < 500:
        return ()
    try:
        body = strictjson.decode(response.content, nul="replace", long_integers="text")
    except strictjson.JSONLimitError:
        return ()
    return refusals_in(signs, body)


def _content(call: Call, given: Mapping[str, Any]) -> tuple[bytes, str]:
    """The body and its media type."""
    filled = fill_body(call.body, given)
    if call.form:
        return urlencode(form_pairs(filled)).encode(), "application/x-www-form-urlencoded"
    return strictjson.canonical(filled), "application/json"


def _json(content: bytes) -> Any:
    return strictjson.decode(content, nul="replace", long_integers="text")


def _told(manifest: Manifest, response: httpx2.Response, read: Callable[[bytes], Any]) -> str | None:
    """What is wrong with a success, by what it says itself. Keeps its JSON."""
    if not response.content:
        return None
    try:
        body = read(response.content)
    except strictjson.JSONLimitError:
        return "malformed_answer"
    response.extensions[READ] = body
    return sign_in_success(manifest, response.status_code, body, response.headers)


def _pause(manifest: Manifest, bucket: str, asked: float | None, tries: int, *, daily: bool) -> float:
    """Seconds after a 429. Without Retry-After: the bucket's window, or for a day's limit 15 minutes."""
    if asked is not None:
        return asked + full_jitter(tries, base=0.5, cap=5.0)
    if daily:
        return 900.0
    window = max((rate.seconds for rate in manifest.rates if rate.bucket == bucket), default=10.0)
    return min(window, 900.0) + full_jitter(tries, base=1.0, cap=10.0)


def _known(error: ReconnectRequiredError | ProviderFailedError) -> ProviderError:
    """A grant that is gone, or a provider that fails to renew it, classified."""
    if isinstance(error, ReconnectRequiredError):
        return ProviderError(failure(error.cause))
    return ProviderError(failure(error.failure_code), retry_at=error.retry_at)
