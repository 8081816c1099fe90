"""How a simulator made of a manifest tells of changes: by events in the shape that `[webhooks]` reads."""

import copy
import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from trunkline.sdk.captured_events import Captured
from trunkline.sdk.pointers import point
from trunkline.sdk.signatures import resolve
from trunkline.sdk.simulator_fixture_forms import like, moment, put
from trunkline.sdk.simulator_fixture_played import Played
from trunkline.sdk.simulator_hooks import AccountTeller, Address, Habit, Webhook, WebhookBook
from trunkline.sdk.simulator_store import Change, LedgerEntry
from trunkline.sdk.webhooks import Event, Webhooks
from trunkline.webhooks.events import UnparsableError, document, split
from trunkline.webhooks.signatures import Scheme

_GONE: Final = frozenset({"archived", "purged"})
_WORD: Final[Mapping[Change, str]] = {
    "created": "created",
    "restored": "created",
    "updated": "updated",
    "archived": "deleted",
    "purged": "deleted",
}
_SAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "created": ("creat", "added", "new", "opened", "made"),
    "updated": ("updat", "chang", "edit", "modif"),
    "deleted": ("delet", "remov", "archiv", "trash", "purg", "destroy"),
}
"""How words begin by which the last part of an event's type says what the change was."""


class FixtureHooks(AccountTeller):
    """To the addresses that people entered in an account, or to the app's own, as the manifest says."""

    habit = Habit()

    def __init__(
        self,
        played: Played,
        hooks: Webhooks,
        book: WebhookBook,
        secret: str,
        address: Address,
        examples: Sequence[Captured] = (),
    ) -> None:
        """`examples`: what the provider delivered, whose form its events have."""
        super().__init__(book)
        self._played = played
        self._spec = hooks
        self._secret, self._address = secret, address
        self._examples = _by_type(hooks, examples)

    def hooks(self, account: str) -> Sequence[Webhook]:
        if self._spec.owner == "connection":
            return super().hooks(account)
        url = self._address()
        return [Webhook(id="app", account="", url=url, secret=self._secret)] if url else []

    def events(self, entry: LedgerEntry, hook: Webhook) -> list[dict[str, Any]]:
        """Of those that it was registered for; one that a person entered hears everything."""
        if self._played.spec_of(entry.object_type) is None:
            return []
        for kind in self._fitting(entry):
            name = self._named(kind, _WORD[entry.change])
            made = self._event(entry, kind, name)
            if self._spec.kind(name, made) is kind:
                wanted = not hook.events or any(asked in {name, kind.type, "*"} for asked in hook.events)
                return [made] if wanted else []
        return []

    def tried(self, events: Sequence[dict[str, Any]], attempt: int) -> Any:
        del attempt
        if not self._spec.events:
            return events[0]
        body: dict[str, Any] = {}
        put(body, self._spec.events, list(events))
        return body

    def sign(self, hook: Webhook, body: bytes, at: float) -> dict[str, str]:
        scheme = Scheme(resolve(self._spec.signatures[0]))
        # the same each time that it is tried, as a delivery's id is
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(body).hexdigest()))
        key = scheme.key(hook.secret)
        return scheme.sign(key, method="POST", url=hook.url, body=body, at=at, identity=identity)

    def _named(self, kind: Event, word: str) -> str:
        """A name that the provider is known to use, where the manifest leaves it open."""
        if not kind.type.endswith("*"):
            return kind.type
        registered = self._spec.registration.events if self._spec.registration else ()
        fitting = [one for one in (*registered, *self._examples) if "*" not in one and kind.fits(one)]
        return next((one for one in fitting if _meaning(one) == word), f"{kind.type[:-1]}{word}")

    def _fitting(self, entry: LedgerEntry) -> list[Event]:
        """Kinds of event that may tell of such a change, the plainest first; none that says another one."""
        gone = entry.change in _GONE
        word = _WORD[entry.change]
        ranked: list[tuple[bool, bool, int, Event]] = []
        for kind in self._spec.kinds:
            if kind.stream != entry.object_type or (kind.deleted and not gone):
                continue
            means = _meaning(kind.type)
            flagged = gone and not kind.deleted and self._flagged(entry.object_type)
            if means not in {None, word, "updated" if flagged else word} and not kind.deleted:
                continue
            ranked.append((kind.deleted != gone, means != word, len(ranked), kind))
        return [kind for *_, kind in sorted(ranked, key=lambda one: one[:3])]

    def _flagged(self, stream: str) -> bool:
        """Whether what is deleted there is a record that says so."""
        spec = self._played.spec_of(stream)
        return spec is not None and spec.deleted is not None

    def _event(self, entry: LedgerEntry, kind: Event, name: str) -> dict[str, Any]:
        identity = self._played.public_id(entry.object_type, entry.object_id)
        spec = self._played.spec_of(entry.object_type)
        assert spec is not None
        own = point(self._played.told(entry), spec.id)
        alike = (self._examples.get(one) for one in (name, kind.type, _around(kind)))
        made: dict[str, Any] = copy.deepcopy(next((one for one in alike if one), {}))
        if kind.document is not None:
            document = self._played.told(entry)
            if kind.document:
                put(made, kind.document, document)
            else:
                made |= document
        for pointer in kind.ids:
            if kind.document is None or not pointer.startswith(kind.document):
                before = point(made, pointer)
                if isinstance(before, list):
                    put(made, pointer, [like(next(iter(before), own), identity)])
                else:
                    put(made, pointer, like(own if before is None else before, identity))
        types = self._spec.types
        for pointer, part in zip(types, name.split(".", len(types) - 1), strict=False):
            put(made, pointer, part)
        for number, pointer in enumerate(self._spec.id):
            put(made, pointer, f"evt_{entry.sequence}" if number == 0 else str(entry.sequence))
        if self._spec.at:
            put(made, self._spec.at, _time(point(made, self._spec.at), entry.at))
        if self._spec.account:
            put(made, self._spec.account, like(point(made, self._spec.account), entry.account))
        if kind.when is not None:
            put(made, kind.when.pointer, kind.when.equals[0])
        return made


def _around(kind: Event) -> str:
    """Where what surrounds an event's record is kept, for kinds of which none was captured."""
    return f"*{kind.stream}"


def _without(whole: dict[str, Any], pointer: str | None) -> dict[str, Any]:
    made = copy.deepcopy(whole)
    parents, _, last = (pointer or "").rpartition(".")
    holder = point(made, parents)
    if isinstance(holder, dict):
        holder.pop(last, None)
    return made


def _meaning(kind: str) -> str | None:
    said = re.split(r"[_:-]", kind.rpartition(".")[2].lower())
    return next((word for word, stems in _SAYS.items() if any(one.startswith(stems) for one in said)), None)


def _time(before: Any, at: datetime) -> Any:
    return at.isoformat().replace("+00:00", "Z") if before is None else moment(before, at)


def _by_type(hooks: Webhooks, examples: Sequence[Captured]) -> dict[str, dict[str, Any]]:
    """By their type, and by the kind of the manifest that they fit. What cannot be read, the suite tells."""
    found: dict[str, dict[str, Any]] = {}
    for one in examples:
        try:
            events = split(hooks, one.body, one.name)
        except UnparsableError:
            continue
        for event in events:
            whole = document(event.raw)
            kind = hooks.kind(event.type, whole)
            found.setdefault(event.type, whole)
            if kind is not None:
                found.setdefault(kind.type, whole)
                found.setdefault(_around(kind), _without(whole, kind.document))
    return found
