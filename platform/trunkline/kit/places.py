"""Where in a manifest's text something stands, so that a finding can name the line."""

import re
from collections.abc import Sequence

_PART = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[(\d+)\])?")


def line_of(text: str, path: str) -> int:
    """Line, from 1, of a path like `streams[2].list.path`; of the nearest thing above it that is there."""
    lines = text.splitlines()
    at, end, best = 0, len(lines), 1
    prefix: list[str] = []
    for name, index in _PART.findall(path):
        prefix.append(name)
        table = re.escape(".".join(prefix))
        heads = [
            number
            for number in range(at, end)
            if re.match(rf"\s*\[\[?\s*{table}\s*\]\]?\s*(#.*)?$", lines[number])
        ]
        if heads and (not index or int(index) < len(heads)):
            at = heads[int(index or 0)]
            if index:
                later = heads[int(index) + 1 :]
                end = later[0] if later else end
            best = at + 1
            continue
        own = next(
            (
                number
                for number in range(at, end)
                if re.match(rf"\s*\"?{re.escape(name)}\"?\s*=", lines[number])
            ),
            None,
        )
        if own is None:
            continue
        at, best = own, own + 1
    return best


_TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def line_in_json(text: str, path: Sequence[str | int]) -> int:
    """Line, from 1, of a path's key or item in a JSON text; of the nearest thing above it that is there."""
    wanted = [str(part) for part in path]
    above: list[tuple[bool, str]] = []  # (whether it is a list, the key or number that is being read in it)
    best, depth, key_next = 1, 0, False
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if sign in "}]":
            above = above[:-1]
            key_next = False
            continue
        if sign == ":":
            continue
        if sign == ",":
            if above:
                listed, at = above[-1]
                above[-1] = (listed, str(int(at) + 1) if listed else "")
                key_next = not listed
            continue
        if key_next:
            above[-1] = (False, sign[1:-1])
            key_next = False
        here = [part for _, part in above]
        if len(here) > depth and wanted[: len(here)] == here:
            best, depth = text.count("\n", 0, token.start()) + 1, len(here)
        if sign in "{[":
            above.append((sign == "[", "0" if sign == "[" else ""))
            key_next = sign == "{"
    return best
