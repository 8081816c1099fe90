"""Which of the values that were written a provider does not accept, by its answer."""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from trunkline.sdk.actions import Refusals
from trunkline.sdk.pointers import point

MOST: Final = 20
_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class Refused(msgspec.Struct, frozen=True):
    """`field`: the provider's own name for it, at most 200 characters. `code`: a plain word, or nothing."""

    field: str
    code: str = ""


def refusals_in(signs: Refusals, body: Any) -> tuple[Refused, ...]:
    """At most 20; whatever the body is."""
    return tuple(one for one, _ in zip(_all(signs, body), range(MOST), strict=False))


def _all(signs: Refusals, body: Any) -> Iterator[Refused]:
    found = point(body, signs.list)
    if signs.keyed:
        for name, listed in found.items() if isinstance(found, dict) else ():
            first = listed[0] if isinstance(listed, list) and listed else listed
            yield Refused(str(name)[:200], _word(point(first, signs.code)))
        return
    for one in found if isinstance(found, list) else [found]:
        names = point(one, signs.field)
        for name in names if isinstance(names, list) else [names]:
            if isinstance(name, str) and name:
                yield Refused(name[:200], _word(point(one, signs.code)))


def _word(found: Any) -> str:
    return found if isinstance(found, str) and _WORD.fullmatch(found) else ""
