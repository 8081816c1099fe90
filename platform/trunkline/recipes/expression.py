"""What can be said of a CEL expression by reading its text, before any process runs it."""

import re
from typing import NamedTuple

MAX_BYTES = 4096  # stack.md, "CEL expressions"

_STRING = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
_TOKEN = re.compile(rf"{_STRING}|//[^\n]*")
# Raw and triple-quoted strings have other rules of escaping; such a text is not read, only handed everything.
# The scan takes plain strings and comments whole, so that the R" in `== "R"` is not one of them.
_UNREAD = re.compile(rf"""(\b(?:[rR][bB]?|[bB][rR])["']|\"{{3}}|'{{3}})|{_TOKEN.pattern}""")
_MEMBER = r"""(?:\.\s*\??\s*([A-Za-z_]\w*)\b(?!\s*\()|\[\s*\??\s*(?:"([^"\\\n]*)"|'([^'\\\n]*)')\s*\])"""
_RECORD_MEMBER = re.compile(rf"(?<![\w.])record\s*{_MEMBER}")
_RECORD = re.compile(r"\brecord\b")
_SOURCE = re.compile(r"\bsource\b")
_SOURCE_FIELD = re.compile(r"\bsource\s*\.\s*\??\s*properties\s*\.\s*\??\s*([A-Za-z_]\w*)\b(?!\s*\()")
_MAP_ORDER = re.compile(r"\b(?:record|source(?:\s*\.\s*properties)?)\s*\.\s*(?:map|filter)\s*\(")


class References(NamedTuple):
    """`record`: the fields named. `whole_record`: it is used in another way too. `source`: that is used."""

    record: frozenset[str]
    whole_record: bool
    source: bool


def references(text: str) -> References:
    """What an expression reads. Never less than it does: only what is surely a named member counts as one."""
    if any(found[1] for found in _UNREAD.finditer(text)):
        return References(frozenset(), whole_record=True, source=True)
    bare = _blank_strings(text)
    # `record["a b"]` has its name inside a string, so members are looked up in the real text, and only at
    # places where the word `record` is code and not part of a string or comment.
    code = {found.start() for found in _RECORD.finditer(bare)}
    names: set[str] = set()
    named: set[int] = set()
    for found in _RECORD_MEMBER.finditer(text):
        if found.start() in code:
            names.add(next(group for group in found.groups() if group is not None))
            named.add(found.start())
    return References(frozenset(names), bool(code - named), _SOURCE.search(bare) is not None)


def source_fields(text: str) -> frozenset[str]:
    """The names in `source.properties.name`: what to ask a provider for."""
    return frozenset(_SOURCE_FIELD.findall(_blank_strings(text)))


def problem(text: str) -> str | None:
    """Why the text is refused before it is compiled, or None."""
    if not text.strip():
        return "Enter an expression."
    size = len(text.encode("utf-8", "replace"))
    if size > MAX_BYTES:
        return f"The expression has {size:,} bytes; at most {MAX_BYTES:,} are allowed. Split it up."
    if "\x00" in text:
        return "The expression contains a NUL character; remove it."
    if _MAP_ORDER.search(_blank_strings(text)):
        return (
            "map() and filter() over a whole record give a different order each time; name the fields "
            "instead, such as [record.a, record.b]."
        )
    return None


def _blank_strings(text: str) -> str:
    """The same text with strings and comments blanked out, every position kept."""
    return _TOKEN.sub(lambda found: " " * len(found[0]), text)
