"""Shapes that this slice takes and gives."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Names = Annotated[list[Annotated[str, msgspec.Meta(max_length=100)]], msgspec.Meta(max_length=50)]
SessionState = Literal["open", "redeemed", "completed", "confirmed", "expired"]


class EndUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The product's user who connects."""

    id: Name
    name: Name


class ConnectSessionIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""
    end_user: EndUser
    connectors: Names
    """Which providers may be chosen."""
    origin: Annotated[str, msgspec.Meta(max_length=300)]
    """Origin of the page that opens the widget, such as https://app.example.com."""
    recipes: Names = []
    """Keys of suggested recipes to set up once the connection is confirmed."""
    actions: Names = []
    """Names of actions that are to be run later: the permissions that they need are asked for too."""
    connection_id: UUID | None = None
    """Reconnect this one instead of making a new one."""


class ConnectSessionCreated(msgspec.Struct, frozen=True):
    id: UUID
    token: str
    """For `Trunkline.open`: good once, for ten minutes, in a page of `origin`. Never in an address."""
    expires_at: datetime
    script_url: str

    def __repr__(self) -> str:
        return f"ConnectSessionCreated({self.id})"


class ConnectSessionOut(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    state: SessionState
    connection_id: UUID | None
    error: str | None
    """Failure code of the last try."""
    created_at: datetime
    expires_at: datetime


class FrameView(msgspec.Struct, frozen=True):
    """What the frame's page may know of a session before the token is shown."""

    session_id: UUID
    origin: str
    expired: bool


class Redeemed(msgspec.Struct, frozen=True, kw_only=True):
    frame_key: str
    connectors: tuple[str, ...]
    """As `Connectors.find` takes them: in the versions that would be connected."""
    reconnect: bool

    def __repr__(self) -> str:
        return f"Redeemed({self.connectors})"


class Progress(msgspec.Struct, frozen=True):
    state: Literal["open", "completed", "failed"]
    error: str | None
