"""What an answer says of the end of the interface that was called.

`Deprecation` is RFC 9745's (`@` and Unix seconds; older drafts sent `true` or a date), `Sunset` RFC 8594's
(an HTTP date); providers have headers of their own, which a manifest names. Only that there is one is kept,
and the day of a Sunset: what a provider writes there is no text of ours.
"""

from collections import OrderedDict
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import UUID

import msgspec

from trunkline.sdk.manifest import Manifest

KEPT: Final = 10_000
"""Connections whose notices a process remembers, so that it writes each once."""


class Notice(msgspec.Struct, frozen=True):
    header: str
    """In lower case."""
    version: str
    """Of the API, as we speak it."""
    ends: str = ""
    """The day of the end, where it was given: 2027-03-30."""


def notice_of(manifest: Manifest, headers: Mapping[str, str]) -> Notice | None:
    """None, nearly always. `headers`: find a name in lower case."""
    api = manifest.api
    own = api.warning_headers if api is not None else ()
    header = next((name for name in ("sunset", "deprecation", *own) if name.lower() in headers), None)
    if header is None:
        return None
    if header == "deprecation" and headers[header].strip().lower() in {"", "false", "?0"}:
        return None
    ends = _day(headers["sunset"]) if header == "sunset" else ""
    return Notice(header.lower(), api.version if api is not None else "", ends)


class Remembered:
    """Which notices of which connection this process has passed on."""

    def __init__(self) -> None:
        self._passed: OrderedDict[UUID, Notice] = OrderedDict()

    def is_new(self, connection_id: UUID, notice: Notice) -> bool:
        """One a connection and version of the API; a day that came to be known counts as new."""
        held = self._passed.get(connection_id)
        if held is not None and held.version == notice.version and (held.ends or not notice.ends):
            return False
        self._passed[connection_id] = notice
        self._passed.move_to_end(connection_id)
        while len(self._passed) > KEPT:
            self._passed.popitem(last=False)
        return True

    def forget(self, connection_id: UUID) -> None:
        """It could not be passed on after all."""
        self._passed.pop(connection_id, None)


def _day(text: str) -> str:
    try:
        return parsedate_to_datetime(text[:60]).date().isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""
