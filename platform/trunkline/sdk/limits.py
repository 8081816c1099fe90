"""What a manifest says of a provider's limits and of its failures."""

from typing import Annotated, Literal

import msgspec


class RateHeaders(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answer headers that tell how a limit stands: a name, or "Name:key" for one of "key=value; key=value".

    A limit without a `reset` is taken to be a rolling one.
    """

    remaining: str | None = None
    used: str | None = None
    """In the place of the two: what is used and the limit, as "907/15000"."""
    limit: str | None = None
    reset: str | None = None
    """Seconds until the provider counts anew, or the moment in Unix seconds (a number above 10^9)."""
    window_ms: str | None = None
    """Milliseconds that `limit` is for; the rate's own where there is none."""


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `requests` in `seconds`. `bucket` names what counts together; "*" is every call."""

    bucket: str
    requests: Annotated[int, msgspec.Meta(ge=1, le=10**9)]
    seconds: Annotated[float, msgspec.Meta(gt=0, le=31 * 86_400)]
    counts: Literal["requests", "cost"] = "requests"
    """What a call takes of it: one, or its own `cost` (then `requests` are tokens, credits or the like)."""
    scope: Literal["connection", "account", "client"] = "connection"
    """Who shares it: one connection, all connections of one OAuth client to the same account at the provider,
    or all connections of one OAuth client."""
    reserve: Annotated[float, msgspec.Meta(ge=0, le=0.25)] = 0.1
    """Share of `requests` that background work leaves to people who wait and to webhooks."""
    headers: RateHeaders | None = None


class FailureRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's own signs, tried in order before the general table; all that are given must fit."""

    status: int | None = None
    equals: dict[str, str] = {}
    """Pointer -> value in the body; "*" for any but null."""
    headers: dict[str, str] = {}
    """Name -> value of a header of the answer; "*" for any."""
    text: str | None = None
    """Part of the body, for answers that are no JSON."""
    failure: str
    """Code of the failure table (`trunkline.resilience`), or "success" for what is none."""

    @property
    def signed(self) -> bool:
        """Whether it asks for more than a status."""
        return bool(self.equals or self.headers or self.text)
