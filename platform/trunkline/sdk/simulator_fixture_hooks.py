"""How a simulator made of a manifest tells of changes: by events in the shape that `[webhooks]` reads."""

import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from trunkline.sdk.signatures import resolve
from trunkline.sdk.simulator_fixture_forms import put
from trunkline.sdk.simulator_hooks import AccountTeller, Address, Habit, Webhook, WebhookBook
from trunkline.sdk.simulator_store import Change, LedgerEntry
from trunkline.sdk.streams import StreamSpec
from trunkline.sdk.webhooks import Event, Webhooks
from trunkline.webhooks.signatures import Scheme

_GONE = frozenset({"archived", "purged"})


class Played(Protocol):
    """Of `simulator_fixtures.FixtureSimulator`."""

    def told(self, entry: LedgerEntry) -> dict[str, Any]:
        """The record after the change, as it is read."""

    def public_id(self, object_type: str, object_id: str) -> str: ...
    def spec_of(self, name: str) -> StreamSpec | None: ...


class FixtureHooks(AccountTeller):
    """To the addresses that people entered in an account, or to the app's own, as the manifest says."""

    habit = Habit()

    def __init__(
        self, played: Played, hooks: Webhooks, book: WebhookBook, secret: str, address: Address
    ) -> None:
        super().__init__(book)
        self._played = played
        self._spec = hooks
        self._secret, self._address = secret, address

    def hooks(self, account: str) -> Sequence[Webhook]:
        if self._spec.owner == "connection":
            return super().hooks(account)
        url = self._address()
        return [Webhook(id="app", account="", url=url, secret=self._secret)] if url else []

    def events(self, entry: LedgerEntry, hook: Webhook) -> list[dict[str, Any]]:
        del hook
        stream = self._played.spec_of(entry.object_type)
        found = None if stream is None else self._kind(entry)
        if stream is None or found is None:
            return []
        kind, name = found
        identity = self._played.public_id(entry.object_type, entry.object_id)
        made: dict[str, Any] = {}
        if kind.document is not None:
            document = self._played.told(entry)
            if kind.document:
                put(made, kind.document, document)
            else:
                made |= document
        for pointer in kind.ids:
            if kind.document is None or not pointer.startswith(kind.document):
                put(made, pointer, identity)
        types = self._spec.types
        for pointer, part in zip(types, name.split(".", len(types) - 1), strict=False):
            put(made, pointer, part)
        for pointer in self._spec.id:
            put(made, pointer, f"evt_{entry.sequence}")
        if self._spec.at:
            put(made, self._spec.at, entry.at.isoformat().replace("+00:00", "Z"))
        if self._spec.account:
            put(made, self._spec.account, entry.account)
        return [made]

    def tried(self, events: Sequence[dict[str, Any]], attempt: int) -> Any:
        del attempt
        if not self._spec.events:
            return events[0]
        body: dict[str, Any] = {}
        put(body, self._spec.events, list(events))
        return body

    def sign(self, hook: Webhook, body: bytes, at: float) -> dict[str, str]:
        scheme = Scheme(resolve(self._spec.signatures[0]))
        return scheme.sign(
            scheme.key(hook.secret), method="POST", url=hook.url, body=body, at=at, identity=str(uuid.uuid4())
        )

    def _kind(self, entry: LedgerEntry) -> tuple[Event, str] | None:
        """What the manifest makes of such a change, and a name that means it; None: it hears of none."""
        words: dict[Change, str] = {"created": "created", "restored": "created", "updated": "updated"}
        word = words.get(entry.change, "deleted")
        of_stream = [one for one in self._spec.kinds if one.stream == entry.object_type]
        for kind in sorted(of_stream, key=lambda one: one.deleted != (entry.change in _GONE)):
            if kind.deleted and entry.change not in _GONE:
                continue
            name = f"{kind.type[:-1]}{word}" if kind.type.endswith("*") else kind.type
            if self._spec.kind(name) is kind:
                return kind, name
        return None
