"""How a provider proves that a delivery is its own, as data: the templates, and the ones known by name.

`signed` says what is signed, made of {body}, {timestamp}, {id}, {method}, {url} and {secret}. A header holds
one signature, or several with `separator` between; `prefix` is what stands before each.
"""

import string
import tomllib
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

PARTS: Final = frozenset({"body", "timestamp", "id", "method", "url", "secret"})

Header = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class Stamp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the time of signing stands, and how far from ours it may be: the replay window."""

    header: Header
    prefix: str = ""
    """Of the item that holds it, where it stands in a list of items ("t=")."""
    unit: Literal["s", "ms", "text"] = "s"
    """Since 1970; "text" is signed as it stands and compared with no clock."""
    window_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 300


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way of signing. `static`: the secret itself is sent, and the body is not signed at all."""

    kind: Literal["hmac", "digest", "static"] = "hmac"
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    header: Header
    prefix: str = ""
    separator: Annotated[str, msgspec.Meta(max_length=1)] = ""
    encoding: Literal["hex", "base64", "text"] = "hex"
    signed: str = "{body}"
    timestamp: Stamp | None = None
    id: Header | None = None
    """Header of the delivery's id, where that is signed."""
    require: dict[str, str] = {}
    """Headers by which this way of signing is told from others that use the same header."""
    key: Literal["text", "base64"] = "text"
    """Whether the secret is the key as it stands, or base64 of it."""
    key_prefix: str = ""
    """Taken off the secret first."""

    def __post_init__(self) -> None:
        names = [name for _, name, _, _ in string.Formatter().parse(self.signed) if name is not None]
        unknown = sorted(set(names) - PARTS)
        if unknown:
            raise ValueError(f"signed names {{{unknown[0]}}}, which is not a part of a delivery")
        if self.kind == "static":
            return
        if names.count("body") != 1:
            raise ValueError("signed must name {body} exactly once")
        if self.encoding == "text":
            raise ValueError("a signature is hex or base64")
        if ("timestamp" in names) != (self.timestamp is not None):
            raise ValueError("signed names {timestamp} exactly where there is a timestamp")
        if ("id" in names) != (self.id is not None):
            raise ValueError("signed names {id} exactly where there is an id header")
        if ("secret" in names) != (self.kind == "digest"):
            raise ValueError("a digest signs the secret too, and nothing else does")


@cache
def known() -> dict[str, Signature]:
    """By name: those of the providers and of Standard Webhooks."""
    raw = tomllib.loads(Path(__file__).with_name("signatures.toml").read_text())
    return {name: msgspec.convert(value, Signature) for name, value in raw.items()}


def resolve(given: Any) -> Signature:
    """A template, or the one known by that name. ValueError for a name nobody knows."""
    if isinstance(given, Signature):
        return given
    if given not in known():
        raise ValueError(f'signature "{given}" is none of {", ".join(sorted(known()))}')
    return known()[given]
