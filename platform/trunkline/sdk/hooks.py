"""What a manifest cannot say, said in code: hooks of the connectors that come with the product.

A manifest names a hook; partners' packages have none, so that no code of theirs runs in our process. A hook
makes its calls by `Ask`, which is the product's own way to a provider: budgets, breakers, retries, the
connection's token and its hosts are not the hook's affair, and what a call raises a hook lets pass.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from trunkline.sdk.streams import Discovery


class HookAnswerError(Exception):
    """An answer is not what the provider promises. `str()`: what is wrong with it, without its values."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """`path`, `query` and `body` are templates, as in a manifest; `given`: values for them besides the
    connection's own.
    """

    method: str = "GET"
    path: str
    query: Mapping[str, Any] = {}
    body: Mapping[str, Any] | None = None
    given: Mapping[str, Any] = {}
    plain: bool = False
    """The answer is not JSON."""


class Reply(msgspec.Struct, frozen=True):
    """A success. `body`: its JSON, or its bytes where the request said `plain`. Headers by any case."""

    body: Any
    headers: Mapping[str, str]


Ask = Callable[[Request], Awaitable[Reply]]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be listed."""

    query: Mapping[str, str]
    """Of the list's own first page, filled in."""
    fields: Sequence[str]
    discovery: Discovery | None
    """Where the account's fields are described."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """A page. The documents are those that the list's own pages have; numbers may be their JSON."""

    documents: Sequence[Mapping[str, Any]]
    next: str | None
    """Cursor; None on the last page."""
    total: int | None = None
    """How many there are in all."""


class Later(msgspec.Struct, frozen=True):
    """The provider is not ready; the same cursor is asked for again."""


class Refused(msgspec.Struct, frozen=True):
    """The provider will not do it in this way; nothing was given yet. The list is read by its own pages."""


class LargeList(Protocol):
    """Another way to read a list that is long. Keeps nothing: all it needs to go on is in its cursors."""

    async def begin(self, ask: Ask, asked: Asked) -> str | Refused:
        """The first page's cursor: at most 8,000 printable characters. Raises HookAnswerError."""
        ...

    async def page(self, ask: Ask, asked: Asked, cursor: str) -> Given | Later | Refused:
        """`Refused` only by the first page's cursor. Raises HookAnswerError."""
        ...
