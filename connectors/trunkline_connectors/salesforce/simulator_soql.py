"""The part of SOQL that integrations send: SELECT, FROM, WHERE, ORDER BY, LIMIT and OFFSET of one object."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from trunkline_connectors.salesforce.simulator_errors import malformed, refuse
from trunkline_connectors.salesforce.simulator_schema import FIELDS, SOBJECTS, FieldDef, kind_of

Row = dict[str, Any]
Test = Callable[[Row], bool]
MAX_DEPTH = 8
LONGEST = 20_000
_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:\\.|[^'\\])*')
    |(?P<time>[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9:.]+(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?)
    |(?P<word>[A-Za-z_][A-Za-z0-9_.]*)
    |(?P<sign><=|>=|!=|<>|[=<>(),]))""",
    re.VERBOSE,
)


class Query(msgspec.Struct):
    kind: str
    names: list[str]
    """Empty: only the count was asked for."""
    test: Test
    order: list[tuple[str, bool]]
    """(field, descending)"""
    limit: int | None
    offset: int


def parsed(text: str) -> Query:
    """Raises 400: MALFORMED_QUERY, INVALID_FIELD or INVALID_TYPE."""
    if len(text) > LONGEST:
        malformed("SOQL statement is too long")
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        text = text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                malformed(f"unexpected token: '{text[at : at + 20]}'")
            self._tokens.append((str(found.lastgroup), found[str(found.lastgroup)]))
            at = found.end()
        self._at = 0
        self._fields: dict[str, FieldDef] = {}
        self._kind = ""

    def query(self) -> Query:
        self._word("SELECT")
        names: list[str] = []
        asked = [self._select()]
        while self._sign(","):
            asked.append(self._select())
        self._word("FROM")
        given = self._next("word")
        kind = kind_of(given)
        if kind is None:
            refuse(400, "INVALID_TYPE", f"sObject type '{given[:50]}' is not supported.")
        self._kind, self._fields = kind, FIELDS[kind]
        for name in asked:
            if name.startswith("FIELDS("):
                names += list(self._fields)
            elif name != "COUNT()":
                names.append(self._field(name).name)
        if len(set(names)) != len(names):
            malformed("duplicate field selected")
        test = self._either(0) if self._is("WHERE") else lambda _: True
        order: list[tuple[str, bool]] = []
        if self._is("ORDER"):
            self._word("BY")
            order.append(self._ordering())
            while self._sign(","):
                order.append(self._ordering())
        limit = self._whole() if self._is("LIMIT") else None
        offset = self._whole() if self._is("OFFSET") else 0
        if self._at < len(self._tokens):
            malformed(f"unexpected token: '{self._tokens[self._at][1][:50]}'")
        return Query(kind, names, test, order, limit, offset)

    def _whole(self) -> int:
        text = self._next("number")
        if not text.isdecimal() or len(text) > 9:
            malformed(f"unexpected token: '{text[:20]}'")
        return int(text)

    def _select(self) -> str:
        word = self._next("word")
        if word.upper() in {"COUNT", "FIELDS"} and self._sign("("):
            inside = "" if word.upper() == "COUNT" else self._next("word").upper()
            if not self._sign(")"):
                malformed("expecting a right parentheses")
            return f"{word.upper()}({inside})"
        return word

    def _field(self, name: str) -> FieldDef:
        found = next((field for field in self._fields.values() if field.name.lower() == name.lower()), None)
        if found is None:
            message = f"No such column '{name[:50]}' on entity '{SOBJECTS[self._kind]}'."
            refuse(400, "INVALID_FIELD", message)
        return found

    def _ordering(self) -> tuple[str, bool]:
        name = self._field(self._next("word")).name
        descending = self._is("DESC")
        if not descending:
            self._is("ASC")
        if self._is("NULLS") and not (self._is("FIRST") or self._is("LAST")):
            malformed("expecting FIRST or LAST")
        return name, descending

    def _either(self, depth: int) -> Test:
        tests = [self._both(depth)]
        while self._is("OR"):
            tests.append(self._both(depth))
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _both(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._is("AND"):
            tests.append(self._one(depth))
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def _one(self, depth: int) -> Test:
        if depth > MAX_DEPTH:
            malformed("conditions are nested too deeply")
        if self._is("NOT"):
            inner = self._one(depth + 1)
            return lambda row: not inner(row)
        if self._sign("("):
            inner = self._either(depth + 1)
            if not self._sign(")"):
                malformed("expecting a right parentheses")
            return inner
        field = self._field(self._next("word"))
        if self._is("LIKE"):
            return _like(field.name, str(self._literal(field)))
        negated = self._is("NOT")
        if self._is("IN"):
            wanted = self._list(field)
            return lambda row: (_comparable(field, row.get(field.name)) in wanted) != negated
        operator = self._next("sign")
        literal = self._literal(field)
        return lambda row: _holds(_comparable(field, row.get(field.name)), operator, literal)

    def _list(self, field: FieldDef) -> set[Any]:
        if not self._sign("("):
            malformed("expecting a left parentheses")
        wanted = {self._literal(field)}
        while self._sign(","):
            wanted.add(self._literal(field))
        if not self._sign(")"):
            malformed("expecting a right parentheses")
        return wanted

    def _literal(self, field: FieldDef) -> Any:
        if self._at >= len(self._tokens):
            malformed("unexpected end of the query")
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "word" and text.lower() in {"null", "true", "false"}:
            return {"null": None, "true": True, "false": False}[text.lower()]
        fits = {
            "text": field.type not in {"int", "double", "currency", "boolean", "date", "datetime"},
            "number": field.type in {"int", "double", "currency"},
            "time": field.type in {"date", "datetime"} and (field.type == "datetime") == ("T" in text),
        }
        if not fits.get(kind, False):
            message = f"value of filter criterion for field '{field.name}' must be of type {field.type}"
            refuse(400, "INVALID_FIELD", message)
        if kind == "text":
            return _comparable(field, re.sub(r"\\(.)", r"\1", text[1:-1]))
        return _comparable(field, float(text) if kind == "number" else text)

    def _is(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][1].upper() == word:
            self._at += 1
            return True
        return False

    _sign = _is

    def _word(self, word: str) -> None:
        if not self._is(word):
            malformed(f"expecting {word}")

    def _next(self, kind: str) -> str:
        if self._at >= len(self._tokens) or self._tokens[self._at][0] != kind:
            malformed(f"expecting a {kind}")
        self._at += 1
        return self._tokens[self._at - 1][1]


def _comparable(field: FieldDef, value: Any) -> Any:
    """Moments as moments, ids in their short form, other text without regard to capitals."""
    if value is None or isinstance(value, bool):
        return value
    if field.type == "datetime":
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            malformed(f"{str(value)[:50]} is no valid moment")
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if field.type in {"id", "reference"}:
        return str(value)[:15]
    return value.casefold() if isinstance(value, str) else float(value)


def _holds(held: Any, operator: str, wanted: Any) -> bool:
    if operator in {"=", "!=", "<>"}:
        same = bool(held == wanted)
        return same == (operator == "=")
    if held is None or wanted is None:
        return False
    if operator.startswith(">"):
        return bool(held > wanted or (operator == ">=" and held == wanted))
    return bool(held < wanted or (operator == "<=" and held == wanted))


def _like(name: str, pattern: str) -> Test:
    parts = [re.escape(part).replace("_", ".") for part in pattern.casefold().split("%")]
    matcher = re.compile(".*".join(parts), re.DOTALL)
    return lambda row: matcher.fullmatch(str(row.get(name) or "").casefold()) is not None


def sort_key(query: Query, name: str) -> Callable[[Row], tuple[bool, Any]]:
    """Nulls come first."""
    field = FIELDS[query.kind][name]

    def key(row: Row) -> tuple[bool, Any]:
        value = _comparable(field, row.get(name))
        return (value is not None, 0 if value is None else value)

    return key
