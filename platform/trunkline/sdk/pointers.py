"""A pointer is a dotted path into a JSON document: "paging.next.after", or "0.errorCode" into a list."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any


def point(document: Any, pointer: str) -> Any:
    """What a pointer points to; None where the path ends early. The empty pointer: the document."""
    if type(document) is dict and pointer and "." not in pointer:
        return document.get(pointer)
    for part in pointer.split(".") if pointer else ():
        if isinstance(document, dict):
            document = document.get(part)
        elif isinstance(document, list) and part.isdecimal() and len(part) < 6:
            document = document[int(part)] if int(part) < len(document) else None
        else:
            return None
    return document


@lru_cache(maxsize=1024)
def pointing(pointer: str) -> Callable[[Any], Any]:
    """`point` for a pointer that is followed in each record of a page."""
    first, dot, second = pointer.partition(".")
    if not first or "." in second:
        return lambda document: point(document, pointer)

    def one(document: Any) -> Any:
        return document.get(first) if type(document) is dict else point(document, pointer)

    def two(document: Any) -> Any:
        inner = document.get(first) if type(document) is dict else None
        return inner.get(second) if type(inner) is dict else point(document, pointer)

    return two if dot else one


def equal(found: Any, wanted: str) -> bool:
    """Values in a manifest are text; a provider's may be a number or a boolean. "*" is any but null."""
    if wanted == "*":
        return found is not None
    if isinstance(found, bool):
        return str(found).lower() == wanted.lower()
    return isinstance(found, str | int) and str(found) == wanted
