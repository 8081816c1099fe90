"""What a connector is: data. A manifest is TOML, read into these structs and those of its parts.

`trunkline.sdk.authentication`, `limits`, `streams`, `actions` say what each part means; `pointers` and
`streams` what pointers and templates are. The published JSON Schema is made from here
(`trunkline connector schema`).
"""

import tomllib
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from trunkline.kernel.egress import check_hosts
from trunkline.sdk.actions import Action, Refusals
from trunkline.sdk.authentication import ApiKey, Auth, Basic, ClientCredentials, Input, OAuth2
from trunkline.sdk.bounds import check_headers, check_link, check_public, check_text, check_tree
from trunkline.sdk.defaults import spread
from trunkline.sdk.limits import FailureRule, Rate, RateHeaders
from trunkline.sdk.pointers import point
from trunkline.sdk.streams import (
    Deletions,
    Discovery,
    Events,
    Field,
    Flag,
    Incremental,
    Paginator,
    Parent,
    Read,
    StreamSpec,
)
from trunkline.sdk.webhooks import Webhooks

__all__ = [
    "Account",
    "Action",
    "ApiKey",
    "Auth",
    "Basic",
    "ClientCredentials",
    "Deletions",
    "Discovery",
    "Events",
    "FailureRule",
    "Field",
    "Flag",
    "Incremental",
    "Input",
    "Manifest",
    "ManifestError",
    "OAuth2",
    "Paginator",
    "Parent",
    "Rate",
    "RateHeaders",
    "Read",
    "StreamSpec",
    "SuggestedMapping",
    "SuggestedRecipe",
    "Webhooks",
    "load_manifest",
    "point",
    "read_manifest",
]


class ManifestError(Exception):
    """A manifest that cannot be used; the message names the file and the field."""


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to learn which account a grant belongs to; also the cheapest call that proves the grant."""

    path: str
    id: str
    """Pointer into the answer; or "{name}", a value of the connection: "{subdomain}"."""
    label: str
    """Likewise; shown to people."""
    scopes: tuple[str, ...] = ()
    """That this call alone needs."""
    source: Literal["call", "token"] = "call"
    """token: `id` and `label` point into the answer that brought the token."""
    bucket: str = "default"
    cost: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class Api(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version of the provider's API that this connector speaks: {api_version} in templates."""

    version: str
    ends: date | None = None
    """When the provider stops answering it, where it says."""
    source: str = ""
    """Where that was read."""
    no_end_announced: date | None = None
    """The day on which `source` was last looked through, and named no end."""
    warning_headers: tuple[str, ...] = ()
    """Headers of this provider's own by which answers warn, besides Deprecation and Sunset."""

    def __post_init__(self) -> None:
        if self.no_end_announced is not None and (self.ends is not None or not self.source):
            raise ValueError("no_end_announced needs a source, and stands instead of ends")


