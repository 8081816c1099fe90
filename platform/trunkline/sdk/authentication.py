"""How a connector gets access to a customer's account, as its manifest says it."""

from collections.abc import Collection, Iterable
from typing import Annotated, Literal

import msgspec

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class Option(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of a few answers, and what else it settles: a region's hosts."""

    value: str
    label: str
    values: dict[str, str] = {}


class Input(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the customer types into our form before or instead of a sign-in: {name} in templates."""

    name: Name
    label: str
    help: str = ""
    """Where to find it, in the customer's words."""
    example: str = ""
    form: Literal["label", "key", "email", "text"] = "label"
    """label: one plain label of a host name, lower case. key: 4 to 500 printable ASCII signs without blanks.
    text: one printable ASCII line of at most 200."""
    suffix: str = ""
    """Shown behind the field, and taken off where somebody types it too: ".zendesk.com"."""
    secret: bool = False
    """Sealed in the vault, never shown again."""
    options: tuple[Option, ...] = ()
    """Where given, one of these and nothing else."""


class Way(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all ways to give access have in common."""

    key: str = ""
    """Tells several ways of one connector apart; the first has none."""
    label: str = ""
    """For the customer who chooses among several."""
    scopes: tuple[str, ...] = ()
    covers: dict[str, tuple[str, ...]] = {}
    """Scope -> those that it holds, which are not asked for beside it."""
    scope_words: dict[str, str] = {}
    """What a scope lets us do, in the customer's words. A key without scopes is described by its words."""
    inputs: tuple[Input, ...] = ()
    help_url: str | None = None
    """The provider's own page on how to give access; shown beside our form."""

    @property
    def secrets(self) -> tuple[Input, ...]:
        return tuple(one for one in self.inputs if one.secret)

    def asked(self, more: Iterable[str] = ()) -> tuple[str, ...]:
        """The scopes to ask for: its own and `more`, which actions need."""
        wanted = tuple(dict.fromkeys((*self.scopes, *more)))
        held = {inner for scope in wanted for inner in self.covers.get(scope, ())}
        return tuple(scope for scope in wanted if scope not in held)

    def lacking(self, held: Collection[str], needed: Iterable[str]) -> tuple[str, ...]:
        """What is needed and not held. A way without scopes leaves that to the provider."""
        if not self.scopes:
            return ()
        inner = {one for scope in held for one in self.covers.get(scope, ())}
        return tuple(scope for scope in needed if scope not in held and scope not in inner)

    @property
    def words(self) -> tuple[str, ...]:
        """What it lets us do, for people."""
        if self.scopes:
            return tuple(self.scope_words.get(scope, scope) for scope in self.scopes)
        return tuple(self.scope_words.values())


class OAuth2(Way, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="oauth2"):
    """The authorization code grant: the customer signs in at the provider.

    Addresses may hold {placeholders} of inputs. An answer without `expires_in` is renewed when it is refused
    (401); one without a refresh token lasts until it is refused, and then the customer must reconnect.
    """

    authorize_url: str
    token_url: str
    revoke_url: str | None = None
    revoke_by: Literal["form", "post", "delete"] = "form"
    """form: RFC 7009, with the client's own authorization. Else by that verb, with the token's."""
    revoke_params: dict[str, str] = {}
    """Templates, sent along with the form; {client_id} is ours."""
    introspect_url: str | None = None
    scope_separator: str = " "
    authorize_params: dict[str, str] = {}
    token_params: dict[str, str] = {}
    """Sent along with each request for tokens."""
    pkce: bool = True
    client_auth: Literal["client_secret_post", "client_secret_basic", "none"] = "client_secret_post"
    token_body: Literal["form", "json"] = "form"  # noqa: S105
    keep: dict[str, str] = {}
    """Value of the connection -> pointer into the token answer: instance_url = "instance_url"."""
    header: str = "Bearer {token}"
    """Of `authorization`."""
    issuer: str | None = None
    """Where the provider's answers carry `iss` (RFC 9207): what it must be, to the letter."""
    rotates: bool = True
    """Whether a refresh may end the refresh token it was made with; False only where the provider says so."""
    refresh_ahead_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 300
    """Refresh when less than this is left of an access token."""


class ClientCredentials(
    Way, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="client_credentials"
):
    """The customer types a client id and a secret of their own; we exchange them for access tokens."""

    token_url: str
    client_id: str = "{client_id}"
    client_secret: str = "{client_secret}"  # noqa: S105
    """Templates of the inputs."""
    scope_separator: str = " "
    token_params: dict[str, str] = {}
    client_auth: Literal["client_secret_post", "client_secret_basic"] = "client_secret_post"
    token_body: Literal["form", "json"] = "form"  # noqa: S105
    keep: dict[str, str] = {}
    header: str = "Bearer {token}"
    refresh_ahead_seconds: Annotated[int, msgspec.Meta(ge=0, le=3600)] = 300


class ApiKey(Way, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="api_key"):
    """The customer pastes a key; a refused one (401) must be replaced."""

    headers: dict[str, str] = msgspec.field(default_factory=lambda: {"authorization": "Bearer {api_key}"})
    """Templates of the inputs."""


class Basic(Way, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="basic"):
    """As `ApiKey`, sent as user name and password (RFC 7617)."""

    username: str = "{api_key}"
    password: str = "X"  # noqa: S105


Auth = OAuth2 | ClientCredentials | ApiKey | Basic
