"""From what providers send to what a model's field holds. One function, no state, never raises for data.

Stored forms: string and text as text; integer in the int64 range; number as an int64 or the nearest double;
boolean; datetime as RFC 3339 in UTC ending in Z; date as YYYY-MM-DD; enum as its value; json as it is.
Null and the empty string mean "no value" in every type: HubSpot clears a property by writing "".
"""

import math
import re
from datetime import UTC, date, datetime
from typing import Any

from trunkline.kernel import strictjson
from trunkline.recipes.errors import did_you_mean
from trunkline.recipes.target import TargetField

Coerced = tuple[Any, str | None]

STRING_LIMIT = 1024
TEXT_LIMIT = 65_536  # HubSpot's longest property value
_TRUE = {"true", "yes", "1"}
_FALSE = {"false", "no", "0"}
_INTEGER = re.compile(r"[+-]?\d{1,19}(?:\.0{1,20})?")
_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?")
_EPOCH = re.compile(r"-?\d{1,16}")
_CALENDAR = re.compile(r"\d{4}-\d{2}-\d{2}")
# Epochs are milliseconds from this size on: as seconds it is the year 5138, as milliseconds March 1973.
_MILLISECONDS_FROM = 100_000_000_000


def coerce(field: TargetField, value: Any) -> Coerced:
    """(stored form, None), (None, None) for no value, or (None, what is wrong) without the field's name."""
    if value is None or value == "":
        return None, None
    return _BY_TYPE[field.type](field, value)


def shown(value: Any) -> str:
    """A value as it is quoted in a message: short, on one line."""
    if isinstance(value, str):
        text = f"'{value}'"
    elif isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    else:
        text = str(value).lower() if isinstance(value, bool) else str(value)
    text = " ".join(text.split()).replace("\x00", "␀")
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1]}"


def _wrong(value: Any, what: str) -> Coerced:
    return None, f"{shown(value)} is not {what}"


def _line(field: TargetField, value: Any) -> Coerced:
    return _text(field, value, STRING_LIMIT)


def _text(field: TargetField, value: Any, limit: int = TEXT_LIMIT) -> Coerced:
    if isinstance(value, (dict, list)):
        return _wrong(value, "text")
    text = value if isinstance(value, str) else _plain(value)
    if "\x00" in text:
        return None, f"{shown(text)} contains a NUL character"
    if len(text) > limit:
        return None, f"the text has {len(text):,} characters; {field.type} holds at most {limit:,}"
    return text, None


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def _integer(_: TargetField, value: Any) -> Coerced:
    number: int | None = None
    if isinstance(value, bool):
        return _wrong(value, "a whole number")
    if isinstance(value, int):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        number = int(value.strip().split(".")[0])
    if number is None:
        return _wrong(value, "a whole number")
    if not strictjson.INT64_MIN <= number <= strictjson.INT64_MAX:
        return _wrong(value, "within the range of whole numbers (about ±9.2 × 10¹⁸)")
    return number, None


def _number(_: TargetField, value: Any) -> Coerced:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        text = value.strip()
        parsed: int | float = int(text) if _INTEGER.fullmatch(text) and "." not in text else float(text)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        parsed = value
    else:
        return _wrong(value, "a number")
    if isinstance(parsed, int) and not strictjson.INT64_MIN <= parsed <= strictjson.INT64_MAX:
        parsed = float(parsed) if abs(parsed) < 1 << 1000 else math.inf
    if isinstance(parsed, float):
        if not math.isfinite(parsed):
            return _wrong(value, "a number that can be stored")
        if parsed.is_integer() and abs(parsed) <= 2**53:
            parsed = int(parsed)  # 5 and 5.0 are one number, so they are one fingerprint
    return parsed, None


def _boolean(_: TargetField, value: Any) -> Coerced:
    if isinstance(value, bool):
        return value, None
    word = value.strip().casefold() if isinstance(value, str) else str(value)
    if not isinstance(value, (str, int)) or word not in _TRUE | _FALSE:
        return _wrong(value, "true or false")
    return word in _TRUE, None


def _datetime(_: TargetField, value: Any) -> Coerced:
    moment = _moment(value)
    if moment is None:
        return _wrong(value, "a date and time (2024-05-01T09:30:00Z, or milliseconds since 1970)")
    return moment.isoformat()[: -len("+00:00")] + "Z", None


def _date(_: TargetField, value: Any) -> Coerced:
    if isinstance(value, str) and len(value) == 10:
        try:
            return date.fromisoformat(value).isoformat(), None
        except ValueError:
            pass
    moment = _moment(value)
    if moment is None:
        return _wrong(value, "a date (2024-05-01)")
    return moment.date().isoformat(), None


def _moment(value: Any) -> datetime | None:
    """UTC. A time without an offset is taken as UTC; numbers are seconds or milliseconds since 1970."""
    text = value.strip() if isinstance(value, str) else value
    try:
        # Python reads week dates and basic forms too; only what looks like a calendar date is meant.
        if isinstance(text, str) and _CALENDAR.match(text):
            parsed = datetime.fromisoformat(text)
            if parsed.tzinfo is UTC:
                return parsed
            return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
        if isinstance(text, str) and not _EPOCH.fullmatch(text):
            return None
        if isinstance(text, bool) or not isinstance(text, (str, int, float)):
            return None
        epoch = int(text)
        if abs(epoch) < _MILLISECONDS_FROM:
            return datetime.fromtimestamp(epoch, UTC)
        seconds, milliseconds = divmod(epoch, 1000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=milliseconds * 1000)
    except (ValueError, OverflowError, OSError):
        return None


def _enum(field: TargetField, value: Any) -> Coerced:
    if isinstance(value, (dict, list)):
        return _wrong(value, "one of the values")
    text = _plain(value) if not isinstance(value, str) else value.strip()
    folded = text.casefold()
    for choice in field.enum_values:
        if text == choice.value:
            return choice.value, None
    for choice in field.enum_values:
        if folded in (choice.value.casefold(), choice.label.casefold()):
            return choice.value, None
    values = [choice.value for choice in field.enum_values]
    listed = ", ".join(values[:8]) + (", …" if len(values) > 8 else "")
    return None, f"{shown(value)} is none of {listed}.{did_you_mean(text, values)}"


def _json(_: TargetField, value: Any) -> Coerced:
    problem = strictjson.problem(value)
    return (None, problem) if problem else (value, None)


_BY_TYPE = {
    "string": _line,
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "datetime": _datetime,
    "date": _date,
    "enum": _enum,
    "json": _json,
}
