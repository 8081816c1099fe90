"""Tables of connections, their credentials and the OAuth flow."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from trunkline.kernel.clock import now
from trunkline.kernel.tables import Base, TenantTable, timestamp
from trunkline.sdk.credentials import GIVEN
from trunkline.sdk.registry import spoken

_KEYS = ["data_keys.tenant_id", "data_keys.version"]


class OAuthClient(TenantTable, Base):
    """A registration at a provider; the operator's serves every tenant that brings none of its own."""

    __tablename__ = "oauth_clients"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        UniqueConstraint("tenant_id", "connector"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connector: Mapped[str]
    client_id: Mapped[str]
    secret: Mapped[bytes]
    key_version: Mapped[int]
    created_at: Mapped[datetime] = timestamp()


class Connection(TenantTable, Base):
    """A customer's account at a provider.

    `state`: pending, setup, active, paused, reconnect_required, disconnected. `cause`: failure code for it.
    """

    __tablename__ = "connections"
    __table_args__ = (
        Index("ix_connections_listing", "tenant_id", "created_at"),
        Index(
            "ix_connections_lost", "tenant_id", "id", postgresql_where=text("state = 'reconnect_required'")
        ),
        Index("ix_connections_account", "oauth_client_id", "account_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    connector: Mapped[str]
    connector_version: Mapped[str | None]
    """Of a partner's connector; one of ours is always the product's own."""
    name: Mapped[str]
    state: Mapped[str]
    cause: Mapped[str | None]
    state_since: Mapped[datetime] = timestamp()
    account_id: Mapped[str | None]
    """The provider's id of the account, remembered so that a reconnect cannot switch accounts."""
    account_label: Mapped[str | None]
    oauth_client_tenant: Mapped[UUID]
    oauth_client_id: Mapped[UUID]
    scopes: Mapped[list[str]]
    via: Mapped[str]
    """portal or widget."""
    end_user_id: Mapped[str | None]
    connect_session_id: Mapped[UUID | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime] = timestamp()
    confirmed_at: Mapped[datetime | None]
    last_call_at: Mapped[datetime | None]
    """When the provider last accepted our credentials."""
    config: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))

    @property
    def spoken(self) -> str:
        """What `Connectors.get` takes: the connector, in the version that the connection keeps."""
        return spoken(self.connector, self.connector_version)

    @property
    def granted(self) -> str:
        """As `spoken`, of the version that its credential was given to. Another after a move by hand, until
        access is given anew: nothing else may be done with that credential.
        """
        return spoken(self.connector, self.config.get(GIVEN, self.connector_version))

    def enter(self, state: str, cause: str | None) -> tuple[dict[str, str], dict[str, str]]:
        """From now on; the state before and after, for the audit log."""
        before = {"state": self.state}
        self.state, self.cause, self.state_since = state, cause, now()
        return before, {"state": state}


class Credential(TenantTable, Base):
    """The tokens of a connection, sealed. `generation` counts refreshes."""

    __tablename__ = "credentials"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    generation: Mapped[int]
    access_token: Mapped[bytes]
    refresh_token: Mapped[bytes | None]
    key_version: Mapped[int]
    expires_at: Mapped[datetime | None]
    refreshed_at: Mapped[datetime] = timestamp()


class RefreshIntent(TenantTable, Base):
    """A refresh of the credential's `generation` was about to be asked for; gone once its answer is known.

    Found by a later holder of the credential's lock, it says that a reply was lost.
    """

    __tablename__ = "refresh_intents"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    generation: Mapped[int]
    started_at: Mapped[datetime] = timestamp()


class UnconfirmedCredential(TenantTable, Base):
    """Tokens of a reconnect through the widget, sealed and unused until the product confirms it."""

    __tablename__ = "unconfirmed_credentials"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
    )

    connection_id: Mapped[UUID] = mapped_column(primary_key=True)
    connect_session_id: Mapped[UUID]
    access_token: Mapped[bytes]
    refresh_token: Mapped[bytes | None]
    key_version: Mapped[int]
    expires_at: Mapped[datetime | None]
    scopes: Mapped[list[str]]
    oauth_client_tenant: Mapped[UUID]
    oauth_client_id: Mapped[UUID]
    created_at: Mapped[datetime] = timestamp()


class Authorization(TenantTable, Base):
    """One trip to the provider and back: single use, bound to browser, person, connection, OAuth client."""

    __tablename__ = "authorizations"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_version"], _KEYS),
        UniqueConstraint("tenant_id", "state_hash"),
        Index("ix_authorizations_state", "state_hash"),
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["connections.tenant_id", "connections.id"],
            ondelete="CASCADE",
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    state_hash: Mapped[bytes]
    browser_hash: Mapped[bytes]
    connection_id: Mapped[UUID]
    connector: Mapped[str]
    principal_kind: Mapped[str]
    principal_id: Mapped[str]
    principal_label: Mapped[str]
    purpose: Mapped[str]
    """connect or reconnect."""
    via: Mapped[str]
    connect_session_id: Mapped[UUID | None]
    redirect_uri: Mapped[str]
    scopes: Mapped[list[str]] = mapped_column(server_default=text("'{}'"))
    """Asked for beside those that streams need."""
    oauth_client_tenant: Mapped[UUID]
    oauth_client_id: Mapped[UUID]
    client_id: Mapped[str]
    verifier: Mapped[bytes]
    key_version: Mapped[int]
    created_at: Mapped[datetime] = timestamp()
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
