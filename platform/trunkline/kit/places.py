"""Where in a manifest's text something stands, so that a finding can name the line."""

import re

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
