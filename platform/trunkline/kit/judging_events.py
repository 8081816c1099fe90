"""What webhooks tell, held to what the manifest and its contract say: read as the product itself reads it."""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from trunkline.kernel.clock import now
from trunkline.sdk.captured_events import Captured
from trunkline.sdk.contracts import FILE, Contract
from trunkline.sdk.manifest import Manifest, point
from trunkline.sdk.signatures import resolve
from trunkline.sdk.webhooks import Webhooks
from trunkline.webhooks.event_repository import Queued
from trunkline.webhooks.events import Event, UnparsableError, document, split
from trunkline.webhooks.reading import Told, told
from trunkline.webhooks.signatures import Delivery, Scheme, verify_any

SHOWN: Final = 6
"""Of what is wrong; the rest is likely to be more of the same."""


class Judge:
    """`wrong`: sentences, each once. `kinds`: the manifest's patterns that were met; `read`: identities of
    the events that they read.
    """

    def __init__(self, manifest: Manifest, contract: Contract | None) -> None:
        assert manifest.webhooks is not None
        self._manifest = manifest
        self._hooks: Webhooks = manifest.webhooks
        self._contract = contract
        self._schemes = [Scheme(resolve(one)) for one in manifest.webhooks.signatures]
        self.wrong: list[str] = []
        self.kinds: set[str] = set()
        self.read: set[bytes] = set()

    def say(self, sentence: str) -> None:
        if sentence not in self.wrong:
            self.wrong.append(sentence)

    def proven(self, name: str, delivery: Delivery, secret: str, at: float) -> None:
        try:
            keys = [(scheme, [scheme.key(secret)]) for scheme in self._schemes]
        except ValueError as error:
            self.say(f"{name}: {error}.")
            return
        verdict = verify_any(keys, delivery, at)
        if not verdict.ok:
            self.say(f"{name}: its signature is {_SAID[verdict.outcome]}.")

    def events(
        self, name: str, body: bytes, headers: Mapping[str, str] | None
    ) -> list[tuple[Event, Told | None]]:
        """What the product would make of a body. None: no kind of the manifest reads it."""
        header = self._hooks.id_header
        identity = (headers or {}).get(header.lower()) if header else None
        if header and headers is None:  # captured without them
            identity = name
        try:
            parts = split(self._hooks, body, identity)
            return [(part, self._told(name, part)) for part in parts]
        except UnparsableError as error:
            self.say(f"{name}: it cannot be read: {error}.")
            return []

    def _told(self, name: str, event: Event) -> Told | None:
        found = document(event.raw)
        if self._hooks.kind(event.type, found) is None:
            return None
        self._hold(name, event.type, found)
        one = told(self._hooks, _queued(event), found)
        if one is None:
            return None
        self.read.add(event.identity)
        self.kinds.add(one.rule.type)
        if self._hooks.at and event.occurred_at is None:
            self.say(f"{name}: {event.type}: no time is at {self._hooks.at}.")
        self._whole(name, event, one)
        return one

    def _hold(self, name: str, kind: str, found: Any) -> None:
        if self._contract is None:
            return
        differs = self._contract.deviations(kind, found)
        if differs is None:
            self.say(f"{name}: {FILE} says nothing of {kind}.")
        elif differs:
            self.say(f"{name}: {kind} is not as {FILE} says: {'; '.join(one.words for one in differs)}.")

    def _whole(self, name: str, event: Event, one: Told) -> None:
        """The record that an event brings is the one that it names."""
        spec = self._manifest.stream(one.rule.stream)
        if spec is None or one.rule.document is None or one.rule.deleted:
            return
        held = point(one.document, spec.id) if one.document is not None else None
        if str(held) not in one.ids:
            self.say(
                f"{name}: {event.type}: the record at {one.rule.document or 'the event itself'!r} has the id "
                f"{held!r}, and the event names {', '.join(one.ids)}."
            )

    def recorded(self, one: Captured) -> None:
        """A delivery as the provider made it."""
        name = f"fixtures/events/{one.name}"
        if one.signed:
            self.proven(
                name, Delivery("POST", one.url, one.headers, one.body), one.secret, self._arrived(one)
            )
        self.events(name, one.body, one.headers or None)

    def _arrived(self, one: Captured) -> float:
        """Where it is not said when it came, it came at once."""
        if one.at is not None:
            return one.at
        for scheme in self._schemes:
            signed = scheme.signed_at(one.headers) if scheme.carried(one.headers) else None
            if signed is not None:
                return signed
        return now().timestamp()


_SAID: Final = {
    "missing": "not there",
    "malformed": "not in the form that the manifest says",
    "stale": "of another time than it arrived at",
    "mismatch": "another than the manifest makes of body and secret",
}


def _queued(event: Event) -> Queued:
    return Queued(
        id=UUID(int=0),
        type=event.type,
        body=event.raw,
        key_version=0,
        occurred_at=event.occurred_at,
        received_at=now(),
        label="",
        tries=0,
        attempts=0,
        replay_id=None,
    )


def lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
