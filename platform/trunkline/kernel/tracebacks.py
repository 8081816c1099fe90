"""Exceptions as a log may hold them: where they were raised, and of their words those that code wrote.

An exception's text quotes what it met: a password that is no number, a record that a database refused. Kept
are the parts of the text that stand as constants in the function that raised it; the rest is hidden.
"""

import os
import re
import ssl
import traceback
from collections.abc import Iterator
from types import CodeType, TracebackType
from typing import Final

HIDDEN: Final = "[hidden]"
_SHORTEST: Final = 4
"""Characters of a constant that may show: shorter ones could spell out a value."""
_LONGEST_CHAIN: Final = 10
_PLACES = re.compile(r"%(?:\(\w+\))?[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]|\{[^{}]*\}")


def render(error: BaseException, trace: TracebackType | None = None) -> str:
    """Frames, types and masked texts of an exception, its causes and members, as Python orders them."""
    return "\n".join(_lines(error, trace or error.__traceback__, set()))


def render_info(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """For structlog's ExceptionRenderer."""
    return render(exc_info[1], exc_info[2])


def masked(text: str, code: CodeType | None) -> str:
    """`text` without what is no constant of `code`, the function that made it."""
    pieces = sorted(set(_constants(code)) if code else (), key=len, reverse=True)
    if not pieces:
        return HIDDEN if text.strip() else ""
    shown, end = "", 0
    for match in re.finditer("|".join(map(re.escape, pieces)), text):
        shown += _gap(text[end : match.start()]) + match[0]
        end = match.end()
    return shown + _gap(text[end:])


def _gap(text: str) -> str:
    return HIDDEN if text.strip() else text


def _constants(code: CodeType) -> Iterator[str]:
    for constant in code.co_consts:
        if isinstance(constant, str):
            yield from (piece for piece in _PLACES.split(constant) if len(piece.strip()) >= _SHORTEST)


def _lines(error: BaseException, trace: TracebackType | None, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen and len(seen) < _LONGEST_CHAIN:
        yield from _lines(before, before.__traceback__, seen)
        yield "The above was the cause of:" if error.__cause__ else "While handling the above:"
    code: CodeType | None = None
    if trace is not None:
        yield "Traceback (most recent call last):"
        summary = traceback.StackSummary.extract(traceback.walk_tb(trace), limit=-50)
        yield from (line.rstrip("\n") for line in summary.format())
        *_, (frame, _) = traceback.walk_tb(trace)
        code = frame.f_code
    kind = type(error)
    facts = ", ".join(_facts(error))
    words = masked(_text(error), code)
    yield (
        f"{kind.__module__}.{kind.__qualname__}"
        + (f": {words}" if words else "")
        + (f" ({facts})" if facts else "")
    )
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        if id(member) not in seen and len(seen) < _LONGEST_CHAIN:
            yield "One of the group:"
            yield from _lines(member, member.__traceback__, seen)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a broken __str__ must not break the log
        return ""


def _facts(error: BaseException) -> Iterator[str]:
    """What names no value: numbers of the operating system, states and constraints of the database."""
    if isinstance(error, ssl.SSLError) and error.reason:
        yield str(error.reason)
    elif isinstance(error, OSError) and error.errno:
        yield f"errno {error.errno}" + (f", {os.strerror(error.errno)}" if error.errno > 0 else "")
    source: BaseException | None = getattr(error, "orig", None) or error
    if source is not None and source.__cause__ is not None and not hasattr(source, "table_name"):
        source = source.__cause__
    for name in ("sqlstate", "table_name", "constraint_name"):
        found = getattr(source, name, None)
        if isinstance(found, str) and re.fullmatch(r"\w{1,80}", found):
            yield f"{name} {found}"
