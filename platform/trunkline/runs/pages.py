"""The page transaction: records, entities, change log, quarantine, counters and checkpoint, or nothing.

Whatever takes time (comparing, sealing, mapping) happens before it opens; its locks are held for the
statements alone, the lock on the tenant's change log for the last two of them.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from trunkline.kernel import strictjson
from trunkline.kernel.db import Database
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.results import MapResult
from trunkline.recipes.target import TargetModel
from trunkline.runs import writes
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.errors import RunStoppedError
from trunkline.runs.moments import parse_moment
from trunkline.runs.planning import Outcome, plan
from trunkline.runs.provider import Item
from trunkline.runs.service import document_context
from trunkline.runs.writes import Place, RecordWrite, SealedRecord
from trunkline.sdk.manifest import Deletions, point
from trunkline.vault.box import Box
from trunkline.vault.service import Vault
from trunkline.work.lease import Lease

REMAP_BATCH = 200
"""Held records mapped anew in one transaction."""


class Prepared(msgspec.Struct, kw_only=True):
    """A page, ready to be written."""

    records: list[RecordWrite] = []
    key_version: int = 0
    """What they are sealed with."""
    gone: list[tuple[str, Any]] = []
    """(external id, when)"""
    outcomes: list[Outcome] = []
    mapped: list[str] = []
    """External ids whose entities are in question."""
    counters: dict[str, int]
    live: int = 0
    """How many more live records are held after it."""
    expected: int | None = None


class PageWriter:
    """Of one attempt at one run."""

    def __init__(
        self,
        *,
        db: Database,
        mapper: RecipeMapper,
        vault: Vault,
        lease: Lease,
        place: Place,
        run_id: UUID,
        recipes: Sequence[tuple[RecipeInForce, TargetModel]],
    ) -> None:
        self._db = db
        self._mapper = mapper
        self._vault = vault
        self._lease = lease
        self._place = place
        self._run_id = run_id
        self._recipes = recipes

    async def listed(self, items: Sequence[Item], *, map_all: bool = False) -> Prepared:
        """A page of records that exist. `map_all`: also those that did not change."""
        ids = [item.external_id for item in items]
        async with self._db.tenant(self._place.tenant_id) as session:
            held = await writes.held_records(session, self._place, ids) if ids else {}
            box = await self._vault.box(session, self._place.tenant_id)
        made = Prepared(counters={"pages": 1, "fetched": len(items)}, key_version=box.version)
        changed: list[Item] = []
        created = revived = 0
        for item in items:
            document = strictjson.canonical(item.document)
            fingerprint = box.fingerprint(document)
            before = held.get(item.external_id)
            if before == (fingerprint, False):
                if map_all:
                    changed.append(item)
                continue
            created += before is None
            revived += before is not None and before[1]
            changed.append(item)
            sealed = box.seal(document, self._context(item.external_id))
            made.records.append(RecordWrite(item.external_id, fingerprint, sealed, item.modified_at))
        made.live = created + revived
        made.counters |= {
            "created": made.live,
            "updated": len(made.records) - made.live,
            "unchanged": len(items) - len(made.records),
        }
        await self._map(made, [(item.external_id, item.document) for item in changed])
        return made

    async def archived(self, items: Sequence[Item], read: Deletions) -> Prepared:
        """A page of records that are gone; only those that are held count."""
        ids = [item.external_id for item in items]
        async with self._db.tenant(self._place.tenant_id) as session:
            held = await writes.held_records(session, self._place, ids) if ids else {}
        gone = [
            (item.external_id, parse_moment(point(item.document, read.at)) if read.at else None)
            for item in items
            if held.get(item.external_id, (b"", True))[1] is False
        ]
        return Prepared(
            gone=gone,
            mapped=[external_id for external_id, _ in gone],
            counters={"pages": 1, "deleted": len(gone)},
            live=-len(gone),
        )

    async def held(self, after: str | None) -> tuple[Prepared, str | None]:
        """The next held records, mapped anew, and where to go on; None: these were the last."""
        async with self._db.tenant(self._place.tenant_id) as session:
            batch = await writes.live_records(session, self._place, after or "", REMAP_BATCH)
            box = await self._vault.box(session, self._place.tenant_id)
        made = Prepared(counters={})
        await self._map(made, [(record.external_id, self._open(box, record)) for record in batch])
        return made, batch[-1].external_id if len(batch) == REMAP_BATCH else None

    async def commit(self, page: Prepared, checkpoint: Checkpoint, *, waiting: bool) -> None:
        """All of it, or nothing. Raises LeaseLostError and RunStoppedError, having written nothing."""
        place, run_id = self._place, self._run_id
        async with self._db.tenant(place.tenant_id) as session:
            await writes.put_records(session, place, run_id, page.key_version, page.records)
            await writes.bury_records(session, place, run_id, page.gone)
            gone = [external_id for external_id, _ in page.gone]
            held = await writes.held_entities(session, place, page.mapped) if page.mapped else {}
            planned = plan(place.tenant_id, page.outcomes, gone, held)
            planned.cleared += [(recipe.recipe_id, one) for recipe, _ in self._recipes for one in gone]
            await writes.put_entities(session, place, run_id, planned.writes)
            await writes.put_quarantine(session, place, run_id, planned.quarantine, planned.cleared)
            counters = page.counters | {
                "filtered": planned.filtered,
                "quarantined": len(planned.quarantine),
                "changes": len(planned.writes),
            }
            # the stream's row first, as everyone who stops a run does: the other order would deadlock
            state = msgspec.json.encode(checkpoint)
            under_way = await writes.move(session, place, run_id, state, page.live, waiting=waiting)
            if not under_way or not await writes.count(
                session,
                place.tenant_id,
                run_id,
                counters,
                mode=checkpoint.mode,
                expected=page.expected,
                waiting=waiting,
            ):
                raise RunStoppedError
            await self._lease.fence(session)
            await writes.put_changes(session, place.tenant_id, planned.writes)

    # -- inside -----------------------------------------------------------------------------

    async def _map(self, made: Prepared, documents: Sequence[tuple[str, dict[str, Any]]]) -> None:
        made.mapped = [external_id for external_id, _ in documents]
        if not documents:
            return
        for recipe, model in self._recipes:
            results: list[MapResult] = await self._mapper.map(
                recipe.definition, model, [document for _, document in documents]
            )
            made.outcomes.append(
                Outcome(
                    recipe_id=recipe.recipe_id,
                    version=recipe.version,
                    model=recipe.model,
                    results=dict(zip(made.mapped, results, strict=True)),
                )
            )

    def _open(self, box: Box, record: SealedRecord) -> dict[str, Any]:
        opened = box.open(record.document, record.key_version, self._context(record.external_id))
        document: dict[str, Any] = msgspec.json.decode(opened)
        return document

    def _context(self, external_id: str) -> str:
        return document_context(self._place.connection_id, self._place.stream, external_id)
