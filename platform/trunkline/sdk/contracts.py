"""What we rely on in a provider's events: `webhooks.json` beside a manifest, a JSON Schema for each type.

Of JSON Schema (2020-12) it may use KEYWORDS alone. Without patterns, combinations and references to
elsewhere every part of a payload is looked at once, so that neither a partner's schema nor a provider's
payload can make it cost more than reading the payload did. `jsonschema_rs` judges; what deviates is said in
words of the contract, not of the payload.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal

import jsonschema_rs
import msgspec

from trunkline.kernel import strictjson

FILE: Final = "webhooks.json"
LIMIT: Final = 64 * 1024
"""Bytes; the longest of ours has 2,000."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
KEYWORDS: Final = ("type", "properties", "required", "items", "enum", "const", "description", "$ref")
LOOKED_AT: Final = 100
"""Items of a list; those behind them are taken to be alike."""
MOST: Final = 8
"""Deviations of one event that are told."""
MOST_VALUES: Final = 200
WORDS: Final = 200
"""Characters of a deviation's words."""

_TOP: Final = ("$schema", "description", "$defs", "events")
_TYPES: Final = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "yes or no",
    "object": "an object",
    "array": "a list",
    "null": "nothing",
}
_PATTERN: Final = re.compile(r"[A-Za-z0-9_.:-]{1,119}\*?|\*")
_REFERENCE: Final = "#/$defs/"
_PLAIN_VALUE: Final = re.compile(r"(?!.*\d{5})(?:[a-z0-9][a-z0-9_.-]{0,29}|[A-Z0-9][A-Z0-9_.-]{0,29})")
"""A new value that may be shown, of a field that was a closed list: short as a program's word or a version,
and not formed like a name, an address or a number of a person."""

Part = str | int
Place = tuple[Part, ...]
Problem = tuple[Place, str, str]
"""(place in the file, what is wrong, what to do)"""


class ContractError(ValueError):
    """The file cannot be used; `at`: where in it."""

    def __init__(self, message: str, at: Place = ()) -> None:
        super().__init__(message)
        self.at = at


class Deviation(msgspec.Struct, frozen=True, kw_only=True):
    """`field`: a path of the contract's names, "data.items[].id". Nothing in it is out of a payload but
    `found`, a type or a plain word, and `beside`, names like the one that is gone.
    """

    field: str
    change: Literal["gone", "retyped", "new_value"]
    expected: str = ""
    found: str = ""
    beside: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        if self.change == "gone":
            like = f"; there is {' and '.join(self.beside)} instead" if self.beside else ""
            said = f"{self.field} is gone{like}"
        elif self.change == "retyped":
            said = f"{self.field} is {self.found} now, no longer {self.expected}"
        elif self.found:
            said = f"{self.field} has the new value {self.found}; we know {self.expected}"
        else:
            said = f"{self.field} has a new value; we know {self.expected}"
        return said if len(said) <= WORDS else f"{said[: WORDS - 1]}…"