class Quality(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What no machine can see. Rule -> why it does not apply, or what shows that it is met."""

    exempt: dict[str, str] = {}
    done: dict[str, str] = {}
    todo: dict[str, str] = {}


class SuggestedMapping(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    target: str
    field: str | None = None
    expression: str | None = None
    table: dict[str, str] = {}
    """Of a `field`: the provider's value -> the model's; any other value gives none. It becomes an
    expression, which a customer can edit."""


class SuggestedRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    name: str
    description: str
    stream: str
    model: str
    schedule_seconds: Annotated[int, msgspec.Meta(ge=30)] = 60
    filter: str | None = None
    fields: dict[str, str] = {}
    """Target -> field, where that is all there is to a mapping."""
    mappings: tuple[SuggestedMapping, ...] = ()

    @property
    def all_mappings(self) -> tuple[SuggestedMapping, ...]:
        plain = (SuggestedMapping(target=target, field=field) for target, field in self.fields.items())
        return *plain, *self.mappings


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    label: str
    version: str
    category: str
    description: str
    base_url: str
    """Origin of API calls, without a path at its end; may hold {placeholders}, or be one alone."""
    hosts: tuple[str, ...]
    """host[:port] that may be called, no other is; or {placeholder}.host, one plain label for it."""
    api: Api | None = None
    auth: Auth
    other_auth: tuple[Auth, ...] = ()
    """Further ways to give access, told apart by their `key`."""
    headers: dict[str, str] = {}
    """Sent with every call; templates. One whose value is missing is left out."""
    account: Account
    rates: tuple[Rate, ...]
    retry_after: str | None = None
    """Header that says how long to wait after a 429 without Retry-After: seconds, or Unix seconds."""
    correlation: str | None = None
    """Pointer to the id by which the provider's support finds a failed request."""
    failures: tuple[FailureRule, ...] = ()
    streams: tuple[StreamSpec, ...]
    actions: tuple[Action, ...] = ()
    refusals: Refusals | None = None
    """Of a write: which of its values the provider does not accept."""
    recipes: tuple[SuggestedRecipe, ...] = ()
    webhooks: Webhooks | None = None
    """None: the provider has no usable ones; its events come out of polling."""
    quality: Quality = Quality()

    @property
    def asks(self) -> bool:
        """Whether anything can be asked of the provider; else what it sends is all there is."""
        return bool(self.hosts)

    @property
    def spoken(self) -> str:
        """The connector in its version, as `Connectors.get` takes it."""
        return f"{self.name}@{self.version}"

    def stream(self, name: str) -> StreamSpec | None:
        return next((stream for stream in self.streams if stream.name == name), None)

    @property
    def parents(self) -> dict[str, str]:
        """Of streams that are read for each record of another: that one."""
        return {one.name: one.parent.stream for one in self.streams if one.parent is not None}

    def children(self, name: str) -> tuple[str, ...]:
        """Streams that are read for each record of this one."""
        return tuple(one.name for one in self.streams if one.parent is not None and one.parent.stream == name)

    def lineage(self, name: str) -> tuple[str, ...]:
        """The stream, and those that it is read for: its parent, and so on."""
        found = [name]
        while (spec := self.stream(found[-1])) and spec.parent and spec.parent.stream not in found:
            found.append(spec.parent.stream)
        return tuple(found)

    def dependents(self, name: str) -> tuple[str, ...]:
        """The stream, and those that cannot be read unless it is."""
        return tuple(one.name for one in self.streams if name in self.lineage(one.name))

    def action(self, name: str) -> Action | None:
        return next((action for action in self.actions if action.name == name), None)

    def recipe(self, key: str) -> SuggestedRecipe | None:
        return next((recipe for recipe in self.recipes if recipe.key == key), None)

    @property
    def ways(self) -> tuple[Auth, ...]:
        """All ways to give access, the usual one first."""
        return self.auth, *self.other_auth

    def way(self, key: str) -> Auth:
        """By its key; the usual one for a key that is no more."""
        return next((way for way in self.ways if way.key == key), self.auth)


MANIFEST_LIMIT = 256 * 1024
"""Bytes; the longest of ours has 15,000."""


def load_manifest(path: Path) -> Manifest:
    """Raises ManifestError, whatever the file holds."""
    try:
        with path.open("rb") as file:
            raw = file.read(MANIFEST_LIMIT + 1)
    except OSError as error:
        raise ManifestError(f"{path}: {error}") from error
    return read_manifest(raw, str(path))


def read_manifest(raw: bytes, name: str) -> Manifest:
    """Raises ManifestError, whatever it holds; `name` is for its message."""
    try:
        if len(raw) > MANIFEST_LIMIT:
            raise ManifestError(f"{name}: is larger than {MANIFEST_LIMIT} bytes.")
        check_text(raw)
        parsed = tomllib.loads(raw.decode())
        check_tree(parsed)
        manifest = msgspec.convert(spread(parsed), Manifest)
    except RecursionError as error:
        raise ManifestError(f"{name}: is nested too deeply.") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise ManifestError(f"{name}: {error}") from error
    except ValueError as error:
        told = "it holds a number that cannot be used" if "integer string" in str(error) else error
        raise ManifestError(f"{name}: {told}.") from error
    try:
        check_hosts(manifest.hosts)
        check_public(manifest.hosts)
    except ValueError as error:
        raise ManifestError(f"{name}: hosts: {error}.") from error
    try:
        _check_parts(manifest)
    except ValueError as error:
        raise ManifestError(f"{name}: {error}.") from error
    return manifest


def _check_parts(manifest: Manifest) -> None:
    """ValueError for headers and links that no manifest may have."""
    check_headers(manifest.headers, "headers")
    for way in manifest.ways:
        if way.help_url is not None:
            check_link(way.help_url, "help_url")
        if isinstance(way, ApiKey):
            check_headers(way.headers, "auth.headers")
    for spec in manifest.streams:
        for read in (*spec.lists, *spec.incrementals, *spec.deletions):
            check_headers(read.headers, f"the headers of {spec.name}")
    for action in manifest.actions:
        check_headers(action.headers, f"the headers of {action.name}")
