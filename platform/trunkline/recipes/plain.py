"""The plainest CEL, worked out here: text of a record's fields compared, joined and chosen from.

The process that runs CEL costs several times what such an expression does. What is read here is a small part
of the language whose values are text, true, false and null, whose cost is bounded by its length, and of which
a test shows that it gives what CEL gives. Everything else is CEL's: whatever this part does not hold,
whatever could be an error (CEL has the words), and records with a value of another kind in a field it names.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from trunkline.recipes.document import Lookup
from trunkline.recipes.results import MappedRecord, Program

MAX_CHARACTERS: Final = 4096
"""Of a field's text: in UTF-8 within what a guard lets through."""
MAX_RESULT: Final = 65_536
"""As the process allows."""
MAX_NESTED: Final = 40

_TOKENS = re.compile(
    r"""\s*(?:(?P<text>"[^"\\\n\r]*"|'[^'\\\n\r]*')|(?P<name>[A-Za-z_]\w*)|(?P<sign>&&|\|\||==|!=|[-!?:+.,()\[\]]))""",
    re.ASCII,
)
_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in", "let",
    "loop", "namespace", "null", "package", "return", "true", "var", "void", "while",
})  # fmt: skip
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

Values = Mapping[str, Any]
_Work = Callable[[Values], Any]


class NotPlainError(Exception):
    """For CEL itself."""


class _Part(NamedTuple):
    """`kind`: of its value as CEL's checker sees it; "dyn" is known only at run time."""

    kind: str
    work: _Work


class Plain:
    """A program of nothing but such expressions. NotPlainError: it is not."""

    def __init__(self, program: Program) -> None:
        names: set[str] = set()
        parts = [_Reader(text, names).all() for text in program.expressions]
        chosen = None if program.filter is None else _Reader(program.filter, names).all()
        if chosen is not None and chosen.kind not in ("bool", "dyn"):
            raise NotPlainError
        self._names = tuple(sorted(names))
        self._chosen = None if chosen is None else chosen.work
        self._works = [part.work for part in parts]

    def evaluate(self, get: Lookup) -> MappedRecord | None:
        """`get`: a record's fields, as `lookup` gives them. None: for CEL itself."""
        values = {}
        for name in self._names:
            value = values[name] = get(name)
            if type(value) is str:
                if len(value) > MAX_CHARACTERS or "\x00" in value:
                    return None
            elif value is not None and value is not True and value is not False:
                return None
        try:
            if self._chosen is not None and not _boolean(self._chosen(values)):
                return MappedRecord(kept=False)
            made = tuple([work(values) for work in self._works])
        except NotPlainError:
            return None
        for value in made:
            if type(value) is str and len(value) > MAX_RESULT:
                return None
        return MappedRecord(values=made)


@lru_cache(maxsize=256)
def plain_of(program: Program) -> Plain | None:
    try:
        return Plain(program)
    except NotPlainError:
        return None


class _Reader:
    """Reads one expression; `names` gets the fields that it reads."""

    def __init__(self, text: str, names: set[str]) -> None:
        self._names = names
        self._nested = 0
        self._at = 0
        self._tokens: list[tuple[str, str]] = []
        position, end = 0, len(text.rstrip(" \t\n\r"))
        while position < end:
            found = _TOKENS.match(text, position)
            if found is None:
                raise NotPlainError
            self._tokens.append((found.lastgroup or "", found[found.lastgroup or 0]))
            position = found.end()

    def all(self) -> _Part:
        part = self._choice()
        if self._at < len(self._tokens):
            raise NotPlainError
        return part

    # -- tokens -----------------------------------------------------------------------------

    def _sign(self, *signs: str) -> str | None:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "sign" and text in signs:
                self._at += 1
                return text
        return None

    def _must(self, sign: str) -> None:
        if self._sign(sign) is None:
            raise NotPlainError

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise NotPlainError
        self._at += 1
        return self._tokens[self._at - 1]

    # -- grammar, loosest first -------------------------------------------------------------

    def _choice(self) -> _Part:
        self._nested += 1
        if self._nested > MAX_NESTED:
            raise NotPlainError
        part = self._either()
        if self._sign("?"):
            yes = self._either()
            self._must(":")
            part = _chosen(_truth(part), yes, self._choice())
        self._nested -= 1
        return part

    def _either(self) -> _Part:
        part = self._both()
        while self._sign("||"):
            part = _or(_truth(part), _truth(self._both()))
        return part

    def _both(self) -> _Part:
        part = self._compared()
        while self._sign("&&"):
            part = _and(_truth(part), _truth(self._compared()))
        return part

    def _compared(self) -> _Part:
        part = self._joined()
        sign = self._sign("==", "!=")
        if sign is not None:
            part = _equal(part, self._joined(), same=sign == "==")
        elif self._at < len(self._tokens) and self._tokens[self._at] == ("name", "in"):
            self._at += 1
            part = _among(part, self._texts())
        return part

    def _joined(self) -> _Part:
        part = self._turned()
        while self._sign("+"):
            part = _join(part, self._turned())
        return part

    def _turned(self) -> _Part:
        if self._sign("!"):
            work = _truth(self._reached()).work
            return _Part("bool", lambda values: not _boolean(work(values)))
        return self._reached()

    def _reached(self) -> _Part:
        part = self._basic()
        while self._sign("."):
            kind, name = self._next()
            self._must("(")
            given = [] if self._sign(")") else [self._last()]
            if kind != "name" or part.kind not in ("text", "dyn"):
                raise NotPlainError
            part = _called(name, part, given)
        return part

    def _basic(self) -> _Part:
        if self._sign("("):
            part = self._last()
        else:
            kind, text = self._next()
            if kind == "text":
                part = _constant("text", text[1:-1])
            elif kind == "name" and text in ("true", "false"):
                part = _constant("bool", text == "true")
            elif (kind, text) == ("name", "null"):
                part = _constant("null", None)
            elif (kind, text) == ("name", "record"):
                part = self._field()
            elif (kind, text) == ("name", "text"):
                self._must("(")
                part = _as_text(self._last())
            elif (kind, text) == ("name", "default"):
                self._must("(")
                value = self._choice()
                self._must(",")
                part = _default(value, self._last())
            else:
                raise NotPlainError
        return part

    def _last(self) -> _Part:
        """An expression and the bracket that closes it."""
        part = self._choice()
        self._must(")")
        return part

    def _field(self) -> _Part:
        if self._sign("."):
            kind, name = self._next()
            if (
                kind != "name"
                or name in _RESERVED
                or self._tokens[self._at : self._at + 1] == [("sign", "(")]
            ):
                raise NotPlainError
        else:
            self._must("[")
            kind, name = self._next()
            if kind != "text":
                raise NotPlainError
            name = name[1:-1]
            self._must("]")
        self._names.add(name)
        return _Part("dyn", lambda values: values[name])

    def _texts(self) -> frozenset[str]:
        self._must("[")
        found = []
        while True:
            kind, text = self._next()
            if kind != "text":
                raise NotPlainError
            found.append(text[1:-1])
            if self._sign("]"):
                return frozenset(found)
            self._must(",")


