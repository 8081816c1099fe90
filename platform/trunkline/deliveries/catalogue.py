"""What can be sent: every type of event, with the shape of its data. The API's description is made of it."""

import re
from collections.abc import Collection
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec


class ConnectionData(msgspec.Struct, frozen=True, kw_only=True):
    connection_id: UUID
    connector: str
    name: str
    state: str
    account_id: str | None = None
    """The provider's id of the account."""
    end_user_id: str | None = None
    """Your id of who connected it, where the widget was used."""
    cause: str | None = None
    """Code of the failure table."""


class RunData(msgspec.Struct, frozen=True, kw_only=True):
    run_id: UUID
    connection_id: UUID
    stream: str
    mode: str
    trigger: str
    state: Literal["succeeded", "failed"]
    cause: str | None
    """Code of the failure table."""
    fetched: int
    created: int
    updated: int
    deleted: int
    changes: int
    """Entries in the change log."""
    started_at: datetime | None
    finished_at: datetime


class RecordItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    position: int
    """In the tenant's change log: of two changes the later has the greater."""
    id: UUID
    """Of the record in your model."""
    external_id: str
    """The provider's."""
    revision: int
    changed_at: datetime
    data: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    """The record after the change, of a deletion as it last was; only where the endpoint asks for it."""


class RecordsData(msgspec.Struct, frozen=True, kw_only=True):
    """Up to 100 records at a time, in the order of the change log."""

    connection_id: UUID
    stream: str
    model: str
    records: list[RecordItem]


class ReviewData(msgspec.Struct, frozen=True, kw_only=True):
    review_id: UUID
    connection_id: UUID
    stream: str
    kind: str
    count: int
    """Records that would be deleted."""
    total: int


class HealthData(msgspec.Struct, frozen=True, kw_only=True):
    connection_id: UUID
    level: str
    before: str | None
    """null: it was not looked at before."""
    cause: str | None
    since: datetime


class EndpointData(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: UUID
    cause: Literal["gone", "failing"]
    failing_since: datetime | None
    disables_at: datetime | None
    """When it will be disabled unless something is taken; null once it is."""


class CertificateData(msgspec.Struct, frozen=True, kw_only=True):
    endpoint_id: UUID
    subject: str
    """Of the certificate, such as CN=acme."""
    ends_at: datetime
    days_left: int
    """Whole days, as of the notice: about 30, about 7, and 0 once it has ended."""


class TestData(msgspec.Struct, frozen=True, kw_only=True):
    message: str
    endpoint_id: UUID


class EventType(msgspec.Struct, frozen=True):
    name: str
    data: type[msgspec.Struct]
    text: str


TYPES = (
    EventType(
        "connection.created", ConnectionData, "An account was connected; it may still wait for your word."
    ),
    EventType(
        "connection.confirmed",
        ConnectionData,
        "A connection is active: its recipes are set up and it is read.",
    ),
    EventType(
        "connection.reconnect_needed",
        ConnectionData,
        "The provider refuses our access: somebody must connect the account again.",
    ),
    EventType("connection.recovered", ConnectionData, "The account was connected again."),
    EventType("connection.disconnected", ConnectionData, "The account was disconnected; nothing is read."),
    EventType("run.finished", RunData, "A pass over a stream is complete."),
    EventType("run.failed", RunData, "A pass over a stream was given up."),
    EventType("record.created", RecordsData, "Records are new in one of your models."),
    EventType("record.updated", RecordsData, "Records have changed."),
    EventType("record.deleted", RecordsData, "Records are gone at the provider."),
    EventType("review.requested", ReviewData, "Many records vanished at once: somebody must decide."),
    EventType("health.changed", HealthData, "A connection stands better or worse than before."),
    EventType("endpoint.failing", EndpointData, "Another endpoint has taken nothing for a day."),
    EventType("endpoint.disabled", EndpointData, "Another endpoint is disabled: nothing is sent there."),
    EventType(
        "endpoint.certificate_expiring",
        CertificateData,
        "The client certificate that an endpoint is shown ends in 30 days, in 7, or has ended.",
    ),
    EventType("webhook.test", TestData, "Sent when somebody asks for a test."),
)
TEST = "webhook.test"
NAMES = tuple(one.name for one in TYPES)

PATTERN = r"^(\*|[a-z]+\.(\*|[a-z_]+))$"
_PATTERN = re.compile(PATTERN)


def patterns_of(name: str) -> list[str]:
    """Every pattern that takes in the type."""
    return [name, f"{name.partition('.')[0]}.*", "*"]


def known(pattern: str) -> bool:
    """Whether some type matches it."""
    return bool(_PATTERN.match(pattern)) and any(pattern in patterns_of(name) for name in NAMES)


def matching(patterns: Collection[str]) -> list[str]:
    """Types, in the order of the list; without tests, which go to whom they are for alone."""
    return [name for name in NAMES if name != TEST and set(patterns_of(name)) & set(patterns)]
