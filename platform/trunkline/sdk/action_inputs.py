"""What a caller gives for an action: checked, and made into the values of its templates."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

import msgspec

from trunkline.sdk.actions import OTHERS, Action, ActionInput

OWN_NAME: Final = re.compile(r"[A-Za-z0-9_.:@ -]{1,100}")
"""Of an account's own field."""
LARGEST: Final = 2**53
"""Beyond it a JSON number is not the same everywhere."""


class Wrong(msgspec.Struct, frozen=True):
    """`field` as the caller spelt it; the message quotes no value."""

    field: str
    message: str


def check_input(action: Action, given: Mapping[str, Any]) -> list[Wrong]:
    """Everything that is wrong with it, in the order of the manifest."""
    found = [Wrong(one.name, "This is required.") for one in action.input if _lacks(one, given)]
    for one in action.input:
        if given.get(one.name) is not None:
            found += _wrong(one, given[one.name])
    known = {one.name for one in action.input}
    for name in given:
        if name not in known:
            listed = ", ".join(sorted(known))
            found.append(Wrong(str(name)[:100], f"{action.title} takes no such value. It takes {listed}."))
    return found


def call_values(action: Action, given: Mapping[str, Any], key: str, asked_at: datetime) -> dict[str, Any]:
    """For the templates, of an input without fault. `key`: of this call and no other."""
    values: dict[str, Any] = {
        "call_key": key,
        "call_ms": int(asked_at.timestamp() * 1000),
        "call_s": int(asked_at.timestamp()),
        "call_iso": asked_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    for one in action.input:
        value = given.get(one.name)
        if value is None:
            continue
        if one.type == "map":
            value = {f"{one.prefix}{name}": item for name, item in value.items()}
            if one.pairs is not None:
                first, second = one.pairs
                value = [{first: _number(name), second: item} for name, item in value.items()]
        elif one.type == "enum":
            value = one.values.get(value, value)
        values[one.name] = value
        if isinstance(value, str):
            values[f"{one.name}_quoted"] = re.sub(r"([\\'\"])", r"\\\1", value)
    values[OTHERS] = _others(action, values)
    return values


def _others(action: Action, values: Mapping[str, Any]) -> dict[str, Any]:
    """What a map brings does not take the place of an input of its own."""
    maps: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for one in action.others:
        if one.name not in values:
            continue
        if one.type == "map" and one.pairs is None:
            maps |= values[one.name]
        else:
            own[one.sent_as or one.name] = values[one.name]
    return maps | own


def blamed(action: Action, theirs: str) -> str | None:
    """The caller's name for a field as the provider calls it; None: it is none that was given."""
    theirs = theirs.strip()[:200]
    if theirs in action.fields:
        return action.fields[theirs]
    last = re.split(r"[.\[\]]+", theirs.strip("[]. "))[-1]
    for template in (action.body, action.batch and action.batch.item, action.change and action.change.body):
        for name, hole in _leaves(template):
            if name in {theirs, last} and action.given(hole):
                return hole
    for one in action.input:
        if (one.sent_as or one.name) in {theirs, last}:
            return one.name
    own = next((one for one in action.input if one.type == "map"), None)
    if own is not None and OWN_NAME.fullmatch(last):
        return f"{own.name}.{last.removeprefix(own.prefix)}"
    return None


# -- inside -----------------------------------------------------------------------------------


def _lacks(one: ActionInput, given: Mapping[str, Any]) -> bool:
    return one.required and given.get(one.name) in (None, "", [], {})


def _wrong(one: ActionInput, value: Any) -> Iterator[Wrong]:
    message = _kind(one, value)
    if message:
        yield Wrong(one.name, message)
    elif one.type == "map":
        for name, item in value.items():
            place = f"{one.name}.{name[:100]}"
            if not OWN_NAME.fullmatch(name):
                yield Wrong(place, "This is no name of a field.")
            elif not (item is None or _plain(item) or (_texts(item) and len(item) <= one.max_length)):
                yield Wrong(place, "This must be a text, a number, true, false, null or a list of texts.")


def _kind(one: ActionInput, value: Any) -> str:
    """What is wrong with it as a whole; empty if nothing."""
    match one.type:
        case "string":
            return _text(one, value)
        case "enum":
            fits = isinstance(value, str) and value in one.options
            return "" if fits else f"This must be one of {', '.join(one.options)}."
        case "integer" | "number":
            whole = isinstance(value, int) or (
                isinstance(value, float) and math.isfinite(value) and one.type == "number"
            )
            fits = whole and not isinstance(value, bool) and abs(value) <= LARGEST
            return "" if fits else f"This must be {'a whole' if one.type == 'integer' else 'a'} number."
        case "boolean":
            return "" if isinstance(value, bool) else "This must be true or false."
        case "datetime":
            return "" if _moment(value) else "This must be a time with its zone, as 2026-05-01T12:00:00Z."
        case "date":
            return "" if _day(value) else "This must be a day, as 2026-05-01."
        case "list":
            if not _texts(value):
                return "This must be a list of texts."
            return "" if len(value) <= one.max_length else f"At most {one.max_length} entries."
        case "map":
            if not isinstance(value, dict):
                return "This must be an object: a field's name and its value."
            return "" if len(value) <= one.max_length else f"At most {one.max_length} fields."


def _text(one: ActionInput, value: Any) -> str:
    if not isinstance(value, str):
        return "This must be a text."
    if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
        return "This holds signs that cannot be sent."
    return "" if len(value) <= one.max_length else f"At most {one.max_length} characters."


def _plain(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 65_536 and "\0" not in value
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, bool) or (isinstance(value, int | float) and abs(value) <= LARGEST)


def _texts(value: Any) -> bool:
    if not isinstance(value, list):
        return False
    return all(isinstance(item, str) and len(item) <= 1000 and "\0" not in item for item in value)


def _moment(value: Any) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _day(value: Any) -> bool:
    try:
        return isinstance(value, str) and len(value) == 10 and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _number(name: str) -> str | int:
    return int(name) if name.isascii() and name.isdigit() and len(name) < 19 else name


def _leaves(template: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Each name in the template whose value is exactly one {hole}."""
    if isinstance(template, Mapping):
        for key, item in template.items():
            yield from _leaves(item, key)
    elif isinstance(template, list | tuple):
        for item in template:
            yield from _leaves(item, name)
    elif isinstance(template, str) and (found := re.fullmatch(r"\{([a-z][a-z0-9_]*)\}", template)):
        yield name, found[1]
