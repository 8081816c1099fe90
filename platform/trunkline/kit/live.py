"""What the suite finds out about a real account: by its own credentials, within its limits, writing nothing.

An account goes on changing while it is read, and nobody knows what is in it; so this proves less than the
simulator does, and what that cannot prove: that the manifest is true.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx2
import msgspec

from trunkline.connections.schemas import Tokens
from trunkline.kernel.settings import Settings
from trunkline.kit.copying import Copy
from trunkline.kit.harness import Clock, Connected, Grant, Line, Watch
from trunkline.kit.suite import ExemptError, FailedError, Result, many, must, tried
from trunkline.recipes.document import flatten, laid_out
from trunkline.resilience.budgets import Budget
from trunkline.resilience.limiter import Admission
from trunkline.runs.errors import ProviderError
from trunkline.sdk.credentials import values_of
from trunkline.sdk.manifest import ApiKey, Basic, ClientCredentials, Manifest, Rate, StreamSpec

PAGES: Final = 5
"""Of a list that are read unless more are asked for."""
PATIENCE: Final = 1800.0
"""Seconds for a step."""
SHARE: Final = 2
"""Of a limit at most one part in so many is used: the account is somebody's."""


class CredentialsError(ValueError):
    """They do not fit the manifest; says which is missing and never what was given."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a customer of that account would type, or where they sign in, the token that came of it."""

    way: str = ""
    """Key of the way to give access; the usual one without."""
    inputs: dict[str, str] = {}
    access_token: str = ""
    values: dict[str, str] = {}
    """What came with the token: instance_url."""

    def __repr__(self) -> str:
        return "Credentials()"


