"""A manifest's `[webhooks.registration]`: the calls that have a provider deliver to a connection's address.

Templates as in streams, with {address}, where to deliver to; {events}; {registration}, its id there; and, of
a secret that we make, {secret} whole, or {user} and {password} of one for HTTP Basic.
"""

from typing import Annotated, Any, Literal

import msgspec

from trunkline.sdk.streams import Flag


class RegistrationCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    form: bool = False
    """The body is sent as a form, not as JSON."""
    bucket: str = "default"
    cost: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class Registered(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to see what is registered: those whose `address` is ours are ours."""

    call: RegistrationCall
    records: str
    id: str = "id"
    address: str
    """Pointer, in a record, to where it delivers to."""
    works: Flag | None = None
    """A sign that it delivers; one without it is made anew."""
    next: str | None = None
    """Pointer to the cursor of the next page, {cursor} in the call."""
    more: str | None = None
    """Pointer to whether there is a next page."""
    last_id: bool = False
    """The cursor is the last record's id."""


class Registration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    scopes: tuple[str, ...] = ()
    """What the grant must hold for it; without, the provider is not even asked."""
    events: tuple[str, ...] = ()
    """What we ask to be told of: {events}."""
    create: RegistrationCall
    id: str
    """Pointer to its id in the answer."""
    secret: str | None = None
    """Pointer to the secret in the answer of `create`, or of `reveal` where there is one."""
    reveal: RegistrationCall | None = None
    """Asked for the secret after `create`."""
    listed: Registered
    remove: RegistrationCall
    most: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """How many an account may have, in words for support."""

    def __post_init__(self) -> None:
        if self.reveal is not None and self.secret is None:
            raise ValueError("reveal tells a secret: secret must say where")

    @property
    def tells_secret(self) -> bool:
        return self.secret is not None
