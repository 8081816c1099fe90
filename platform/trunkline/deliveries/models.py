"""Tables of outbound webhooks."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp


class WebhookEndpoint(TenantTable, Base):
    """Where events go: of the tenant, or of every tenant where the installation itself is the owner."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        Index(
            "ix_webhook_endpoints_failing",
            "tenant_id",
            "id",
            postgresql_where=text("failing_since IS NOT NULL"),
        ),
        CheckConstraint("order_key IN ('record', 'connection', 'tenant')", name="order_key"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    url: Mapped[str]
    description: Mapped[str]
    types: Mapped[list[str]]
    """Event types: `record.created`, `record.*` or `*`."""
    full_data: Mapped[bool]
    """Records travel whole; else only their ids."""
    ordered: Mapped[bool]
    """One at a time for each key, in the order of the facts."""
    order_key: Mapped[str] = mapped_column(server_default=text("'connection'"))
    """What the key is, where it is `ordered`: record, connection or tenant."""
    concurrency: Mapped[int]
    rate: Mapped[int | None]
    """Requests a second at most."""
    created_by: Mapped[str]
    created_at: Mapped[datetime] = timestamp()
    failing_since: Mapped[datetime | None]
    """Nothing was taken since then."""
    noticed_at: Mapped[datetime | None]
    """When its owner was told that it will be disabled."""
    resting_until: Mapped[datetime | None]
    """Retry-After of its last refusal."""
    disabled_at: Mapped[datetime | None]
    disabled_cause: Mapped[str | None]
    """by_hand, gone (it answered 410) or failing (for five days)."""
    removed_at: Mapped[datetime | None]


class EndpointSecret(TenantTable, Base):
    """Signs until `expires_at`; several do while one is changed for another."""

    __tablename__ = "endpoint_secrets"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"],
            ["webhook_endpoints.tenant_id", "webhook_endpoints.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["tenant_id", "key_version"], ["data_keys.tenant_id", "data_keys.version"]),
    )

    endpoint_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    secret: Mapped[bytes]
    """Sealed: whsec_..."""
    key_version: Mapped[int]
    created_at: Mapped[datetime] = timestamp()
    expires_at: Mapped[datetime | None]


class EndpointCredential(TenantTable, Base):
    """What a receiver wants beside the signature: headers of its own, a client certificate with its key."""

    __tablename__ = "endpoint_credentials"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "endpoint_id"],
            ["webhook_endpoints.tenant_id", "webhook_endpoints.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["tenant_id", "key_version"], ["data_keys.tenant_id", "data_keys.version"]),
    )

    endpoint_id: Mapped[UUID] = mapped_column(primary_key=True)
    headers: Mapped[bytes | None]
    """Sealed: names and values."""
    header_names: Mapped[list[str]]
    certificate: Mapped[str | None]
    """PEM, as it is shown to whoever asks."""
    certificate_subject: Mapped[str | None]
    certificate_ends: Mapped[datetime | None]
    certificate_notice: Mapped[int | None]
    """Of the notices before it ends the last that was given, in days; null: none yet."""
    private_key: Mapped[bytes | None]
    """Sealed: PEM."""
    key_version: Mapped[int]


class OutboundEvent(TenantTable, Base):
    """What happened. Its body is made of `data` and, for records, of the changes at `positions`."""

    __tablename__ = "outbound_events"
    __table_args__ = (
        UniqueConstraint("tenant_id", "number"),
        Index("ix_outbound_events_created", "tenant_id", "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    """In the order of the tenant's commits, without a gap: of two facts the later has the greater."""
    type: Mapped[str]
    subject: Mapped[str]
    """What it is about, for the order: a connection's id."""
    slug: Mapped[str | None]
    """The tenant's; null for what is about the installation."""
    data: Mapped[dict[str, Any]]
    """Ids, names of connections, causes, counts; never a person's."""
    positions: Mapped[list[int]] = mapped_column(ARRAY(BigInteger))
    record_keys: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    """Of the records that it tells of, for the order: see `order.record_key`."""
    occurred_at: Mapped[datetime]
    created_at: Mapped[datetime] = timestamp()


class OutboundHead(TenantTable, Base):
    """The last number of an event of the tenant's."""

    __tablename__ = "outbound_heads"

    number: Mapped[int] = mapped_column(BigInteger)


class Delivery(TenantTable, Base):
    """An event on its way to an endpoint: at most one for the two, however often it is sent."""

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("tenant_id", "endpoint_id", "event_id"),
        CheckConstraint("state IN ('pending', 'succeeded', 'failed')", name="state"),
        CheckConstraint("(state = 'pending') = (next_at IS NOT NULL)", name="next"),
        ForeignKeyConstraint(
            ["tenant_id", "event_id"],
            ["outbound_events.tenant_id", "outbound_events.id"],
            ondelete="CASCADE",
        ),
        Index(
            "ix_deliveries_due",
            "tenant_id",
            "endpoint_id",
            "next_at",
            postgresql_where=text("state = 'pending'"),
        ),
        Index(
            "ix_deliveries_order",
            "tenant_id",
            "endpoint_id",
            "number",
            postgresql_where=text("state = 'pending'"),
        ),
        Index("ix_deliveries_event", "tenant_id", "event_id"),
        Index(
            "ix_deliveries_shared",
            "endpoint_id",
            text("created_at DESC"),
            text("id DESC"),
            postgresql_where=text("endpoint_owner <> tenant_id"),
        ),
        Index("ix_deliveries_listing", "tenant_id", text("created_at DESC"), text("id DESC")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    event_id: Mapped[UUID]
    number: Mapped[int] = mapped_column(BigInteger)
    endpoint_owner: Mapped[UUID]
    endpoint_id: Mapped[UUID]
    subject: Mapped[str]
    full_data: Mapped[bool]
    """As the endpoint wanted it when the event was made, so that the body never changes."""
    state: Mapped[str] = mapped_column(server_default=text("'pending'"))
    cause: Mapped[str | None]
    """Why it failed: exhausted, gone, disabled, removed."""
    trigger: Mapped[str]
    """event, test, missing or manual: what set off the series of tries under way."""
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    """Failed ones of this series."""
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_at: Mapped[datetime | None] = mapped_column(server_default=text("now()"))
    created_at: Mapped[datetime] = timestamp()
    ended_at: Mapped[datetime | None]


class DeliveryAttempt(TenantTable, Base):
    """One request and what came of it; kept for 30 days."""

    __tablename__ = "delivery_attempts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "delivery_id"], ["deliveries.tenant_id", "deliveries.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(["tenant_id", "key_version"], ["data_keys.tenant_id", "data_keys.version"]),
        Index("ix_delivery_attempts_at", "tenant_id", "at"),
    )

    delivery_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    trigger: Mapped[str]
    """initial, automatic, manual, missing or test."""
    status: Mapped[int | None]
    cause: Mapped[str | None]
    """Why it was no success; null for one."""
    took_ms: Mapped[int]
    answer: Mapped[bytes]
    """Sealed: headers of both sides, the beginning of the answer's body."""
    key_version: Mapped[int]
    at: Mapped[datetime] = timestamp()


class HealthLevel(TenantTable, Base):
    """How a connection stood when it was last looked at."""

    __tablename__ = "health_levels"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    level: Mapped[str]
    since: Mapped[datetime] = timestamp()
