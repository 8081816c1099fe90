"""What no manifest may hold, whatever it means: it was written by somebody else, and every process reads it.

The bounds are far beyond any real connector's (of ours the longest text has 400 characters, the largest table
60 entries); within them reading, copying and comparing a manifest takes milliseconds.
"""

import math
import unicodedata
from collections.abc import Collection, Iterator
from typing import Any, Final

from trunkline.kernel.egress import EgressRefusedError, host_of

LONGEST: Final = 4096
"""Characters of a text; as many as an expression may have."""
MOST: Final = 500
"""Entries of a list or a table."""
DEEPEST: Final = 24
LARGEST: Final = 10**9
"""Of a number: seconds of 31 years."""
MOST_DOTS: Final = 100
"""On one line. tomllib keeps every beginning of a dotted name: one of 100,000 parts would take 40 GB."""
MOST_STREAMS: Final = 100
LONGEST_NAME: Final = 60
MOST_COMMON: Final = 1000
"""Values in [each_stream] or [each_action], which are copied for each."""

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_HEADER_SIGNS: Final = frozenset("!#$%&'*+-.^_`|~")
_OURS: Final = frozenset(
    {
        *("connection", "content-length", "expect", "host", "keep-alive", "te", "trailer"),
        *("transfer-encoding", "upgrade", "forwarded", "x-forwarded-for", "x-forwarded-host"),
    }
)
"""Headers that say where a request goes and where it ends; no connector sets them."""

_NOBODYS: Final = frozenset(
    {
        *("internal", "local", "localhost", "localdomain", "lan", "home", "corp", "intranet", "private"),
        *("arpa", "svc", "onion", "invalid"),
    }
)
"""Last parts of names that the public network never has, or never a provider's: of one's own network, of a
cluster's services, of special use (RFC 6761, 6762, 8375)."""


def check_text(raw: bytes) -> None:
    """Before it is parsed. ValueError naming the line."""
    for number, line in enumerate(raw.split(b"\n"), 1):
        if line.count(b".") > MOST_DOTS:
            raise ValueError(f"line {number} has more than {MOST_DOTS} dots")


def check_tree(value: Any, at: str = "", depth: int = 0) -> None:
    """What was parsed, before anything is made of it. ValueError naming the place."""
    if depth > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep{_place(at)}")
    if isinstance(value, dict | list):
        if len(value) > MOST:
            raise ValueError(f"{len(value)} entries, where {MOST} are allowed{_place(at)}")
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, part in parts:
            if isinstance(name, str):
                _check_string(name, at)
                check_tree(part, f"{at}.{name}" if at else name, depth + 1)
            else:
                check_tree(part, f"{at}[{name}]", depth + 1)
    elif isinstance(value, str):
        _check_string(value, at)
    elif isinstance(value, int | float) and not (math.isfinite(value) and 0 <= value <= LARGEST):
        raise ValueError(f"a number that cannot be used: 0 to {LARGEST:,} can{_place(at)}")


def check_common(common: Any, listed: list[Any], each: str, kind: str) -> None:
    """`[each_stream]` or `[each_action]` and how often it is copied. ValueError."""
    if len(listed) > MOST_STREAMS:
        raise ValueError(f"{kind} has {len(listed)} entries; {MOST_STREAMS} are allowed")
    if sum(1 for _ in _values(common)) > MOST_COMMON:
        raise ValueError(f"{each} has more than {MOST_COMMON} values")
    for one in listed:
        names = [str(one.get(name, "")) for name in ("name", "stream")] if isinstance(one, dict) else []
        if any(len(name) > LONGEST_NAME for name in names):
            raise ValueError(f"{kind}: a name has at most {LONGEST_NAME} characters")


def check_headers(headers: dict[str, str], at: str) -> None:
    """Templates of headers. ValueError for one that would lead a request, or what follows it, elsewhere."""
    for name, value in headers.items():
        if not name or not all(sign.isascii() and (sign.isalnum() or sign in _HEADER_SIGNS) for sign in name):
            raise ValueError(f"{at}: {name[:40]!r} is no name of a header")
        if name.lower() in _OURS or name.lower().startswith("proxy-"):
            raise ValueError(f"{at}: the header {name} is not a connector's to set")
        if not value.isprintable():
            raise ValueError(f"{at}: the header {name} has a character that no header has")


def check_public(hosts: Collection[str]) -> None:
    """ValueError naming a host of a network of one's own, or a port of another protocol. That such a name is
    never called is seen to where addresses are looked up; here it gets a sentence.
    """
    for host in hosts:
        name, _, port = host.partition(":")
        last = name.rpartition(".")[2]
        if last in _NOBODYS:
            raise ValueError(f"{host!r} is in no public network: no provider is at a name in .{last}")
        if port and port != "443" and int(port) < 1024:
            raise ValueError(f"{host!r} has the port of another protocol: leave it out, or say 443")


def check_link(url: str, at: str) -> None:
    """An address that people are led to. ValueError unless it is a plain https one."""
    try:
        host_of(url)
    except EgressRefusedError as error:
        raise ValueError(f"{at}: a link begins with https:// and the full name of a host") from error


def _check_string(text: str, at: str) -> None:
    if len(text) > LONGEST:
        raise ValueError(f"{len(text):,} characters, where {LONGEST:,} are allowed{_place(at)}")
    for sign in text:
        if sign in _BIDI or (unicodedata.category(sign) in {"Cc", "Cs"} and sign not in "\n\t"):
            raise ValueError(f"the character U+{ord(sign):04X}, which nobody can see{_place(at)}")


def _values(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _values(part)


def _place(at: str) -> str:
    """As msgspec says where something is."""
    return f" - at `$.{at if len(at) <= 80 else at[:60] + '…'}`"
