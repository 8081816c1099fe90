"""Shapes of actions and their calls."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from trunkline.sdk.actions import Kind

CallState = Literal["queued", "sending", "checking", "done", "partial", "failed", "unknown"]
Decision = Literal["written", "not_written"]
ENDED = frozenset({"done", "partial", "failed", "unknown"})


class ActionIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `input` and `inputs`."""

    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""
    input: dict[str, Any] | None = None
    """What is to be written, by the names of the action's inputs."""
    inputs: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1, max_length=200)] | None = None
    """Several at once, where the action takes that (`most` above 1)."""


class DecisionIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of a call of which nobody could tell whether it was carried out."""

    outcome: Decision
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class TenantIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    tenant: str | None = None
    """The tenant's slug; read by the authentication of the API key."""


class InputView(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    label: str
    type: Kind
    required: bool
    help: str
    max_length: int
    options: list[str]


class ActionView(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be written through a connection."""

    name: str
    title: str
    description: str
    input: list[InputView]
    most: int
    """Inputs that one call takes."""
    missing_scopes: list[str]
    """Permissions that the connection would have to be given first."""


class ActionList(msgspec.Struct, frozen=True):
    actions: list[ActionView]


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """Of one input, in their order."""

    id: str | None = None
    """The provider's id of what was written."""
    error: str | None = None
    """A code of the failure table; null: it was written."""
    field: str | None = None
    """The input at fault, where the provider named one."""
    code: str | None = None
    """The provider's own word for what is wrong."""


class ActionCallView(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    connection_id: UUID
    action: str
    state: CallState
    """queued, sending and checking go on by themselves. unknown: the answer was lost and the provider gives
    no way to find out; somebody has to look there and decide."""
    count: int
    result_id: str | None
    """The provider's id of what was written, of a call with one input."""
    results: list[ResultView]
    cause: str | None
    """Why it waits or failed, as a code of the failure table."""
    message: str | None
    """The same in words."""
    can_retry: bool
    """It failed, nothing was written, and what was asked for is still known."""
    asked_by: str
    asked_at: datetime
    tries: int
    due_at: datetime | None
    """When it goes on by itself."""
    finished_at: datetime | None
    decided_by: str | None
    """Who decided, of a call that was unknown."""
    correlation_id: str | None
    """By which the provider's support finds the request."""


class ActionCallList(msgspec.Struct, frozen=True):
    calls: list[ActionCallView]
    next: str | None
    """Cursor of the next page; null at the end."""