class Contract:
    """Of one connector in one version. Immutable but for what it has made ready."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Raises ContractError."""
        for at, message, suggestion in problems(document):
            raise ContractError(f"{message} {suggestion}".strip(), at)
        self.definitions: Mapping[str, Any] = document.get("$defs", {})
        self.events: Mapping[str, Any] = document["events"]
        self._ready: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def entry(self, kind: str) -> str | None:
        """The first that fits an event's type, or a manifest's pattern of types; None: there is none."""
        return next((one for one in self.events if _fits(one, kind)), None)

    def schema(self, entry: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._resolved(self.events[entry])
        return found

    def described(self, schema: Mapping[str, Any], pointer: str) -> tuple[Mapping[str, Any] | None, bool]:
        """What it says of a pointer, and whether it asks for all of its path."""
        always = True
        found: Mapping[str, Any] | None = schema
        for part in pointer.split("."):
            assert found is not None
            always = always and part in found.get("required", ())
            found = self._resolved(found.get("properties", {}).get(part))
            if found is None:
                return None, False
        return found, always

    def deviations(self, kind: str, document: Any) -> list[Deviation] | None:
        """At most MOST; none where it fits. None: the contract says nothing of such events."""
        entry = self.entry(kind)
        if entry is None:
            return None
        validator = self._ready.get(entry)
        if validator is None:
            validator = jsonschema_rs.Draft202012Validator(
                {"$schema": DIALECT, "$defs": self.definitions, **self.events[entry]}
            )
            self._ready[entry] = validator
        if validator.is_valid(document):
            return []
        seen = self._seen(self.events[entry], document)
        found: dict[tuple[str, str], Deviation] = {}
        for error in validator.iter_errors(seen):  # each holds a copy of what it is about, hence `seen`
            one = _deviation(error, document)
            found.setdefault((one.field, one.change), one)
        return list(islice(found.values(), MOST))

    def _resolved(self, schema: Any) -> Any:
        if schema is not None and "$ref" in schema:
            return self.definitions[schema["$ref"].removeprefix(_REFERENCE)]
        return schema

    def _seen(self, schema: Any, value: Any) -> Any:
        """Of a payload what the contract speaks of, no more."""
        found = self._resolved(schema)
        if isinstance(value, dict):
            names = found.get("properties", {})
            return {name: self._seen(names[name], value[name]) for name in names if name in value}
        if isinstance(value, list):
            items = found.get("items")
            return [] if items is None else [self._seen(items, one) for one in value[:LOOKED_AT]]
        return value


def load_contract(folder: Path) -> Contract | None:
    """Of a connector's folder; None: it has none. Raises ContractError, whatever the file holds."""
    path = folder / FILE
    if not path.exists():
        return None
    with path.open("rb") as file:
        return read_contract(file.read(LIMIT + 1))


def read_contract(raw: bytes) -> Contract:
    """Raises ContractError, whatever it holds."""
    return Contract(decoded(raw))


def decoded(raw: bytes) -> dict[str, Any]:
    """Raises ContractError."""
    if len(raw) > LIMIT:
        raise ContractError(f"It is larger than {LIMIT:,} bytes.")
    try:
        document = strictjson.decode(raw, unique_keys=True)
    except strictjson.JSONLimitError as error:
        where = tuple(error.path.split(".")) if error.path else ()
        raise ContractError(f"It cannot be read: {error}.", where) from None
    if not isinstance(document, dict):
        raise ContractError("It is not an object.")
    return document


def problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Everything for which it cannot be used."""
    for name in document:
        if name not in _TOP:
            yield (name,), f'"{name}" has no place in a contract.', f"It holds {_listed(_TOP)}."
    if document.get("$schema") != DIALECT:
        yield ("$schema",), "It does not say which JSON Schema it is.", f'Write "$schema": "{DIALECT}".'
    definitions, events = document.get("$defs", {}), document.get("events")
    if not isinstance(definitions, dict):
        yield ("$defs",), "It is not an object of schemas.", ""
        return
    for name, schema in definitions.items():
        yield from _schema(schema, ("$defs", name), definitions)
    if not isinstance(events, dict) or not events:
        yield (
            ("events",),
            "There is no event.",
            "Give each type, or its beginning with * behind it, a schema.",
        )
        return
    for kind, schema in events.items():
        if not _PATTERN.fullmatch(kind):
            yield ("events", kind), "That is no type of events.", "Letters, digits and _ . : - alone."
        yield from _schema(schema, ("events", kind), definitions)


def _schema(schema: Any, at: Place, definitions: Mapping[str, Any]) -> Iterator[Problem]:
    if not isinstance(schema, dict):
        yield at, "A schema is an object.", ""
        return
    for name in schema:
        if name not in KEYWORDS:
            yield (*at, name), f'"{name}" is not taken.', f"A contract uses {_listed(KEYWORDS)} alone."
    if "$ref" in schema:
        yield from _reference(schema, at, definitions)
    given = schema.get("type")
    types = given if isinstance(given, list) else [given]
    if "type" in schema and not (types and all(isinstance(one, str) and one in _TYPES for one in types)):
        yield (*at, "type"), "That is no type.", f"There are {_listed(_TYPES)}."
    names = schema.get("properties", {})
    if not isinstance(names, dict):
        yield (*at, "properties"), "It is not an object of schemas.", ""
        names = {}
    for name, one in names.items():
        yield from _schema(one, (*at, "properties", name), definitions)
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(one, str) for one in required):
        yield (*at, "required"), "It is not a list of names.", ""
    elif missing := [one for one in required if one not in names]:
        yield (*at, "required"), f"{missing[0]} is asked for and not described.", "Add it to `properties`."
    if "items" in schema:
        yield from _schema(schema["items"], (*at, "items"), definitions)
    values = schema.get("enum", ["-"])
    if not isinstance(values, list) or not 0 < len(values) <= MOST_VALUES or not all(map(_plain, values)):
        yield (*at, "enum"), f"It is not a list of 1 to {MOST_VALUES} texts or numbers.", ""
    if not _plain(schema.get("const", "-")):
        yield (*at, "const"), "It is not a text or a number.", ""
    if not isinstance(schema.get("description", ""), str):
        yield (*at, "description"), "It is not a text.", ""


def _reference(schema: Mapping[str, Any], at: Place, definitions: Mapping[str, Any]) -> Iterator[Problem]:
    """One step to a definition, and nothing beside it: so a part of a payload has one schema."""
    named = schema["$ref"]
    name = named.removeprefix(_REFERENCE) if isinstance(named, str) else ""
    if not isinstance(named, str) or not named.startswith(_REFERENCE) or name not in definitions:
        yield (
            (*at, "$ref"),
            "It refers to nothing in this file.",
            'Write "#/$defs/" and a name out of `$defs`.',
        )
    elif isinstance(definitions[name], dict) and "$ref" in definitions[name]:
        yield (*at, "$ref"), f"{name} is a reference itself.", "Refer to what it refers to."
    if more := sorted(set(schema) - {"$ref", "description"} & set(KEYWORDS)):
        yield (*at, more[0]), "It stands beside a reference.", "Put it into the definition."


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= WORDS


def _fits(entry: str, kind: str) -> bool:
    if not entry.endswith("*"):
        return entry == kind
    return kind.removesuffix("*").startswith(entry[:-1])


def _deviation(error: jsonschema_rs.ValidationError, document: Any) -> Deviation:
    path = list(error.instance_path)
    value = _at(document, path)
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        like = _alike(kind.property, value)
        return Deviation(field=_named([*path, kind.property]), change="gone", beside=like)
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Type):
        return Deviation(
            field=_named(path),
            change="retyped",
            expected=" or ".join(_TYPES[one] for one in kind.types),
            found=_TYPES[_type_of(value)],
        )
    known = kind.options if isinstance(kind, jsonschema_rs.ValidationErrorKind.Enum) else [kind.value]
    shown = str(value) if isinstance(value, str) and _PLAIN_VALUE.fullmatch(value) else ""
    return Deviation(
        field=_named(path), change="new_value", expected=_listed(map(str, islice(known, 8))), found=shown
    )


def _alike(name: str, value: Any) -> tuple[str, ...]:
    """What it may be called now. What is so like a name of the contract's is no data of a person."""
    names = [one for one in islice(value, 200) if len(one) < 2 * len(name)] if isinstance(value, dict) else []
    return tuple(get_close_matches(name, names, n=2, cutoff=0.7))


def _at(document: Any, path: Iterable[Part]) -> Any:
    for part in path:
        document = document[part]
    return document


def _named(path: Iterable[Part]) -> str:
    text = "".join("[]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return text or "The event"


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    for kind, name in ((int, "integer"), (float, "number"), (str, "string"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "object"


def _listed(values: Iterable[str]) -> str:
    return ", ".join(values)