def read_credentials(path: Path) -> Credentials:
    """Of a JSON file. Raises CredentialsError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except OSError as error:
        raise CredentialsError(f"{path}: {error.strerror}.") from error
    except msgspec.ValidationError as error:
        raise CredentialsError(f"{path}: {error}.") from error
    except msgspec.DecodeError as error:
        raise CredentialsError(f"{path}: it is no JSON.") from error


class Wall(Clock):
    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        await asyncio.sleep(seconds)


class Paced(Watch):
    """Calls come no faster than a part of each declared limit allows."""

    def __init__(self, rates: Sequence[Rate], clock: Wall) -> None:
        super().__init__()
        self._pause = SHARE * max((one.seconds / one.requests for one in rates), default=0.0)
        self._clock = clock
        self._next = 0.0

    async def acquire(self, budget: Budget, *, interactive: bool = False) -> Admission:
        del budget, interactive
        moment = time.monotonic()
        await self._clock.sleep(max(0.0, self._next - moment))
        self._next = max(moment, self._next) + self._pause
        return Admission()


class Live(Line):
    def __init__(
        self, manifest: Manifest, settings: Settings, pool: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        super().__init__(manifest, Wall(), settings, pool)
        self._watch = Paced(manifest.rates, Wall())

    def watch(self) -> Watch:
        return self._watch

    async def connect(self, given: Credentials) -> Connected:
        """Raises CredentialsError, and what the product itself would."""
        way = self.manifest.way(given.way)
        missing = [
            one.name
            for one in way.inputs
            if not given.inputs.get(one.name) and (one.secret or not given.values)
        ]
        if missing:
            raise CredentialsError(f"inputs: {', '.join(missing)} is not given.")
        values = {**values_of(self.manifest, {}), **given.values}
        for one in way.inputs:
            if one.secret or one.name not in given.inputs:
                continue
            values[one.name] = given.inputs[one.name]
            chosen = next((part for part in one.options if part.value == values[one.name]), None)
            values |= chosen.values if chosen else {}
        secrets = {one.name: given.inputs[one.name] for one in way.secrets}
        tokens = Tokens(access_token=given.access_token, refresh_token=None, expires_at=None, scopes=None)
        if isinstance(way, ApiKey | Basic):
            packed = msgspec.json.encode(secrets).decode()
            tokens = msgspec.structs.replace(tokens, access_token=packed)
        elif isinstance(way, ClientCredentials):
            tokens = await self.oauth.client_credentials(self.manifest, way, values, secrets)
            values |= tokens.values
        elif not given.access_token:
            raise CredentialsError("access_token: customers sign in there; give the token that came of it.")
        found = await self.oauth.account(self.manifest, way, tokens.access_token, values, None)
        return self.with_grant(Grant(self.manifest, self.oauth, way, tokens, values, found))


class _Account:
    """One that is looked at."""

    def __init__(self, live: Live, given: Credentials, pages: int) -> None:
        self.live, self.given, self.pages = live, given, pages
        self.connected: Connected | None = None
        self.copies: dict[str, tuple[Copy, bool]] = {}
        """By stream, and whether it was read to its end."""

    @property
    def reached(self) -> Connected:
        if self.connected is None:
            raise ExemptError("there is no access")
        return self.connected

    def streams(self) -> list[tuple[StreamSpec, Copy, bool]]:
        if not self.copies:
            raise ExemptError("nothing was read")
        return [(copy.spec, copy, whole) for copy, whole in self.copies.values()]

    # -- what is tried, in this order -------------------------------------------------------

    async def access(self) -> str:
        self.connected = await self.live.connect(self.given)
        account = self.connected.grant.account
        must(account.id, "the account has no id.")
        return f"account {account.id}"

    async def fields(self) -> str:
        provider, target = self.reached.provider, self.reached.target
        said = [
            f"{spec.name} {len(await provider.discover(target.tenant_id, target.connection_id, spec.name))}"
            for spec in self.live.manifest.streams
            if spec.discovery is not None
        ]
        if not said:
            raise ExemptError("the provider lists no fields")
        return ", ".join(said)

    async def read(self) -> str:
        said, missing = [], []
        for spec in self.live.manifest.streams:
            copy = Copy(self.live, self.reached, spec, self.pages)
            whole = await copy.run(stop_after=self.pages) is not None
            self.copies[spec.name] = copy, whole
            said.append(
                f"{spec.name} {len(copy.records)} in {many(copy.pages, 'page')}{'' if whole else ' and more'}"
            )
            given = [flatten(laid_out(one, spec.values)) for one in copy.documents().values()]
            names = {name for values in given for name in values}
            missing += [f"{spec.name}.{name}" for name in spec.field_names if given and name not in names]
        must(not missing, f"{'; '.join(said)}. No record has {', '.join(missing[:8])}.")
        return "; ".join(said)

    async def resume(self) -> str:
        said = []
        for spec, first, whole in self.streams():
            if not whole or first.pages < 2:
                continue
            second = Copy(self.live, self.reached, spec, self.pages)
            if await second.run(stop_after=1) is None and second.last is not None:
                second.use(self.live.with_grant(self.reached.grant))
                await second.go_on(second.last)
            lost = sorted(first.records.keys() - second.records.keys())
            must(not lost, f"{spec.name}: {lost[:5]} did not come again. Were they deleted meanwhile?")
            said.append(spec.name)
        if not said:
            raise ExemptError(f"no list ended within 2 to {self.pages} pages")
        return ", ".join(said)

    async def changes(self) -> str:
        said = []
        for spec, copy, whole in self.streams():
            if whole and (spec.incremental is not None or spec.parent is not None) and copy.records:
                done = await copy.run(stop_after=self.pages)
                must(done is None or done.mode == "incremental", f"{spec.name}: everything was read again.")
                said.append(f"{spec.name} {copy.entries} of {len(copy.records)}")
        if not said:
            raise ExemptError("no stream with changes was read to its end")
        return "entries read: " + ", ".join(said)

    async def refused(self) -> str:
        grant = self.reached.grant
        held = grant.held.value
        if isinstance(grant.way, ApiKey | Basic):
            secrets = msgspec.json.decode(held, type=dict[str, str])
            spoilt = msgspec.json.encode({name: _spoilt(text) for name, text in secrets.items()}).decode()
        else:
            spoilt = _spoilt(held)
        tokens = msgspec.structs.replace(grant.tokens, access_token=spoilt)
        values = values_of(self.live.manifest, grant.held.config)
        other = Grant(self.live.manifest, self.live.oauth, grant.way, tokens, values, grant.account)
        spec = next(one for one in self.live.manifest.streams if one.parent is None)
        try:
            await Copy(self.live, self.live.with_grant(other), spec).run(stop_after=1)
        except ProviderError as error:
            found = error.failure
            must(found.action in {"reconnect", "refresh"}, f"{spec.name}: it is taken for {found.code}.")
            return f"found out as {found.code}"
        raise FailedError(f"{spec.name}: credentials whose end is another are taken.")


def _spoilt(secret: str) -> str:
    """Of the same form."""
    return secret[:-4] + ("0000" if not secret.endswith("0000") else "1111")


async def look(
    manifest: Manifest,
    given: Credentials,
    settings: Settings,
    *,
    pages: int = PAGES,
    pool: httpx2.AsyncBaseTransport | None = None,
) -> list[Result]:
    """Each step of a look at the account, in order; what needs an earlier one does not apply without it."""
    live = Live(manifest, settings, pool)
    account = _Account(live, given, pages)
    steps: list[tuple[str, str, Callable[[], Awaitable[str]]]] = [
        ("identify", "The credentials give access, and the account says who it is", account.access),
        ("discover", "An account's own fields are listed", account.fields),
        ("read", "Each stream gives records, with the fields that it promises", account.read),
        ("resume", "A pass that was broken off goes on where it stood", account.resume),
        ("incremental", "What changed is asked for without reading everything again", account.changes),
        ("revoked", "Credentials that do not fit are refused, and known as such", account.refused),
    ]
    results: list[Result] = []
    try:
        for name, title, step in steps:
            began = time.monotonic()
            state, detail = await tried(step, PATIENCE)
            spent = round(time.monotonic() - began, 2)
            results.append(Result(rule=name, title=title, state=state, detail=detail, seconds=spent))
    finally:
        await live.close()
    return results
