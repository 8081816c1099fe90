"""A connector and its simulator in one process: no socket, no database, a clock that jumps.

The calls are the product's own, from templates to classification; in memory are only whose grant it is, and
the time that a limit is waited for.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import httpx2
import msgspec

from trunkline.connections.errors import GrantRevokedError, ProviderFailedError, ReconnectRequiredError
from trunkline.connections.provider import ProviderOAuth
from trunkline.connections.schemas import Account, Client, Tokens
from trunkline.kernel.egress import Egress
from trunkline.kernel.settings import Settings
from trunkline.resilience.budgets import Budget, Caller, budget
from trunkline.resilience.limiter import TENANT_RATE, Admission
from trunkline.runs.calls import Charged
from trunkline.runs.notices import Notice
from trunkline.runs.provider import ProviderClient, Target
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.credentials import VALUES, WAY, values_of, way_of
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import ApiKey, Auth, Basic, Manifest, OAuth2, Rate
from trunkline.sdk.registry import Connectors
from trunkline.sdk.simulator import Account as SimulatedAccount
from trunkline.sdk.simulator import Simulator
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_oauth import KEY_CLIENT, OAuthClient

SANDBOX: Final = "http://sandbox.test"
REDIRECT: Final = "https://kit.test/oauth/callback"
CLIENT: Final = OAuthClient("kit", "kit-secret", (REDIRECT,), "Connector kit")
_OURS: Final = Client(UUID(int=0), UUID(int=1), CLIENT.client_id, CLIENT.client_secret)


class NotGrantedError(Exception):
    """The simulator could not be made to give access."""


class MakesSimulator(Protocol):
    def __call__(self, *, clients: Sequence[OAuthClient], now: Now) -> Simulator: ...


class Clock:
    """Begins now and moves when told."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC).replace(microsecond=0)
        self.slept = 0.0

    def now(self) -> datetime:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.moment += timedelta(seconds=seconds)

    def pass_(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class Watch:
    """A limiter that holds nothing back, and knows what was asked of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        """(bucket, cost)"""
        self.penalties: list[float] = []

    def budget(self, rates: Sequence[Rate], caller: Caller, bucket: str, *, cost: int = 1) -> Budget:
        self.calls.append((bucket, cost))
        return budget(rates, caller, bucket, tenant_rate=TENANT_RATE, workers=1, cost=cost)

    async def acquire(self, budget: Budget, *, interactive: bool = False) -> Admission:
        del budget, interactive
        return Admission()

    async def answered(
        self, budget: Budget, admission: Admission, headers: Mapping[str, str], now: datetime
    ) -> None:
        del budget, admission, headers, now

    async def failed(self, budget: Budget, admission: Admission, code: str) -> None:
        del budget, admission, code

    async def penalise(self, budget: Budget, seconds: float) -> None:
        del budget
        self.penalties.append(seconds)


class Token(msgspec.Struct):
    value: str
    generation: int
    config: dict[str, Any]


class Grant:
    """One account's access: the rules of `connections.tokens`, in memory."""

    def __init__(
        self,
        manifest: Manifest,
        oauth: ProviderOAuth,
        way: Auth,
        tokens: Tokens,
        values: Mapping[str, str],
        account: Account,
    ) -> None:
        self._manifest = manifest
        self._oauth = oauth
        self.way = way
        self.tokens = tokens
        self.account = account
        self.refreshes = 0
        self.held = Token(tokens.access_token, 1, {VALUES: dict(values), WAY: way.key})

    async def access_token(self, tenant_id: UUID, connection_id: UUID) -> Token:
        del tenant_id, connection_id
        return self.held

    async def token_rejected(self, tenant_id: UUID, connection_id: UUID, generation: int) -> None:
        del tenant_id, connection_id
        if generation != self.held.generation:
            return
        old = self.tokens.refresh_token
        if old is None or isinstance(self.way, ApiKey | Basic):
            raise ReconnectRequiredError("token_rejected")
        values = values_of(self._manifest, self.held.config)
        try:
            if isinstance(self.way, OAuth2):
                fresh = await self._oauth.refresh(self._manifest, self.way, _OURS, values, old)
            else:
                secrets = msgspec.json.decode(old, type=dict[str, str])
                fresh = await self._oauth.client_credentials(self._manifest, self.way, values, secrets)
        except (GrantRevokedError, ProviderFailedError) as error:
            raise ReconnectRequiredError("grant_revoked") from error
        self.refreshes += 1
        self.tokens = msgspec.structs.replace(fresh, refresh_token=fresh.refresh_token or old)
        kept = {**self.held.config[VALUES], **fresh.values}
        self.held = Token(fresh.access_token, generation + 1, {**self.held.config, VALUES: kept})


class Books:
    def __init__(self, manifest: Manifest, grant: Grant) -> None:
        self._manifest = manifest
        self._grant = grant
        self.accepted_calls = 0
        self.notices: list[Notice] = []

    async def connector(self, tenant_id: UUID, connection_id: UUID) -> str | None:
        del tenant_id, connection_id
        return self._manifest.name

    async def charged_to(self, tenant_id: UUID, connection_id: UUID) -> Charged | None:
        del tenant_id, connection_id
        return Charged(_OURS.id, self._grant.account.id, self._grant.held.config)

    async def accepted(self, tenant_id: UUID, connection_id: UUID) -> None:
        del tenant_id, connection_id
        self.accepted_calls += 1

    async def deprecated(self, tenant_id: UUID, connection_id: UUID, notice: Notice) -> None:
        del tenant_id, connection_id
        self.notices.append(notice)


class Connected(msgspec.Struct, frozen=True):
    provider: ProviderClient
    target: Target
    grant: Grant
    watch: Watch


class _Broken(httpx2.ASGITransport):
    """An answer that breaks off is one of a connection that did."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return await super().handle_async_request(request)
        except AssertionError as error:
            raise httpx2.RemoteProtocolError("the answer broke off", request=request) from error


class Line:
    """To a provider, simulated or real; the calls are the product's own."""

    def __init__(
        self,
        manifest: Manifest,
        clock: Clock,
        settings: Settings,
        pool: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.manifest = manifest
        self.clock = clock
        self._egress = Egress(settings, pool=pool)
        self._endpoints = Endpoints(settings)
        self.oauth = ProviderOAuth(self._endpoints, self._egress)

    def with_grant(self, grant: Grant, manifest: Manifest | None = None) -> Connected:
        """A process of its own that goes on with that grant."""
        manifest, watch = manifest or self.manifest, self.watch()
        provider = ProviderClient(
            books=Books(manifest, grant),
            egress=self._egress,
            endpoints=self._endpoints,
            connectors=Connectors([manifest]),
            connections=grant,
            limiter=watch,
            sleep=self.clock.sleep,
        )
        return Connected(provider, Target(uuid4(), uuid4(), manifest), grant, watch)

    def watch(self) -> Watch:
        return Watch()

    async def close(self) -> None:
        await self._egress.close()


class Harness(Line):
    """One simulator, fresh."""

    def __init__(self, manifest: Manifest, make: MakesSimulator) -> None:
        clock = Clock()
        self.simulator = make(clients=[CLIENT], now=clock.now)
        pool = _Broken(app=create_sandbox([self.simulator]))  # type: ignore[arg-type]
        super().__init__(manifest, clock, Settings(sandbox_url=SANDBOX), pool)

    async def connect(
        self, account: SimulatedAccount, way: Auth | None = None, *, acting: bool = False
    ) -> Connected:
        """As a customer does; `acting`: who lets us write too. Raises NotGrantedError, and what the product
        itself would.
        """
        way = way or self.manifest.auth
        values = {**values_of(self.manifest, {}), **self._typed(way, account)}
        answer: Mapping[str, Any] = {}
        if isinstance(way, OAuth2):
            tokens = await self._signed_in(way, account, values, acting=acting)
            values |= tokens.values
            answer = tokens.answer
        else:
            key = self.simulator.oauth.make_key(account.id)
            secrets = {one.name: key for one in way.secrets}
            packed = msgspec.json.encode(secrets).decode()
            if isinstance(way, ApiKey | Basic):
                tokens = Tokens(access_token=packed, refresh_token=None, expires_at=None, scopes=None)
            else:
                tokens = await self.oauth.client_credentials(self.manifest, way, values, secrets)
                tokens = msgspec.structs.replace(tokens, refresh_token=packed)
                values |= tokens.values
        found = await self.oauth.account(self.manifest, way, tokens.access_token, values, answer)
        return self.with_grant(Grant(self.manifest, self.oauth, way, tokens, values, found))

    # -- inside -----------------------------------------------------------------------------

    def _typed(self, way: Auth, account: SimulatedAccount) -> dict[str, str]:
        """What a customer of that account would type."""
        made: dict[str, str] = {}
        for one in way.inputs:
            if one.secret:
                continue
            if one.options:
                fits = [option for option in one.options if account.host in option.values.values()]
                option = (fits or list(one.options))[0]
                made |= {one.name: option.value, **option.values}
            elif one.form == "label":
                made[one.name] = account.host.partition(".")[0] or "acme"
            else:
                made[one.name] = one.example or f"someone@{account.host or 'example.com'}"
        return made

    async def _signed_in(
        self, way: OAuth2, account: SimulatedAccount, values: Mapping[str, str], *, acting: bool
    ) -> Tokens:
        more = [scope for one in self.manifest.actions for scope in one.scopes] if acting else []
        verifier = "v" * 64
        url = self.oauth.authorize_url(
            self.manifest,
            way,
            _OURS,
            values,
            redirect_uri=REDIRECT,
            state="state",
            verifier=verifier,
            more=more,
        )
        server = self.simulator.oauth
        try:
            asked = server.begin(dict(parse_qsl(urlsplit(url).query)))
            back = server.approve(asked.id, account.id)
        except Exception as error:
            raise NotGrantedError(f"the simulator's consent page refused: {error!r}") from error
        query = dict(parse_qsl(urlsplit(back).query))
        return await self.oauth.exchange(
            self.manifest,
            way,
            _OURS,
            values,
            code=query["code"],
            redirect_uri=REDIRECT,
            verifier=verifier,
        )

    def grants(self, account: str) -> list[str]:
        """Ids of the account's live grants at the simulator."""
        known = self.simulator.oauth.grants.values()
        return [
            grant.id
            for grant in known
            if grant.account == account
            and grant.revoked_at is None
            and grant.client_id in {CLIENT.client_id, KEY_CLIENT}
        ]


Make = Callable[[], Harness]


def way_used(manifest: Manifest, grant: Grant) -> Auth:
    return way_of(manifest, grant.held.config)
