"""What a connector is: data. A manifest is TOML, read into these structs.

A pointer is a dotted path into a JSON document ("paging.next.after"). A template is a JSON value in which a
string that is exactly "{name}" is replaced: {page_size}, {cursor}, {since_ms}, {since_iso}, {properties} (a
list in a body, comma-joined in a query). A key whose replacement is absent is dropped.
"""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from trunkline.kernel.egress import check_hosts


class ManifestError(Exception):
    """A manifest that cannot be used; the message names the file and the field."""


class OAuth2(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    authorize_url: str
    token_url: str
    revoke_url: str | None = None
    introspect_url: str | None = None
    scopes: tuple[str, ...]
    scope_separator: str = " "
    scope_words: dict[str, str] = {}
    """What a scope lets us do, in the customer's words."""
    pkce: bool = True
    client_auth: Literal["client_secret_post", "client_secret_basic"] = "client_secret_post"
    issuer: str | None = None
    """Where the provider's answers carry `iss` (RFC 9207): what it must be, to the letter."""
    rotates: bool = True
    """Whether a refresh may end the refresh token it was made with; False only where the provider says so."""
    refresh_ahead_seconds: int = 300
    """Refresh when less than this is left of an access token."""


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to learn which account a grant belongs to; also the cheapest call that proves the grant."""

    path: str
    id: str
    """Pointer."""
    label: str
    """Pointer; shown to people."""


class Rate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most `requests` in `seconds`, for each connection. `bucket` names what counts together."""

    bucket: str
    requests: int
    seconds: float


class Paginator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: Literal["cursor"] = "cursor"
    next: str
    """Pointer to the next page's cursor; absent or null on the last page."""


class Read(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to read a stream, page by page."""

    method: Literal["GET", "POST"] = "GET"
    path: str
    query: dict[str, Any] = {}
    body: dict[str, Any] | None = None
    """Template of a JSON body."""
    records: str
    """Pointer to the page's list of documents."""
    total: str | None = None
    """Pointer to how many there are in all."""
    page_size: int
    paginator: Paginator
    bucket: str = "default"
    cap: int | None = None
    """Results after which the provider stops; the read re-anchors on the last resume value."""


class Incremental(Read, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Only what changed since; sorted ascending by the stream's `modified`."""

    overlap_seconds: int = 0
    """Read again this far back: the provider's index lags."""


class Deletions(Read, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pass that lists what is gone."""

    at: str | None = None
    """Pointer to the time of the deletion."""


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    label: str
    type: Literal["string", "number", "boolean", "datetime", "date", "enum", "json"] = "string"


class Discovery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the provider lists an account's own fields."""

    path: str
    records: str
    name: str
    label: str
    type: str
    """Pointer to the provider's word for the type; `types` says what it means."""
    types: dict[str, str] = {}


class StreamSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    label: str
    description: str = ""
    scopes: tuple[str, ...] = ()
    id: str = "id"
    """Pointer to the record's id."""
    modified: str | None = None
    """Pointer to the time of the last change."""
    values: str = ""
    """Pointer to the object that holds the fields by name; empty: the document itself."""
    fields: tuple[Field, ...]
    """Fields always asked for. Others can be discovered and asked for when a recipe uses them."""
    discovery: Discovery | None = None
    list: Read
    incremental: Incremental | None = None
    deletions: Deletions | None = None
    freshness_seconds: int = 900

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)


class SuggestedMapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    target: str
    field: str | None = None
    expression: str | None = None


class SuggestedRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    name: str
    description: str
    stream: str
    model: str
    schedule_seconds: int = 60
    filter: str | None = None
    mappings: tuple[SuggestedMapping, ...]


class FailureRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider's own signs, tried before the general table. `equals`: pointer -> value in the body."""

    status: int | None = None
    equals: dict[str, str] = {}
    failure: str
    """Code of the failure table (`trunkline.resilience`)."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    label: str
    version: str
    category: str
    description: str
    base_url: str
    """Origin of API calls, without a path at its end."""
    hosts: tuple[str, ...]
    """host[:port] that may be called, no other is; or {placeholder}.host, one plain label for it."""
    auth: OAuth2
    account: Account
    rates: tuple[Rate, ...]
    correlation: str | None = None
    """Pointer to the id by which the provider's support finds a failed request."""
    failures: tuple[FailureRule, ...] = ()
    streams: tuple[StreamSpec, ...]
    recipes: tuple[SuggestedRecipe, ...] = ()

    def stream(self, name: str) -> StreamSpec | None:
        return next((stream for stream in self.streams if stream.name == name), None)

    def recipe(self, key: str) -> SuggestedRecipe | None:
        return next((recipe for recipe in self.recipes if recipe.key == key), None)


MANIFEST_LIMIT = 256 * 1024
"""Bytes; the longest of ours has 15,000."""


def load_manifest(path: Path) -> Manifest:
    """Raises ManifestError, whatever the file holds."""
    try:
        with path.open("rb") as file:
            raw = file.read(MANIFEST_LIMIT + 1)
        if len(raw) > MANIFEST_LIMIT:
            raise ManifestError(f"{path}: is larger than {MANIFEST_LIMIT} bytes.")
        manifest = msgspec.convert(tomllib.loads(raw.decode()), Manifest)
    except RecursionError as error:
        raise ManifestError(f"{path}: is nested too deeply.") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError, OSError) as error:
        raise ManifestError(f"{path}: {error}") from error
    except ValueError as error:  # Python converts no number of thousands of digits
        raise ManifestError(f"{path}: holds a number that cannot be used: {error}") from error
    try:
        check_hosts(manifest.hosts)
    except ValueError as error:
        raise ManifestError(f"{path}: hosts: {error}.") from error
    return manifest


def point(document: Any, pointer: str) -> Any:
    """What a pointer points to; None where the path ends early."""
    for part in pointer.split(".") if pointer else ():
        if not isinstance(document, dict):
            return None
        document = document.get(part)
    return document
