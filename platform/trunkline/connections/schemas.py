"""Shapes that this slice takes and gives."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

import msgspec

from trunkline.connections.models import Connection
from trunkline.health.schemas import HealthOut
from trunkline.sdk.manifest import Auth, Manifest

Via = Literal["portal", "widget"]
Purpose = Literal["connect", "reconnect"]


class AccessToken(msgspec.Struct, frozen=True):
    value: str
    generation: int
    """Counts refreshes; give it back to `token_rejected`."""
    expires_at: datetime | None
    config: Mapping[str, Any] = {}
    """The connection's: its way of access, its host (`trunkline.sdk.credentials`)."""

    def __repr__(self) -> str:
        return f"AccessToken(generation={self.generation})"


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """A token endpoint's answer."""

    access_token: str
    refresh_token: str | None
    expires_at: datetime | None
    scopes: tuple[str, ...] | None
    """None where the provider does not say."""
    values: Mapping[str, str] = {}
    """What of the answer stands for placeholders: the account's host."""
    answer: Mapping[str, Any] = {}
    """All of it, for whoever must learn from it which account it is."""

    def __repr__(self) -> str:
        return "Tokens()"


class Account(msgspec.Struct, frozen=True):
    id: str
    label: str


class Client(msgspec.Struct, frozen=True):
    """An OAuth client, opened."""

    tenant_id: UUID
    id: UUID
    client_id: str
    secret: str

    def __repr__(self) -> str:
        return f"Client({self.client_id!r})"


class OwnClient(msgspec.Struct, frozen=True):
    """A tenant's own OAuth client, without its secret."""

    connector: str
    client_id: str
    created_at: datetime
    connections: int
    """How many hold tokens that were made for it."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A trip to the provider, about to start: set the cookie (`flow_cookie`), then 303 to `url`."""

    connection_id: UUID
    url: str
    state_hash: bytes
    flow: str
    """Value of the flow cookie."""


class FormView(msgspec.Struct, frozen=True, kw_only=True):
    """Our own form before, or instead of, a sign-in at the provider."""

    manifest: Manifest
    ways: tuple[Auth, ...]
    """That can be chosen here."""
    purpose: Purpose
    via: Via
    known: Mapping[str, str]
    """What is settled already and only shown."""
    account_label: str | None
    nonce: str
    back: str

    def __repr__(self) -> str:
        return f"FormView({self.manifest.name})"


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    connection_id: UUID
    tenant_id: UUID
    connector: str
    purpose: Purpose
    via: Via
    account_label: str
    code: str = ""
    """Completion code of the widget's flow, shown once."""
    nonce: str = ""

    def __repr__(self) -> str:
        return f"Finished({self.connection_id})"


class ConnectionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as the API shows it."""

    id: UUID
    connector: str
    name: str
    state: str
    cause: str | None
    state_since: datetime
    account_id: str | None
    account_label: str | None
    scopes: list[str]
    via: str
    end_user_id: str | None
    created_at: datetime
    confirmed_at: datetime | None

    @classmethod
    def of(cls, connection: Connection) -> Self:
        shared = ConnectionOut.__struct_fields__
        return cls(**{name: getattr(connection, name) for name in shared})


class ConnectionDetail(ConnectionOut, frozen=True, kw_only=True):
    health: HealthOut | None = None
    """Null for a trip to the provider that has not come back."""


class ConnectionList(msgspec.Struct, frozen=True):
    connections: list[ConnectionOut]


class ConfirmIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    code: str
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""
