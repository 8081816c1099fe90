"""Shapes of outbound webhooks: within the slice, for pages and for the API."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import msgspec

from trunkline.deliveries.catalogue import PATTERN
from trunkline.deliveries.order import Ordering
from trunkline.kernel.db import OPERATOR

State = Literal["pending", "succeeded", "failed"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact to be told of."""

    id: UUID
    type: str
    subject: str
    data: dict[str, Any]
    positions: Sequence[int] = ()
    """Of the changes that it tells of."""
    records: Sequence[UUID] = ()
    """Whose changes those are."""
    occurred_at: datetime
    only: UUID | None = None
    """Goes to this endpoint alone, whatever that asks for."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that may ask for events of a tenant's."""

    owner: UUID
    id: UUID
    types: list[str]
    full_data: bool
    created_at: datetime
    disabled_at: datetime | None


class EndpointView(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: UUID
    id: UUID
    url: str
    description: str
    types: list[str]
    full_data: bool
    ordering: Ordering
    concurrency: int
    rate: int | None
    created_by: str
    created_at: datetime
    failing_since: datetime | None
    noticed_at: datetime | None
    resting_until: datetime | None
    disabled_at: datetime | None
    disabled_cause: str | None
    header_names: list[str] = []
    """Of its own headers; their values are sealed."""
    certificate_subject: str | None = None
    """Of the client certificate that is shown to it."""
    certificate_ends: datetime | None = None

    @property
    def shared(self) -> bool:
        """Of the installation: it gets every tenant's events."""
        return self.tenant_id == OPERATOR


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery to be sent now, with its event."""

    id: UUID
    event_id: UUID
    type: str
    slug: str | None
    data: dict[str, Any]
    positions: list[int]
    occurred_at: datetime
    full_data: bool
    trigger: str
    tries: int
    attempts: int


class DeliveryView(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    endpoint_id: UUID
    event_id: UUID
    type: str
    state: State
    cause: str | None
    """Why it failed: exhausted, gone, disabled, removed."""
    attempts: int
    next_at: datetime | None
    occurred_at: datetime
    created_at: datetime
    ended_at: datetime | None
    last_status: int | None
    """Of the last answer; null before the first and where there was none."""
    last_cause: str | None
    """Why the last attempt was no success."""


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    """As it lies: `answer` sealed."""

    number: int
    trigger: str
    status: int | None
    cause: str | None
    took_ms: int
    at: datetime
    answer: bytes
    key_version: int


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent and what was answered, without what is secret."""

    url: str
    request: dict[str, str]
    response: dict[str, str]
    body: str
    """The beginning of the answer's."""
    cut: bool


# --- the API's own ---

Text = Annotated[str, msgspec.Meta(max_length=200, pattern="^[^\\x00]*$")]
Url = Annotated[str, msgspec.Meta(min_length=8, max_length=2000, pattern="^[!-~]+$")]
Pattern = Annotated[str, msgspec.Meta(max_length=60, pattern=PATTERN)]
Patterns = Annotated[list[Pattern], msgspec.Meta(min_length=1, max_length=50)]
Concurrency = Annotated[int, msgspec.Meta(ge=1, le=32)]
PerSecond = Annotated[int, msgspec.Meta(ge=1, le=1000)]


Headers = Annotated[
    dict[Annotated[str, msgspec.Meta(max_length=64)], Annotated[str, msgspec.Meta(max_length=1000)]],
    msgspec.Meta(max_length=10),
]


class ClientCertificateIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """For mutual TLS."""

    certificate: Annotated[str, msgspec.Meta(max_length=32_000)]
    """PEM: the certificate, then what signed it."""
    key: Annotated[str, msgspec.Meta(max_length=32_000)]
    """PEM, RSA or an elliptic curve, without a password. Kept sealed, never shown again."""

    def __repr__(self) -> str:
        return "ClientCertificateIn()"


class ClientCertificateOut(msgspec.Struct, frozen=True, kw_only=True):
    subject: str
    ends: datetime
    """From then on the receiver will refuse it."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries of the last 30 days, by where they stand."""

    pending: int = 0
    succeeded: int = 0
    failed: int = 0


class EndpointIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    url: Url
    """https, of a host on the public internet; in development also http on this machine."""
    types: Patterns
    """Which events: `record.created`, `record.*` for all of a kind, `*` for all."""
    description: Text = ""
    payload: Literal["thin", "full"] = "thin"
    """Whether records travel whole or as ids, to be read by the API."""
    ordering: Ordering = "none"
    """As it comes, or in the order of the facts, one at a time for each record, connection or tenant. One
    that is not taken holds up the later ones of its key, until it is taken or given up, and no others."""
    concurrency: Concurrency = 8
    """Requests at a time at most; at least 4 for an endpoint of the whole installation."""
    rate: PerSecond | None = None
    """Requests a second at most."""
    headers: Headers = {}
    """Sent with every request, beside our own: at most 10. Kept sealed; only their names are shown again."""
    client_certificate: ClientCertificateIn | None = None
    """Shown to a receiver that asks for one."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class EndpointChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is left out stays as it is."""

    url: Url | msgspec.UnsetType = msgspec.UNSET
    types: Patterns | msgspec.UnsetType = msgspec.UNSET
    description: Text | msgspec.UnsetType = msgspec.UNSET
    payload: Literal["thin", "full"] | msgspec.UnsetType = msgspec.UNSET
    ordering: Ordering | msgspec.UnsetType = msgspec.UNSET
    concurrency: Concurrency | msgspec.UnsetType = msgspec.UNSET
    rate: PerSecond | msgspec.UnsetType | None = msgspec.UNSET
    headers: Headers | msgspec.UnsetType = msgspec.UNSET
    """All of them anew. A value of three dots (•••) keeps the one that is held."""
    client_certificate: ClientCertificateIn | msgspec.UnsetType | None = msgspec.UNSET
    """`null` takes it away."""
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    """`true` also brings back one that was disabled because it failed or was gone."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class RotationIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    overlap_hours: Annotated[int, msgspec.Meta(ge=0, le=168)] = 24
    """How long the old secret signs beside the new one."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class RecoverIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    since: datetime
    """With its offset from UTC; at most 30 days ago."""
    missing: bool = False
    """Also those events that were never meant for the endpoint at the time: it was disabled, or asked for
    other types."""
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class DeedIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class EndpointOut(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    scope: Literal["tenant", "installation"]
    """Whose events it gets: the tenant's, or every tenant's."""
    url: str
    description: str
    types: list[str]
    payload: Literal["thin", "full"]
    ordering: Ordering
    concurrency: int
    rate: int | None
    enabled: bool
    disabled_cause: str | None
    """by_hand, gone (it answered 410) or failing (nothing was taken for five days)."""
    disabled_at: datetime | None
    failing_since: datetime | None
    """Since when nothing was taken; null while it works."""
    created_at: datetime
    header_names: list[str]
    client_certificate: ClientCertificateOut | None
    deliveries: Counts
    """The owner's own; of an endpoint of the installation, what was about the installation itself."""

    @classmethod
    def of(cls, view: EndpointView, counts: Mapping[str, int] | None = None) -> Self:
        return cls(**_shared(view, counts))


class EndpointCreated(EndpointOut, frozen=True, kw_only=True):
    secret: str
    """whsec_...: shown this once. Keep it where the receiver keeps its secrets."""

    @classmethod
    def made(cls, view: EndpointView, secret: str) -> Self:
        return cls(secret=secret, **_shared(view))


def _shared(view: EndpointView, counts: Mapping[str, int] | None = None) -> dict[str, Any]:
    same = (
        *("id", "url", "description", "types", "ordering", "concurrency", "rate", "disabled_cause"),
        *("disabled_at", "failing_since", "created_at", "header_names"),
    )
    certificate = None
    if view.certificate_subject is not None and view.certificate_ends is not None:
        certificate = ClientCertificateOut(subject=view.certificate_subject, ends=view.certificate_ends)
    return {name: getattr(view, name) for name in same} | {
        "scope": "installation" if view.shared else "tenant",
        "payload": "full" if view.full_data else "thin",
        "enabled": view.disabled_at is None,
        "client_certificate": certificate,
        "deliveries": msgspec.convert(dict(counts or {}), Counts),
    }


class SecretOut(msgspec.Struct, frozen=True):
    secret: str
    """whsec_...: shown this once."""
    old_until: datetime
    """Until then every request carries a signature by the old secret too."""


class EndpointList(msgspec.Struct, frozen=True):
    endpoints: list[EndpointOut]


class DeliveryList(msgspec.Struct, frozen=True):
    deliveries: list[DeliveryView]
    next: str | None
    """Cursor of the next page; null at the end."""


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    trigger: str
    """initial, automatic, manual, missing or test."""
    status: int | None
    cause: str | None
    """Why it was no success: status, redirected, timeout, unreachable, refused, unreadable."""
    took_ms: int
    at: datetime
    exchange: Exchange


class DeliveryDetail(msgspec.Struct, frozen=True, kw_only=True):
    delivery: DeliveryView
    message_id: str
    """The header webhook-id of every attempt."""
    payload: dict[str, Any]
    """The body, as it was and will be sent."""
    attempts: list[AttemptView]
    """The oldest first; those of the last 30 days."""


class Queued(msgspec.Struct, frozen=True):
    deliveries: int | None
    """How many are sent anew; null where it is found out on the way."""


class TestOut(msgspec.Struct, frozen=True):
    event_id: UUID
    message_id: str
