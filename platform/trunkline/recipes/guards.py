"""What a record must be before CEL may see it. Each limit answers an attack on the library that worked.

Only the fields that a program reads are looked at and sent: a long note that no expression mentions stops
nothing.
"""

from collections.abc import Mapping as Map
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec

from trunkline.kernel.strictjson import INT64_MAX, INT64_MIN
from trunkline.recipes import expression as cel_text
from trunkline.recipes.document import flatten, lookup
from trunkline.recipes.results import Program

MAX_DEPTH = 32  # 10,000 crash the library
MAX_LIST = 500  # map() and filter() cost quadratic memory
MAX_STRING_BYTES = 16 * 1024
MAX_RECORD_BYTES = 1024 * 1024
MAX_VALUES = 20_000  # in one record, maps and lists counted with their members


class GuardError(ValueError):
    """The record is beyond a limit; the message names the field and the limit."""


@lru_cache(maxsize=256)
def guard_of(program: Program) -> "Guard":
    """A program's guard; reading what its expressions name takes longer than a page of records."""
    return Guard(program)


class Guard:
    """Prepares documents for one program. Names are the program's own, bounded by its texts."""

    def __init__(self, program: Program) -> None:
        texts = [*program.expressions, *([program.filter] if program.filter is not None else [])]
        found = [cel_text.references(text) for text in texts]
        self._names = sorted(frozenset().union(*(each.record for each in found)))
        self._whole = any(each.whole_record for each in found)
        self._source = any(each.source for each in found)

    def prepare(self, document: Map[str, Any]) -> msgspec.Raw:
        """As msgpack {"record": ..., "source": ...}; fields named but missing are null. Or GuardError."""
        if self._whole:
            record = {**dict.fromkeys(self._names), **flatten(document)}
        else:
            get = lookup(document)
            record = {name: get(name) for name in self._names}
        if self._source or not all(map(_plain, record.values())):
            state = _Converter()
            record = state.convert(record, "record", 1)
            source = state.convert(document, "source", 1) if self._source else {}
            encoded = _encoder.encode({"record": record, "source": source})
        else:
            encoded = _encoder.encode({"record": record, "source": {}})
        if len(encoded) > MAX_RECORD_BYTES:
            raise GuardError(f"the record has {len(encoded):,} bytes; expressions take at most 1 MB")
        return msgspec.Raw(encoded)


def _plain(value: Any) -> bool:
    """Whether a value needs no conversion, and no limit can be exceeded by it."""
    if type(value) is str:
        return len(value) * 4 <= MAX_STRING_BYTES and "\x00" not in value
    return value is None or value is True or value is False


class _Converter:
    def __init__(self) -> None:
        self._values = 0

    def convert(self, value: Any, at: str, depth: int) -> Any:
        """Plain JSON values only; `depth` counts the containers from the record itself, which is 1."""
        self._values += 1
        if self._values > MAX_VALUES:
            raise GuardError(f"the record has more than {MAX_VALUES:,} values")
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, str):
            return _text(value, at)
        if isinstance(value, int):
            if not INT64_MIN <= value <= INT64_MAX:
                raise GuardError(f"{at} is a whole number beyond 64 bits")
            return value
        if isinstance(value, (Map, list, tuple)):
            return self._container(value, at, depth)
        if isinstance(value, datetime):
            aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return aware.isoformat().replace("+00:00", "Z")
        if isinstance(value, (Decimal, UUID)):
            return str(value)
        if isinstance(value, date):
            return value.isoformat()
        raise GuardError(f"{at} is of type {type(value).__name__}, which expressions cannot read")

    def _container(self, value: Map[str, Any] | list[Any] | tuple[Any, ...], at: str, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise GuardError(f"{_short(at)} is nested deeper than {MAX_DEPTH} levels")
        if not isinstance(value, Map):
            if len(value) > MAX_LIST:
                raise GuardError(
                    f"{at} is a list of {len(value):,} items; expressions take at most {MAX_LIST}"
                )
            return [self.convert(item, f"{at}[{index}]", depth + 1) for index, item in enumerate(value)]
        result: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise GuardError(f"{at} has a key that is not text")
            name = _text(key, f"a key of {at}")  # first: it is part of what is said about the value
            result[name] = self.convert(item, f"{at}.{name}", depth + 1)
        return result


def _text(value: str, at: str) -> str:
    if "\x00" in value:
        raise GuardError(f"{_short(at)} contains a NUL character")
    # Only a text this long can exceed the limit in bytes (UTF-8 needs at most four for a character).
    if len(value) * 4 > MAX_STRING_BYTES:
        size = len(value.encode("utf-8", "replace"))
        if size > MAX_STRING_BYTES:
            raise GuardError(f"{_short(at)} has {size:,} bytes; expressions take texts of at most 16 KB")
    return value


def _short(at: str) -> str:
    clean = at.replace("\x00", "␀")
    return clean if len(clean) <= 80 else f"{clean[:79]}…"


_encoder = msgspec.msgpack.Encoder()
