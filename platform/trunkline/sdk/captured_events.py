"""Events as a provider delivered them, in `fixtures/events`: a contract and a simulator are held to them.

A file is the body as it came, or `{"headers": {}, "body": ...}`; with the body as text, byte for byte, and
the `secret` of an address that has gone since, its signature can be tried too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from trunkline.sdk.fixture_files import FixtureError, decoded, read_bytes

FOLDER: Final = "events"
"""Below `fixtures`."""


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """`headers` by lower-case name; `at`: Unix time of the arrival, where the signature counts it."""

    name: str
    body: bytes
    headers: Mapping[str, str] = {}
    secret: str = ""
    url: str = ""
    at: float | None = None

    @property
    def signed(self) -> bool:
        return bool(self.secret)


class _Whole(msgspec.Struct, frozen=True):
    headers: dict[str, str]
    body: Any
    secret: str = ""
    url: str = ""
    at: float | None = None


def captured(fixtures: Path) -> list[Captured]:
    """In the order of their names. Raises FixtureError."""
    return [_one(path) for path in sorted((fixtures / FOLDER).glob("*.json"))]


def _one(path: Path) -> Captured:
    raw = read_bytes(path)
    found = decoded(path, raw, Any)
    if not isinstance(found, dict | list):
        raise FixtureError(f"{path}:1: it is neither an event nor a list of them.")
    if not (isinstance(found, dict) and isinstance(found.get("headers"), dict) and "body" in found):
        return Captured(name=path.name, body=raw)
    whole = decoded(path, raw, _Whole)
    if whole.secret and not isinstance(whole.body, str):
        raise FixtureError(
            f'{path}:1: a signature is of the bytes as they came. Put them into "body" as one text, '
            "or leave the secret out."
        )
    body = whole.body.encode() if isinstance(whole.body, str) else msgspec.json.encode(whole.body)
    lower = {name.lower(): value for name, value in whole.headers.items()}
    return Captured(name=path.name, body=body, headers=lower, secret=whole.secret, url=whole.url, at=whole.at)
