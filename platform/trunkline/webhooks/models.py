"""Tables of inbound webhooks."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.tables import Base, TenantTable, timestamp

_CONNECTION = ["connections.tenant_id", "connections.id"]
_KEYS = ["data_keys.tenant_id", "data_keys.version"]


class HookEndpoint(TenantTable, Base):
    """An address that somebody delivers to: of a connection, or of an OAuth client (all its accounts).

    `state`: active, where a person enters it at the provider; else registering, registered, refused, removed,
    or left, where the provider would not remove it. `registration`: its id at the provider, while it has one.
    """

    __tablename__ = "hook_endpoints"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        Index("ix_hook_endpoints_key", "key_hash"),
        Index(
            "ix_hook_endpoints_connection",
            "tenant_id",
            "connection_id",
            unique=True,
            postgresql_where=text("connection_id IS NOT NULL"),
        ),
        Index(
            "ix_hook_endpoints_client",
            "tenant_id",
            "connector",
            unique=True,
            postgresql_where=text("oauth_client_id IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connector: Mapped[str]
    connection_id: Mapped[UUID | None]
    oauth_client_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(server_default=text("''"))
    key_hash: Mapped[bytes]
    key: Mapped[bytes]
    """The last part of its address, sealed."""
    secret: Mapped[bytes | None]
    """Sealed; null: the OAuth client's."""
    previous_secret: Mapped[bytes | None]
    previous_until: Mapped[datetime | None]
    key_version: Mapped[int]
    registration: Mapped[str | None]
    state: Mapped[str]
    cause: Mapped[str | None]
    registered_at: Mapped[datetime | None]
    rotating: Mapped[bool] = mapped_column(server_default=text("false"))
    """Another secret was asked for: it is registered anew."""
    checked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = timestamp()


class InboundEvent(TenantTable, Base):
    """What arrived: immutable but for where it stands and its payload, which expires. The row stays for ever.

    `state`: queued, applied, unchanged, superseded, ignored, kept, dead. `source_id`: the connection, or the
    endpoint where there is none; with `identity` it makes an event one and the same however often it comes.
    `tries`: failures in a row.
    """

    __tablename__ = "inbound_events"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        UniqueConstraint("tenant_id", "source_id", "identity"),
        Index(
            "ix_inbound_events_queued",
            "tenant_id",
            "connection_id",
            "due_at",
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_inbound_events_source", "tenant_id", "source_id", "id"),
        Index(
            "ix_inbound_events_expiring",
            "tenant_id",
            "expires_at",
            postgresql_where=text("body IS NOT NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    source_id: Mapped[UUID]
    identity: Mapped[bytes]
    connection_id: Mapped[UUID | None]
    endpoint_id: Mapped[UUID]
    connector: Mapped[str]
    event_id: Mapped[str]
    type: Mapped[str]
    occurred_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    verdict: Mapped[str]
    headers: Mapped[bytes | None]
    body: Mapped[bytes | None]
    key_version: Mapped[int]
    size: Mapped[int]
    address: Mapped[str | None]
    request_id: Mapped[str]
    expires_at: Mapped[datetime]
    state: Mapped[str] = mapped_column(server_default=text("'queued'"))
    label: Mapped[str] = mapped_column(server_default=text("'initial'"))
    """Of its next attempt: initial, automatic, manual or bulk."""
    replay_id: Mapped[UUID | None]
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    due_at: Mapped[datetime] = timestamp()
    cause: Mapped[str | None]
    done_at: Mapped[datetime | None]
    stream: Mapped[str | None]
    external_ids: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    differs: Mapped[str | None]
    """How it deviates from its contract, in words; null: it does not, or nobody looked yet."""


class InboundAttempt(TenantTable, Base):
    """One time that something was made of an event. `at` is its transaction's time, as its changes' is."""

    __tablename__ = "inbound_attempts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "event_id"],
            ["inbound_events.tenant_id", "inbound_events.id"],
            ondelete="CASCADE",
        ),
        Index(
            "ix_inbound_attempts_replay",
            "tenant_id",
            "replay_id",
            postgresql_where=text("replay_id IS NOT NULL"),
        ),
    )

    event_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    at: Mapped[datetime] = timestamp()
    outcome: Mapped[str]
    cause: Mapped[str | None]
    run_id: Mapped[UUID | None]
    replay_id: Mapped[UUID | None]


class HookRefusal(TenantTable, Base):
    """How many deliveries a day were refused for a cause; `sample` outlines the last, never what it said."""

    __tablename__ = "hook_refusals"

    endpoint_id: Mapped[UUID] = mapped_column(primary_key=True)
    cause: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
    last_at: Mapped[datetime]
    sample: Mapped[dict[str, Any]]


class Replay(TenantTable, Base):
    """A bulk replay of one connection's events. `state`: planned, running, done, cancelled.

    `up_to`: the newest event that it was planned with; `cursor`: the last one put in the queue again.
    """

    __tablename__ = "replays"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], _CONNECTION, ondelete="CASCADE"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connection_id: Mapped[UUID]
    filter: Mapped[dict[str, Any]]
    state: Mapped[str]
    total: Mapped[int]
    calls: Mapped[int]
    """Of the provider, at most."""
    queued: Mapped[int] = mapped_column(server_default=text("0"))
    up_to: Mapped[UUID]
    cursor: Mapped[UUID | None]
    created_by: Mapped[str]
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = timestamp()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
