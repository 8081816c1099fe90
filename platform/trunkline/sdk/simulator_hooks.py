"""Webhooks of a simulated provider: who is to be told, of what, and how often it tries."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import msgspec

from trunkline.sdk.simulator_store import LedgerEntry

Address = Callable[[], str]
"""Where an app's webhooks go, asked anew for each delivery; empty: nowhere."""


class Webhook(msgspec.Struct, kw_only=True):
    """One that somebody registered in an account, or an app's own (`account` empty)."""

    id: str
    account: str
    url: str
    secret: str
    events: list[str] = []
    """What it is told of, in the provider's words."""
    shown: dict[str, Any] = {}
    """The rest of what the provider's API says of it."""
    active: bool = True
    failed: int = 0
    """Deliveries in a row that were given up."""


class Habit(msgspec.Struct, frozen=True, kw_only=True):
    """`answer_seconds`: how long an answer is waited for; `tries`: deliveries in all."""

    answer_seconds: float = 5.0
    tries: int = 10
    again: frozenset[int] = frozenset()
    """Statuses that are tried again, besides no answer at all; empty: every one that is no success."""
    most: int = 1
    """Events of one request."""
    head: bool = False
    """An address is tried by HEAD first."""


class Teller(Protocol):
    """How a provider tells of changes."""

    habit: Habit

    def hooks(self, account: str) -> Sequence[Webhook]:
        """Who is told of changes in that account."""

    def events(self, entry: LedgerEntry, hook: Webhook) -> list[dict[str, Any]]: ...

    def tried(self, events: Sequence[dict[str, Any]], attempt: int) -> Any:
        """The body of that attempt, counted from 0."""

    def sign(self, hook: Webhook, body: bytes, at: float) -> dict[str, str]: ...

    def ended(self, hook: Webhook, *, taken: bool) -> None:
        """A delivery was taken, or given up."""


class WebhookBook:
    """What is registered at a provider, of all accounts."""

    def __init__(self) -> None:
        self._held: dict[str, Webhook] = {}
        self.revision = 0

    def add(self, hook: Webhook) -> Webhook:
        self._held[hook.id] = hook
        self.revision += 1
        return hook

    def of(self, account: str) -> list[Webhook]:
        return [hook for hook in self._held.values() if hook.account == account]

    def get(self, account: str, identity: str) -> Webhook | None:
        found = self._held.get(identity)
        return found if found is not None and found.account == account else None

    def remove(self, identity: str) -> None:
        """As a person of the account does, or the API."""
        self._held.pop(identity, None)
        self.revision += 1

    def dump(self) -> list[Webhook]:
        return list(self._held.values())

    def load(self, hooks: Iterable[Webhook]) -> None:
        self._held = {hook.id: hook for hook in hooks}


class AccountTeller:
    """The part that every provider shares whose accounts register webhooks of their own."""

    def __init__(self, book: WebhookBook) -> None:
        self._book = book

    def hooks(self, account: str) -> Sequence[Webhook]:
        return [hook for hook in self._book.of(account) if hook.active]

    def tried(self, events: Sequence[dict[str, Any]], attempt: int) -> Any:
        del attempt
        return events[0]

    def ended(self, hook: Webhook, *, taken: bool) -> None:
        hook.failed = 0 if taken else hook.failed + 1


class AppTeller:
    """The part of those whose apps have one address for all accounts, entered in the app's settings."""

    def __init__(self, secret: str, address: Address) -> None:
        self._secret = secret
        self._address = address

    def hooks(self, account: str) -> Sequence[Webhook]:
        del account
        url = self._address()
        return [Webhook(id="app", account="", url=url, secret=self._secret)] if url else []

    def ended(self, hook: Webhook, *, taken: bool) -> None: ...
