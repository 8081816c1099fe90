"""JSON within limits that every layer below can hold.

msgspec already refuses NaN, 1e400 and lone surrogates; it accepts duplicate keys, NUL and numbers beyond
int64, and only fails on depth near 1,000. What passes here is at most 64 deep, has no NUL, and no integer
that Postgres' bigint or a reader's int64 cannot hold.
"""

import hashlib
import json
import math
from typing import Any, Literal

import msgspec

MAX_DEPTH = 64
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1
NUL_SHOWN = "\u2400"  # the symbol for NUL: what a replaced NUL is read as

_BRACKETS = b"[]{}"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_NO_SHAPE = bytes(set(range(256)) - set(_BRACKETS + b'"\\'))
_DIGITS = bytes.maketrans(b"0123456789", b"0" * 10)
_LONG_NUMBER = b"0" * 19
_EVERY_FOURTH = b"0" * 4
"""What is left of 19 digits, at the least, where only every fourth byte is looked at."""
_decoder = msgspec.json.Decoder()
_sorted_encoder = msgspec.json.Encoder(order="deterministic")


class JSONLimitError(ValueError):
    """Not JSON, or beyond a limit. The message says what; `path` where, with dots, or "" if not known."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


def decode(
    data: bytes | str,
    *,
    unique_keys: bool = False,
    nul: Literal["refuse", "replace"] = "refuse",
    long_integers: Literal["refuse", "text"] = "refuse",
) -> Any:
    """Decoded JSON within the limits, or JSONLimitError.

    `unique_keys` refuses duplicate keys: for configuration and for whatever is signed. `nul="replace"` turns
    NUL into U+2400 (lossy, for providers' data). `long_integers="text"` keeps those beyond int64 as digits.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        value = _decoder.decode(raw)
    except RecursionError:
        raise JSONLimitError(f"The JSON is nested deeper than {MAX_DEPTH} levels.") from None
    except msgspec.DecodeError as error:
        raise JSONLimitError(f"Not valid JSON: {error}.") from None
    except UnicodeDecodeError:
        raise JSONLimitError("Not valid JSON: it is not UTF-8.") from None
    # A walk is only made when the bytes show that something could be wrong: it costs more than decoding.
    escapes = b"\\" in raw
    if not _surely_shallow(_brackets(raw)) and _depth_exceeded(value):
        raise JSONLimitError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    if unique_keys:
        _refuse_duplicates(raw)
    if (escapes and b"\\u0000" in raw) or _has_long_number(raw):
        value = _mend(value, "", replace_nul=nul == "replace", integers_as_text=long_integers == "text")
    return value


def canonical(value: Any) -> bytes:
    """Compact JSON with sorted keys: equal values give equal bytes, on every machine and Python."""
    return _sorted_encoder.encode(value)


def fingerprint(value: Any) -> bytes:
    """16 bytes of blake2b over `canonical`: what decides whether a record changed."""
    return fingerprint_of(canonical(value))


def fingerprint_of(written: bytes) -> bytes:
    """As `fingerprint`, of what `canonical` gave."""
    return hashlib.blake2b(written, digest_size=16).digest()


def problem(value: Any, *, max_depth: int = MAX_DEPTH) -> str | None:
    """Why a value already in memory is not JSON within the limits, or None. Stops at the first finding."""
    if value is None or value is True or value is False or (type(value) is str and "\x00" not in value):
        return None
    if _depth_exceeded(value, max_depth):
        return f"it is nested deeper than {max_depth} levels"
    try:
        _mend(value, "", replace_nul=False, integers_as_text=False)
    except JSONLimitError as error:
        return str(error)
    return None


def _outside_strings(raw: bytes) -> bytes:
    """What valid JSON has outside its strings: brackets, numbers, commas."""
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(raw.split(b'"')[::2])


def _has_long_number(raw: bytes) -> bool:
    if _EVERY_FOURTH not in raw[::4].translate(_DIGITS) or _LONG_NUMBER not in raw.translate(_DIGITS):
        return False
    return _LONG_NUMBER in _outside_strings(raw).translate(_DIGITS)


def _brackets(raw: bytes) -> bytes:
    """Those outside strings. Where no string holds one, each string leaves its two quotes side by side, and
    with these taken away no quote is left: an odd number of them stands before a bracket inside a string.
    """
    shape = raw.translate(None, _NO_SHAPE)
    if b"\\" not in shape:
        shape = shape.replace(b'""', b"")
        if b'"' not in shape:
            return shape
    return _outside_strings(raw).translate(None, _NO_BRACKETS)


def _surely_shallow(brackets: bytes) -> bool:
    """Whether it is at most 64 deep; False where that takes a closer look.

    Each round takes the innermost pairs away, of both kinds one after the other: two levels at the most.
    """
    for _ in range(MAX_DEPTH // 2):
        if not brackets:
            return True
        brackets = brackets.replace(b"{}", b"").replace(b"[]", b"")
    return not brackets


def _depth_exceeded(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Level by level, without recursion: any depth is answered."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
    return bool(level)


def _mend(value: Any, path: str, *, replace_nul: bool, integers_as_text: bool) -> Any:
    """A copy with NUL and long integers treated as asked. The depth is already known to be within limits."""

    def text(found: str, what: str, at: str) -> str:
        if "\x00" not in found:
            return found
        if not replace_nul:
            raise JSONLimitError(f"{what} contains a NUL character, which cannot be stored.", at)
        return found.replace("\x00", NUL_SHOWN)

    def visit(item: Any, at: str) -> Any:
        if item is None or item is True or item is False:
            return item
        if isinstance(item, str):
            return text(item, at or "The text", at)
        if isinstance(item, int):
            if INT64_MIN <= item <= INT64_MAX:
                return item
            if integers_as_text:
                return str(item)
            raise JSONLimitError(f"{at or 'The number'} is an integer beyond 64 bits; send it as text.", at)
        if isinstance(item, float):
            if not math.isfinite(item):
                raise JSONLimitError(f"{at or 'The number'} is not a finite number.", at)
            return item
        if isinstance(item, list):
            return [visit(child, f"{at}.{index}".lstrip(".")) for index, child in enumerate(item)]
        if isinstance(item, dict):
            result: dict[str, Any] = {}
            for key, child in item.items():
                if not isinstance(key, str):
                    raise JSONLimitError(f"{at or 'The object'} has a key that is not text.")
                name = text(key, f"A key of {at or 'the object'}", at)
                result[name] = visit(child, f"{at}.{name}".lstrip("."))
            return result
        raise JSONLimitError(f"{at or 'The value'} is of type {type(item).__name__}, which is not JSON.")

    return visit(value, path)


def _refuse_duplicates(raw: bytes) -> None:
    def pairs(members: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in members:
            if key in seen:
                raise JSONLimitError(f'The key "{key[:80]}" appears twice in one object.', key[:80])
            seen.add(key)

    # numbers stay text: Python refuses to convert very long ones
    json.loads(raw, object_pairs_hook=pairs, parse_int=str, parse_float=str)
