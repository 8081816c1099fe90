"""Conditions that people click together, and the CEL they stand for; each can be read back from the other.

The text is all that a recipe keeps. A filter that is not exactly what `to_cel` writes is shown as CEL.
"""

import re
from collections.abc import Sequence
from datetime import date

import msgspec

from trunkline.recipes.errors import DefinitionError

MAX_CONDITIONS = 5
MAX_VALUE = 300  # characters; a longer text belongs into an expression

_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,15})?")


class Condition(msgspec.Struct, frozen=True):
    """One row: `operator` is a key of OPERATORS; `value` counts only where the operator takes one."""

    field: str
    operator: str
    value: str = ""


class Operator(msgspec.Struct, frozen=True):
    """`cel` has {text} (the field as text), {field} and {value}. `kind` says how the value is written."""

    words: str
    cel: str
    kind: str = "text"


_NUMERIC = '{field} != null && {field} != "" && number({field}) '
_DATED = '{field} != null && {field} != "" && timestamp({field}) '

OPERATORS: dict[str, Operator] = {
    "is": Operator("is", "{text} == {value}"),
    "is_not": Operator("is not", "{text} != {value}"),
    "contains": Operator("contains", "{text}.contains({value})"),
    "not_contains": Operator("does not contain", "!{text}.contains({value})"),
    "starts": Operator("begins with", "{text}.startsWith({value})"),
    "ends": Operator("ends with", "{text}.endsWith({value})"),
    "empty": Operator("is empty", '{text} == ""', "none"),
    "filled": Operator("is not empty", '{text} != ""', "none"),
    "above": Operator("is greater than (number)", _NUMERIC + "> {value}", "number"),
    "below": Operator("is less than (number)", _NUMERIC + "< {value}", "number"),
    "after": Operator("is on or after (date)", _DATED + ">= {value}", "date"),
    "before": Operator("is before (date)", _DATED + "< {value}", "date"),
}


def to_cel(conditions: Sequence[Condition]) -> str:
    """All of them must hold. Expects conditions without `problems`."""
    return " && ".join(f"({_one(condition)})" for condition in conditions)


def problems(conditions: Sequence[Condition]) -> list[DefinitionError]:
    """What is missing or wrong; paths are `conditions.0.value`."""
    found: list[DefinitionError] = []
    for index, condition in enumerate(conditions):
        at = f"conditions.{index}"
        operator = OPERATORS.get(condition.operator)
        if not condition.field:
            found.append(DefinitionError(f"{at}.field", "Choose the field to look at."))
        if operator is None:
            found.append(DefinitionError(f"{at}.operator", "Choose how to compare."))
            continue
        if operator.kind == "none":
            continue
        if condition.value == "":
            found.append(DefinitionError(f"{at}.value", "Enter the value to compare with."))
        elif len(condition.value) > MAX_VALUE:
            found.append(
                DefinitionError(f"{at}.value", f"At most {MAX_VALUE} characters; use an expression.")
            )
        elif operator.kind == "number" and not _NUMBER.fullmatch(condition.value.strip()):
            found.append(DefinitionError(f"{at}.value", "Enter a number, such as 1000 or 12.5."))
        elif operator.kind == "date" and _day(condition.value) is None:
            found.append(DefinitionError(f"{at}.value", "Enter a date, such as 2026-01-31."))
    return found


def from_cel(text: str) -> tuple[Condition, ...] | None:
    """The conditions of which `to_cel` makes exactly this text, or None."""
    found: list[Condition] = []
    rest = text
    while len(found) < MAX_CONDITIONS:
        for name, pattern in _PATTERNS.items():
            match = pattern.match(rest)
            if match is None:
                continue
            field = _unquoted(match["quoted"]) if match["quoted"] is not None else match["plain"]
            value = _read(OPERATORS[name].kind, match.groupdict().get("value"))
            found.append(Condition(field, name, value))
            rest = rest[match.end() :]
            break
        else:
            return None
        if not rest:
            return tuple(found) if to_cel(found) == text else None
        if not rest.startswith(" && "):
            return None
        rest = rest[4:]
    return None


