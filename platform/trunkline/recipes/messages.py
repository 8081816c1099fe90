"""The CEL library's messages, in words for the person who wrote the expression. Unknown ones pass through."""

import re

from trunkline.recipes.errors import did_you_mean
from trunkline.recipes.functions import FUNCTION_NAMES

TOO_LONG = "the expression took longer than 500 ms"
TOO_MUCH_MEMORY = "the expression needed more than 512 MB of memory"
GIVEN_UP = "not evaluated, because the expression had to be stopped on {count} records before this one"

_TYPES = {
    "null_type": "an empty value (null)",
    "null": "an empty value (null)",
    "string": "text",
    "int": "a whole number",
    "int64": "a whole number",
    "uint": "a whole number (unsigned)",
    "uint64": "a whole number (unsigned)",
    "double": "a decimal number",
    "bool": "true/false",
    "timestamp": "a date and time",
    "google.protobuf.Timestamp": "a date and time",
    "duration": "a duration",
    "list": "a list",
    "map": "a map",
    "bytes": "bytes",
    "*opaque*": "an optional value",
}
_PLACE = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_OVERLOAD = re.compile(r"found no matching overload for '([^']+)' applied to '([^']*)'")
_AT_RUN_TIME = re.compile(r"No matching overloads found : (?:\((.*?)\)\.)?(\S+?)(?:\((.*)\))?$")
_PREFIX = re.compile(r"^(filter: )?(?:[A-Z_]+: )?(.*?)(?: \[[A-Z_]+\])?$", re.DOTALL)


def compile_error(expression: str, raw: str) -> tuple[str, int | None]:
    """(message, position): the first thing that is wrong, and where, in characters from 0."""
    found = _PLACE.search(raw)
    if found is None:
        return _too_deep(raw) or _tidy(raw), None
    line, column, what = int(found[1]), int(found[2]), found[3].strip()
    position = None
    if line > 0:
        before = sum(len(text) + 1 for text in expression.split("\n")[: line - 1])
        position = min(before + max(column - 1, 0), len(expression))
    return _compile_words(what, expression[position or 0 :]), position


def _compile_words(what: str, rest: str = "") -> str:
    if what.startswith("undeclared reference to '"):
        name = what.partition("'")[2].partition("'")[0]
        root, dot, member = name.partition(".")
        near = did_you_mean(name, FUNCTION_NAMES)
        if dot and root in ("rec", "recod", "records", "Record", "properties"):
            near = f' Did you mean "record.{member}"?'
        if rest.startswith("("):
            return f'There is no function "{name}".{near}'
        hint = near or f' Fields are written record.{name}, text in quotes: "{name}".'
        return f'"{name}" is not known here.{hint}'
    if "input '<EOF>'" in what:
        return "The expression ends too early; something is missing at the end."
    missing = re.search(r"missing '([^']*)' at '([^']*)'", what)
    if missing:
        place = "at the end" if missing[2] == "<EOF>" else f'before "{missing[2]}"'
        return f'A "{missing[1]}" is missing {place}.'
    if "Syntax error" in what:
        unexpected = re.search(r"(?:mismatched|extraneous) input '([^']*)'", what)
        if unexpected:
            return f'"{unexpected[1]}" is not expected here.'
        return f"This cannot be read: {_tidy(what.rpartition('Syntax error: ')[2])}"
    overload = _OVERLOAD.search(what)
    if overload:
        return _mismatch(overload[1], overload[2].strip("()"))
    return _too_deep(what) or _tidy(what)


def runtime_error(raw: str) -> str:
    """What went wrong on one record, beginning with a small letter: it follows the field's name."""
    parts = _PREFIX.match(raw)
    prefix, what = (parts[1] or "", parts[2]) if parts else ("", raw)
    return prefix + _runtime_words(what)


def _runtime_words(what: str) -> str:
    invalid = _PLACE.search(what)
    if invalid:
        return f"the expression is not valid: {_compile_words(invalid[3].strip())}"
    missing = re.match(r'Key not found in map : "(.*)"', what)
    if missing:
        return f'there is no "{missing[1]}" in this record; use has(...) or .? to ask first'
    if "<jump_condition>" in what:
        return "a condition is neither true nor false; compare it, such as record.a == 'x'"
    overload = _AT_RUN_TIME.search(what)
    if overload:
        target, name, arguments = overload[1], overload[2], overload[3] or ""
        message = _mismatch(name, ", ".join(part for part in (target, arguments) if part))
        return message[:1].lower() + message[1:]
    known = {
        "Applying SELECT to non-message type": "only a map has members; the value before the dot is none",
        "Unable to convert function return value": "the result may be missing; add .orValue(...) at the end",
        "divide by zero": "it divides by zero",
        "modulus by zero": "it divides by zero",
        "integer overflow": "a whole number became too large",
        "Iteration budget exceeded": "it goes through too many list items (map, filter, all, exists)",
    }
    for text, words in known.items():
        if text in what:
            return words
    converted = re.search(r"cannot convert string to (\w+)", what)
    if converted:
        return f"the text is not {_TYPES.get(converted[1], converted[1])}"
    return _tidy(what)


def _mismatch(function: str, arguments: str) -> str:
    kinds = [kind.strip() for kind in re.sub(r"\([^()]*\)", "", arguments).split(",") if kind.strip()]
    words = " and ".join(_TYPES.get(kind, kind) for kind in kinds) or "nothing"
    symbol = re.fullmatch(r"_?([^A-Za-z_]+)_?", function)
    name = symbol[1] if symbol else f"{function.strip('_')}()"
    hint = ""
    if any(kind in ("null", "null_type") for kind in kinds):
        hint = ' Use default(record.field, "") or text(record.field) where a field may be empty.'
    elif symbol and "double" in kinds and {"int", "int64"} & set(kinds):
        hint = " Write 1.0 instead of 1, or use double(...)."
    elif symbol and "string" in kinds and {"int", "int64", "double"} & set(kinds):
        hint = " Use number(...) to calculate, or text(...) to join."
    elif "*opaque*" in kinds or any(kind.startswith("optional_type") for kind in kinds):
        hint = " Add .orValue(...) to the optional value."
    return f"{name} does not work on {words}.{hint}"


def _too_deep(what: str) -> str | None:
    if "recursion" in what:
        return "The expression is nested too deeply; at most 32 levels are allowed."
    return None


def _tidy(raw: str) -> str:
    """One line, without the library's status words."""
    text = re.sub(r"^(?:[A-Z_]+: )?(?:ERROR: <input>:-?\d+:-?\d+: )?", "", raw.split("\n", maxsplit=1)[0])
    return re.sub(r" \(in container ''\)| \[[A-Z_]+\]$", "", text).strip()
