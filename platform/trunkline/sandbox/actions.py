"""What the control page and the control API can do to a simulator; both say the same sentences."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from trunkline.sdk.simulator import ObjectType, Simulator
from trunkline.sdk.simulator_faults import FAULT_WORDS, Fault, FaultKind, FaultRefusedError
from trunkline.sdk.simulator_hooks import Webhook
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import UnknownObjectError

MAX_BULK = 1000


class ControlError(ValueError):
    """A request to the control that cannot be done; the message says what to do."""


class Actions:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._store = simulator.store

    def create(
        self, account: str, object_type: str, count: int = 1, values: Mapping[str, Any] | None = None
    ) -> list[str]:
        """Ids of the new records; what is not given is as in a sample: providers fill in what they need."""
        self._known(account, object_type)
        self._fits(object_type, values)
        _bounded(count)
        made = []
        for _ in range(count):
            chosen = {**self._sample(account, object_type, values or {}), **(values or {})}
            made.append(self._public(object_type, self._store.create(account, object_type, chosen).id))
        return made

    def _sample(self, account: str, object_type: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What belongs to another object belongs to the newest, unless it is given."""
        values = self._simulator.sample(object_type, len(self._store.ledger) + 1)
        if object_type not in self._simulator.belongs:
            return values
        kind, name = self._simulator.belongs[object_type]
        if name in given:
            return values
        there = [int(self._simulator.own_id(kind, one)) for one in self._simulator.truth(account, kind) or ()]
        if not there:
            raise ControlError(f"There are no {kind} yet that it could belong to.")
        return {**values, name: type(values[name])(max(there))}

    def change(
        self,
        account: str,
        object_type: str,
        count: int = 1,
        ids: Sequence[str] = (),
        values: Mapping[str, Any] | None = None,
    ) -> list[str]:
        """Ids of the records that are different now: the named ones, or any `count` live ones."""
        chosen = self._chosen(account, object_type, count, ids)
        self._fits(object_type, values)
        changed = []
        for object_id in chosen:
            before = len(self._store.ledger)
            item = self._store.get(account, object_type, object_id)
            new = values or self._simulator.touch(object_type, item, before + 1)
            self._store.update(account, object_type, object_id, new)
            if len(self._store.ledger) > before:
                changed.append(self._public(object_type, object_id))
        return changed

    def archive(self, account: str, object_type: str, count: int = 1, ids: Sequence[str] = ()) -> list[str]:
        chosen = self._chosen(account, object_type, count, ids)
        for object_id in chosen:
            self._store.archive(account, object_type, object_id)
        return [self._public(object_type, object_id) for object_id in chosen]

    def change_field(self, object_type: str, name: str, to: str) -> None:
        """`to`: the type that the field has from now on; empty: it is gone."""
        kind, types = self.type_of(object_type), self._simulator.field_types
        if not types:
            raise ControlError(f"Fields of {self._simulator.title} stay as they are.")
        if to and to not in types:
            raise ControlError(f"type must be one of {', '.join(types)}, or empty: then the field goes.")
        try:
            self._simulator.change_field(object_type, name, to)
        except LookupError:
            raise ControlError(f"{kind.plural} have no field {name[:50]!r}.") from None

    def make_key(self, account: str, scopes: Sequence[str] = ()) -> str:
        if not self._simulator.keys:
            raise ControlError("Accounts of this provider have no API keys.")
        self._account(account)
        unknown = [scope[:50] for scope in scopes if scope not in self._simulator.scopes]
        if unknown:
            raise ControlError(f"There is no scope {', '.join(unknown)}.")
        return self._simulator.oauth.make_key(account, scopes)

    def add_webhook(self, account: str, url: str, secret: str) -> Webhook:
        """As when somebody of the account enters an address in its settings; a provider that makes the secret
        itself takes none.
        """
        self._account(account)
        if not self._simulator.takes_addresses:
            raise ControlError("No address can be entered here by hand.")
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc or len(url) > 2000:
            raise ControlError("Give the whole address, from http:// or https:// on.")
        made = self._simulator.make_secret()
        if made is not None:
            secret = made
        elif not 8 <= len(secret) <= 200 or not secret.isascii() or not secret.isprintable():
            raise ControlError("Give the secret as it was shown, 8 to 200 signs.")
        book = self._simulator.webhooks
        for one in [one for one in book.of(account) if one.url == url]:
            book.remove(one.id)
        return book.add(Webhook(id=secrets.token_hex(8), account=account, url=url, secret=secret))

    def as_before(self, account: str, object_type: str, object_id: str, name: str, text: str) -> Any:
        """What a person typed, as the kind of value that the record's field holds now."""
        chosen = self._chosen(account, object_type, 1, [object_id])
        before = self._store.get(account, object_type, chosen[0]).values.get(name)
        if not text or before is None or isinstance(before, str):
            return text or None
        try:
            return msgspec.json.decode(text, type=type(before))
        except msgspec.DecodeError as error:
            raise ControlError(f"{name[:50]} holds JSON of another kind: {error}") from error

    def revoke(self, grant_id: str) -> None:
        if not self._simulator.oauth.revoke_grant(grant_id):
            raise ControlError("There is no such grant, or it was already revoked.")

    def expire(self, grant_id: str | None = None) -> int:
        return self._simulator.oauth.expire_access(grant_id)

    def trouble(
        self,
        kind: str,
        *,
        requests: int | None = None,
        seconds: float | None = None,
        path: str = "",
        latency_ms: int = 0,
    ) -> Fault:
        known: FaultKind | None = next((item for item in FAULT_WORDS if item == kind), None)
        if known is None:
            raise ControlError(f"kind must be one of {', '.join(FAULT_WORDS)}.")
        try:
            return self._simulator.faults.add(
                known, requests=requests, seconds=seconds, path=path, latency_ms=latency_ms
            )
        except FaultRefusedError as error:
            raise ControlError(str(error)) from error

    def register(self, client: OAuthClient) -> None:
        if not client.client_id or not client.client_secret or not client.redirect_uris:
            raise ControlError("A client needs client_id, client_secret and at least one redirect URI.")
        self._simulator.oauth.register(client)

    def setting(self, name: str, value: int) -> None:
        try:
            self._simulator.change_setting(name, value)
        except KeyError:
            known = ", ".join(item.name for item in self._simulator.settings())
            raise ControlError(f"There is no setting of this name; known: {known}.") from None
        except ValueError as error:
            raise ControlError(str(error)) from error

    def type_of(self, object_type: str) -> ObjectType:
        for item in self._simulator.object_types:
            if item.name == object_type:
                return item
        known = ", ".join(item.name for item in self._simulator.object_types)
        raise ControlError(f"object must be one of {known}.")

    def _known(self, account: str, object_type: str) -> None:
        self._account(account)
        self.type_of(object_type)

    def _account(self, account: str) -> None:
        if account not in {item.id for item in self._simulator.accounts}:
            known = ", ".join(item.id for item in self._simulator.accounts)
            raise ControlError(f"account must be one of {known}.")

    def _public(self, object_type: str, object_id: str) -> str:
        return self._simulator.public_id(object_type, object_id)

    def _fits(self, object_type: str, values: Mapping[str, Any] | None) -> None:
        known = self._simulator.fields(object_type)
        for name in values or ():
            if known and name not in known:
                raise ControlError(f"{object_type} have no field {name[:50]!r} that can be set.")

    def _chosen(self, account: str, object_type: str, count: int, ids: Sequence[str]) -> list[str]:
        self._known(account, object_type)
        if ids:
            _bounded(len(ids))
            own = [self._simulator.own_id(object_type, object_id) for object_id in ids]
            for object_id in own:
                try:
                    item = self._store.get(account, object_type, object_id)
                except UnknownObjectError:
                    raise ControlError(
                        f"This account has no {object_type} record {object_id[:50]}."
                    ) from None
                if item.archived_at is not None:
                    raise ControlError(f"Record {object_id[:50]} is archived.")
            return list(dict.fromkeys(own))
        _bounded(count)
        live = [item.id for item in self._store.walk(account, object_type)]
        if len(live) < count:
            raise ControlError(f"This account has only {len(live):,} {object_type}.")
        # Repeatable: the same history picks the same records.
        rng = repeatable(f"{self._simulator.seed}:{len(self._store.ledger)}")
        return sorted(rng.sample(live, count), key=int)


def _bounded(count: int) -> None:
    if not 1 <= count <= MAX_BULK:
        raise ControlError(f"The number must be between 1 and {MAX_BULK:,}.")