def words(condition: Condition, label: str) -> str:
    """As a person reads it: `Country is "Sweden"`."""
    operator = OPERATORS[condition.operator]
    said = operator.words.partition(" (")[0]
    if operator.kind == "none":
        return f"{label} {said}"
    value = condition.value if operator.kind in {"number", "date"} else f"“{condition.value}”"
    return f"{label} {said} {value}"


def _one(condition: Condition) -> str:
    operator = OPERATORS[condition.operator]
    field = member(condition.field)
    value = ""
    if operator.kind == "text":
        value = quoted(condition.value)
    elif operator.kind == "number":
        number = condition.value.strip()
        value = number if "." in number else f"{number}.0"
    elif operator.kind == "date":
        value = f'timestamp("{_day(condition.value)}T00:00:00Z")'
    # replaced in this order, each once in what is ours: a value that holds "{field}" stays as it is
    parts = re.split(r"(\{text\}|\{field\}|\{value\})", operator.cel)
    given = {"{text}": f"text({field})", "{field}": field, "{value}": value}
    return "".join(given.get(part, part) for part in parts)


def member(name: str) -> str:
    """`record.name`, or `record["a name"]` for one that is no identifier."""
    return f"record.{name}" if _plain(name) else f"record[{quoted(name)}]"


def quoted(value: str) -> str:
    """A CEL string. Quotes of both kinds are escaped, so that nothing in it looks like another string."""
    written = []
    for character in value:
        if character in "\\\"'":
            written.append("\\" + character)
        elif character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff":
            written.append(f"\\u{ord(character):04x}")
        else:
            written.append(character)
    return '"' + "".join(written) + '"'


# Words of CEL's grammar that cannot be a member's name after a dot.
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"}
    | {"import", "let", "loop", "package", "namespace", "return", "var", "void", "while"}
)


def _plain(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII) is not None and name not in _RESERVED


def _unquoted(text: str) -> str:
    return re.sub(
        r"\\(?:u([0-9a-f]{4})|(.))",
        lambda found: chr(int(found[1], 16)) if found[1] else found[2],
        text[1:-1],
        flags=re.DOTALL,
    )


def _day(value: str) -> str | None:
    try:
        return date.fromisoformat(value.strip()).isoformat() if len(value.strip()) == 10 else None
    except ValueError:
        return None


def _read(kind: str, value: str | None) -> str:
    if value is None or kind == "none":
        return ""
    if kind == "text":
        return _unquoted(value)
    if kind == "date":
        return value[len('timestamp("') :][:10]
    return value.removesuffix(".0")


_TEXT = r'"(?:[^"\\]|\\.)*"'
_VALUES = {
    "text": _TEXT,
    "number": r"-?\d+\.\d+",
    "date": r'timestamp\("\d{4}-\d\d-\d\dT00:00:00Z"\)',
    "none": "",
}


def _pattern(operator: Operator) -> re.Pattern[str]:
    """The text of one condition, its field and value as groups; further mentions of the field repeat it."""
    whole = ""
    named = False
    for part in re.split(r"(\{text\}|\{field\}|\{value\})", operator.cel):
        if part in {"{text}", "{field}"}:
            field = (
                r"(?P=member)"
                if named
                else rf"(?P<member>record(?:\.(?P<plain>\w+)|\[(?P<quoted>{_TEXT})\]))"
            )
            named = True
            whole += rf"text\({field}\)" if part == "{text}" else field
        elif part == "{value}":
            whole += rf"(?P<value>{_VALUES[operator.kind]})"
        else:
            whole += re.escape(part)
    return re.compile(rf"\({whole}\)", re.DOTALL)


# Without a value first: `is not ""` is the same text as "is not empty", and that is what it means.
_PATTERNS = {
    name: _pattern(OPERATORS[name])
    for name in sorted(OPERATORS, key=lambda name: OPERATORS[name].kind != "none")
}
