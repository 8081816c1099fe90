"""What a batch of events says of their contract: which deviate, in words, and which fit again.

Looked at after the answer, when an event is read to be used: it is decoded there anyway, no provider waits
for it, and one that deviates is kept like any other. Nothing is refused for it; what can be read is applied.
"""

from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health import hook_drift
from trunkline.sdk.contracts import MOST, Contract, Deviation
from trunkline.sdk.webhooks import Webhooks
from trunkline.webhooks import event_repository as repository
from trunkline.webhooks.event_repository import Queued

ANEW: Final = frozenset({"manual", "bulk"})
"""Labels of replays: an old event says nothing of how the provider speaks today."""


class Seen(msgspec.Struct):
    """Events of a type that deviate. `words` by event."""

    stream: str
    deviations: dict[tuple[str, str], Deviation] = {}
    words: dict[UUID, str] = {}


class Watch:
    """One per batch. `still_open`: types whose deviation is an open issue."""

    def __init__(self, hooks: Webhooks | None, contract: Contract | None, still_open: set[str]) -> None:
        self._hooks = hooks
        self._contract = contract
        self._open = still_open
        self._deviating: dict[str, Seen] = {}
        self._fitting: set[str] = set()

    def look(self, event: Queued, document: Any) -> None:
        rule = self._hooks.kind(event.type) if self._hooks else None
        if self._hooks is None or self._contract is None or rule is None or event.label in ANEW:
            return
        found = self._contract.deviations(event.type, document)
        if found is None:
            return
        name = self._hooks.known(event.type)
        if not found:
            self._fitting.add(name)
            return
        seen = self._deviating.setdefault(name, Seen(rule.stream))
        seen.deviations |= {(one.field, one.change): one for one in found}
        seen.words[event.id] = "; ".join(one.words for one in found)

    @property
    def news(self) -> bool:
        """Whether `write` would write."""
        return bool(self._deviating or self._back)

    @property
    def _back(self) -> set[str]:
        return (self._fitting & self._open) - self._deviating.keys()

    async def write(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        """An event counts once, however often it is tried."""
        for name, seen in sorted(self._deviating.items()):
            count = await repository.note_deviating(session, tenant_id, seen.words)
            if count:
                await hook_drift.note(
                    session,
                    tenant_id,
                    connection_id,
                    stream=seen.stream,
                    event=name,
                    differs=[one.words for one in list(seen.deviations.values())[:MOST]],
                    count=count,
                )
        if self._back:
            await hook_drift.fits(session, tenant_id, connection_id, self._back)
