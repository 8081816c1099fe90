"""Whose endpoints a page is about, and what stands around it."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """`owner`: a tenant, or the installation, whose endpoints get every tenant's events."""

    base: str
    """Path of the list."""
    owner: UUID
    frame: Callable[[], Awaitable[dict[str, Any]]]
    """The part of a page's context that is the same everywhere in its area."""
    elsewhere: Callable[[UUID], Awaitable[list[Any]]] | None = None
    """Deliveries of tenants to an endpoint of the installation: what became of them, not what they held."""
    shared: bool = False