# What the parts do. A value of a kind that CEL would not take there raises NotPlainError.


def _boolean(value: Any) -> bool:
    if value is True or value is False:
        return bool(value)
    raise NotPlainError


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    raise NotPlainError


def _constant(kind: str, value: Any) -> _Part:
    return _Part(kind, lambda _: value)


def _truth(part: _Part) -> _Part:
    if part.kind not in ("bool", "dyn"):
        raise NotPlainError
    return part


def _chosen(first: _Part, yes: _Part, no: _Part) -> _Part:
    if yes.kind != no.kind and "dyn" not in (yes.kind, no.kind):
        raise NotPlainError
    kind = yes.kind if yes.kind == no.kind else "dyn"
    test, then, other = first.work, yes.work, no.work
    return _Part(kind, lambda values: then(values) if _boolean(test(values)) else other(values))


def _or(left: _Part, right: _Part) -> _Part:
    one, two = left.work, right.work
    return _Part("bool", lambda values: _boolean(one(values)) or _boolean(two(values)))


def _and(left: _Part, right: _Part) -> _Part:
    one, two = left.work, right.work
    return _Part("bool", lambda values: _boolean(one(values)) and _boolean(two(values)))


def _equal(left: _Part, right: _Part, *, same: bool) -> _Part:
    """Values of two kinds are never equal; CEL's checker refuses two kinds that it knows."""
    if left.kind != right.kind and "dyn" not in (left.kind, right.kind):
        raise NotPlainError
    one, two = left.work, right.work
    return _Part("bool", lambda values: (one(values) == two(values)) is same)


def _among(left: _Part, texts: frozenset[str]) -> _Part:
    if left.kind not in ("text", "dyn"):
        raise NotPlainError
    one = left.work
    return _Part("bool", lambda values: one(values) in texts)


def _join(left: _Part, right: _Part) -> _Part:
    if not {left.kind, right.kind} <= {"text", "dyn"}:
        raise NotPlainError
    one, two = left.work, right.work
    return _Part(
        "text" if "text" in (left.kind, right.kind) else "dyn",
        lambda values: _text(one(values)) + _text(two(values)),
    )


def _as_text(part: _Part) -> _Part:
    work = part.work

    def run(values: Values) -> str:
        value = work(values)
        if type(value) is str:
            return value
        return "" if value is None else str(value).lower()

    return _Part("text", run)


def _default(part: _Part, other: _Part) -> _Part:
    one, two = part.work, other.work

    def run(values: Values) -> Any:
        value, otherwise = one(values), two(values)
        return otherwise if value is None or value == "" else value

    return _Part("dyn", run)


def _called(name: str, part: _Part, given: list[_Part]) -> _Part:
    work = part.work
    if name == "upperAscii" and not given:
        return _Part("text", lambda values: _text(work(values)).translate(_UPPER))
    if name == "lowerAscii" and not given:
        return _Part("text", lambda values: _text(work(values)).translate(_LOWER))
    if name in _TESTS and len(given) == 1 and given[0].kind in ("text", "dyn"):
        test, other = _TESTS[name], given[0].work
        return _Part("bool", lambda values: test(_text(work(values)), _text(other(values))))
    raise NotPlainError


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": str.__contains__,
}
