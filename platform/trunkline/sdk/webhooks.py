"""A manifest's `[webhooks]`: how a provider delivers, and what its events mean for our streams."""

from typing import Annotated, Any, Literal

import msgspec

from trunkline.sdk.pointers import equal, point
from trunkline.sdk.registration import Registration
from trunkline.sdk.signatures import Header, Signature, resolve
from trunkline.sdk.streams import Flag

Pattern = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9_.:/-]+\*?|\*)$", max_length=120)]


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What events of a type mean. The first rule that fits counts; an event that none fits is ignored."""

    type: Pattern
    """The whole type, or its beginning with `*` behind it."""
    stream: str
    ids: tuple[str, ...]
    """Pointers to ids of records in an event; each to one or to a list of them."""
    document: str | None = None
    """Pointer to the whole record; without, it is fetched by its id."""
    deleted: bool = False
    """The record is gone, unless a fetch still finds it."""
    when: Flag | None = None
    """Only events with this sign."""

    def fits(self, kind: str, found: Any = None) -> bool:
        """`found`: the event, where the rule may look into it."""
        if not (kind.startswith(self.type[:-1]) if self.type.endswith("*") else kind == self.type):
            return False
        if self.when is None:
            return True
        value = point(found, self.when.pointer)
        return any(equal(value, wanted) for wanted in self.when.equals)


class Fetch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How records of a stream are read by id: {ids} as a list, {properties} as in a stream's list."""

    stream: str
    id: str = ""
    """Key of an object around each id in {ids}; empty: the plain texts."""
    method: Literal["GET", "POST"] = "GET"
    path: str
    query: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    records: str
    """Pointer to the list of documents; an id that is not among them is gone."""
    gone: Flag | None = None
    """A sign that what was found is deleted all the same."""
    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    bucket: str = "default"


class Challenge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A handshake: a request that is answered with a value out of itself, as plain text."""

    method: Literal["GET", "POST"] = "GET"
    answer: str
    """Name of a query parameter (GET), or pointer into the body (POST)."""
    when: dict[str, str] = {}
    """Query parameters, or pointers into the body, and the values by which it is told from an event."""


class ByHand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person does in the provider's own pages: shown beside the address, in the provider's words."""

    steps: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=300)], ...],
        msgspec.Meta(min_length=1, max_length=10),
    ]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=60)] = "Signing secret"  # noqa: S105
    """What the provider calls the secret that it shows."""
    test: Annotated[str, msgspec.Meta(max_length=300)] = ""
    """How the provider is made to send an event for a trial; empty: only by a change of a record."""


class Webhooks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    owner: Literal["client", "connection"]
    """Whose an address is: one for all accounts of an OAuth client, or one for each connection."""
    signatures: tuple[Signature | str, ...]
    """Templates, or names of known ones; each is good enough on its own."""
    keyed_by: Literal["client", "us", "provider", "pasted"]
    """Whose secret it is: the OAuth client's; one that we make for the address; one that the provider tells
    when the address is registered; one that only its own pages show, so that a person pastes it."""
    body_limit: Annotated[int, msgspec.Meta(ge=1024, le=4 * 1024 * 1024)] = 1024 * 1024
    """Bytes."""
    events: str = ""
    """Pointer to the events; empty: the body itself, which is one or a list of them."""
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 500
    """Events of one request."""
    account: str | None = None
    """Pointer, in an event, to the account it is of."""
    type: str | tuple[str, ...]
    """Pointer to its type, or to the parts that make it with dots between."""
    id: tuple[str, ...] = ()
    """Pointers whose values together tell an event from every other; empty: the whole event does."""
    id_header: Header | None = None
    """The header that tells one delivery from every other, in the place of `id`. It must be signed."""
    at: str | None = None
    """Pointer to when it happened."""
    head: bool = False
    """Whether the provider tries an address by HEAD."""
    challenge: Challenge | None = None
    kinds: tuple[Event, ...]
    fetches: tuple[Fetch, ...] = ()
    registration: Registration | None = None
    """None: a person enters the address at the provider."""
    by_hand: ByHand | None = None
    lenient: bool = False
    """An event without a type is taken all the same, and one without a time is as of when it came. Both are
    read again when it is processed, by the manifest as it is by then."""
    retries: str = ""
    """How often and how long the provider tries, in words for support."""

    def __post_init__(self) -> None:
        if not self.signatures:
            raise ValueError("signatures must not be empty: a delivery that proves nothing is never taken")
        signed_ids = {resolve(given).id for given in self.signatures}
        if self.id_header is not None and signed_ids != {self.id_header}:
            raise ValueError(f"id_header {self.id_header} is not signed by every signature")
        if self.owner == "client" and self.account is None:
            raise ValueError("account is needed where one address serves every account")
        if self.keyed_by != "pasted" and (self.keyed_by == "client") != (self.owner == "client"):
            raise ValueError(
                "the secret is the client's exactly where the address is the client's: "
                'keyed_by = "client" goes with owner = "client"; where the pages of the app show a secret '
                'of the webhook\'s own, write "pasted"'
            )
        made = self.registration
        if self.keyed_by == "pasted" and (made is not None or self.by_hand is None):
            raise ValueError(
                "a pasted secret is found by a person: [webhooks.by_hand] must say in `steps` where, and a "
                '[webhooks.registration], which would tell it, goes with "provider"'
            )
        if made is not None and self.owner != "connection":
            raise ValueError(
                "an app's address is entered by its developer; only a connection's is registered"
            )
        if (self.keyed_by == "provider") != (made is not None and made.tells_secret):
            raise ValueError(
                "the secret is the provider's exactly where the registration tells it: "
                'keyed_by = "provider" needs a [webhooks.registration] with `secret`; '
                'where a person enters the address, write "us" if they choose the secret, and "pasted" if '
                "the provider shows one"
            )
        fetched = {fetch.stream for fetch in self.fetches}
        for event in self.kinds:
            if event.document is None and not event.deleted and event.stream not in fetched:
                raise ValueError(f"kinds: {event.type} has no document, and {event.stream} no fetch")

    @property
    def entered(self) -> bool:
        """Whether a person of each account enters the address at the provider."""
        return self.owner == "connection" and self.registration is None

    @property
    def types(self) -> tuple[str, ...]:
        """Pointers to the parts of an event's type."""
        return (self.type,) if isinstance(self.type, str) else self.type

    def kind(self, name: str, found: Any = None) -> Event | None:
        """`found`: the event; without, a rule that looks into it does not fit."""
        return next((event for event in self.kinds if event.fits(name, found)), None)

    def known(self, name: str) -> str:
        """An event's type where the manifest spells it out, else the pattern that it fits: so a provider
        cannot make up names without end. Of a type that `kind` finds.
        """
        rule = self.kind(name)
        assert rule is not None
        listed = self.registration.events if self.registration else ()
        return name if name == rule.type or name in listed else rule.type

    def fetch(self, stream: str) -> Fetch | None:
        return next((fetch for fetch in self.fetches if fetch.stream == stream), None)
