"""The page transaction: records, entities, change log, quarantine, counters and checkpoint, or nothing.

Whatever takes time (comparing, sealing, mapping) happens before it opens; its locks are held for the
statements alone, the lock on the tenant's change log for the last two of them.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel import strictjson
from trunkline.kernel.db import Database
from trunkline.recipes.document import laid_out
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.results import MapResult
from trunkline.recipes.target import TargetModel
from trunkline.runs import changelog, gone, parents, passes, setaside, untold, writes
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.documents import Item, Page
from trunkline.runs.drift import Caution
from trunkline.runs.errors import OvertakenError, RecipesChangedError, RunStoppedError
from trunkline.runs.moments import parse_moment
from trunkline.runs.planning import Outcome, keeping, plan
from trunkline.runs.prepared import Prepared
from trunkline.runs.service import document_context
from trunkline.runs.skimming import read_whole
from trunkline.runs.writes import Place, RecordWrite, SealedRecord
from trunkline.sdk.manifest import Deletions, StreamSpec, point
from trunkline.vault.box import Box
from trunkline.vault.service import Vault
from trunkline.work.lease import Lease
from trunkline.work.queue import WorkQueue

REMAP_BATCH = 200
"""Held records mapped anew in one transaction."""
BREATH = 64
MAP_BATCH = 128
"""Records compared, or mapped, without giving way: meanwhile the pages before are written and those after
fetched, and neither is to wait for long.
"""
_UNIQUE = "23505"
BURY_BATCH = 200
"""Records deleted in one transaction."""


_NOT_KEPT = bytes(16)
Look = Callable[[Sequence[Item]], Awaitable[None]]


class Move(Protocol):
    """Writes the checkpoint and how many more records are held; False: this run is not to go on."""

    async def __call__(
        self,
        session: AsyncSession,
        place: Place,
        run_id: UUID,
        checkpoint: bytes,
        records: int,
        *,
        waiting: bool,
    ) -> bool: ...


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
        move: Move,
        spec: StreamSpec,
        children: Sequence[str] = (),
        work: WorkQueue | None = None,
    ) -> None:
        """`move` takes the lock by which those who write a stream take turns. `children`: streams that are
        read for each record of this one. `work`: for hints to readers, which start a little later without.
        """
        self._move = move
        self._db = db
        self._work = work
        self._mapper = mapper
        self._vault = vault
        self._lease = lease
        self._place = place
        self._run_id = run_id
        self._recipes = recipes
        self._spec = spec
        self._children = children
        self._careful = False
        """What is written is not taken for new any more."""
        self.caution = Caution()
        """What the provider's changed fields make of mapping; the reader of the pages sets it."""

    async def listed(
        self,
        pages: Sequence[Page],
        *,
        asked: datetime,
        map_all: bool = False,
        whole: bool = False,
        look: Look | None = None,
    ) -> Prepared:
        """Pages of records that exist; no record is named twice. `map_all`: also those that did not change.
        `whole`: of a list of everything. `look`: sees of each page what did not come in the bytes of what is
        held, before anything is made of it. Raises MalformedPageError.
        """
        ids = [item.external_id for page in pages for item in page.items]
        async with self._db.tenant(self._place.tenant_id) as session:
            held = await writes.held_records(session, self._place, ids, asked) if ids else {}
            box = await self._vault.box(session, self._place.tenant_id)
        made = Prepared(
            asked=asked, counters={"pages": len(pages), "fetched": len(ids)}, key_version=box.version
        )
        seal = box.sealer("records", self._place.connection_id, self._place.stream, field="document")
        fingerprint = box.fingerprint
        changed: list[Item] = []
        late: list[str] = []
        revived: set[str] = set()
        created = 0
        for page in pages:
            differing: list[Item] = []
            for number, item in enumerate(page.items):
                if number % BREATH == 0:
                    await asyncio.sleep(0)
                before = held.get(item.external_id)
                if before is not None and before.newer_than(item.modified_at, whole=whole, at=page.at):
                    made.late += 1
                    if map_all and not before.deleted:
                        late.append(item.external_id)
                elif before is None or item.raw is None or map_all or not before.is_as(fingerprint(item.raw)):
                    differing.append(item)
            differing = read_whole(differing)
            if look is not None:
                await look(differing)
            for number, item in enumerate(differing):
                if number % BREATH == BREATH - 1:
                    await asyncio.sleep(0)
                before = held.get(item.external_id)
                document = strictjson.canonical(item.document)
                print_ = fingerprint(document)
                if before is not None and not before.deleted and before.fingerprint[:16] == print_:
                    if map_all:
                        changed.append(item)
                    continue
                created += before is None
                if before is not None and before.deleted:
                    revived.add(item.external_id)
                changed.append(item)
                print_ += _NOT_KEPT if item.raw is None else fingerprint(item.raw)
                sealed = seal(document, item.external_id)
                made.records.append(RecordWrite(item.external_id, print_, sealed, item.modified_at))
        made.fresh = frozenset(item.external_id for item in changed if item.external_id not in held)
        made.new = bool(changed) and not late and len(made.fresh) == len(changed)
        made.revived = frozenset(revived)
        made.live = created + len(revived)
        made.counters |= {
            "created": made.live,
            "updated": len(made.records) - made.live,
            "unchanged": len(ids) - len(made.records),
        }
        documents = [(item.external_id, item.document) for item in changed]
        if late:
            async with self._db.tenant(self._place.tenant_id) as session:
                # whoever wrote one of them before the page was asked for, and is not yet done, is waited for
                await passes.hold_still(session, self._place)
                kept = await writes.sealed_records(session, self._place, late)
            documents += [(record.external_id, self._open(box, record)) for record in kept]
        await self._map(made, documents)
        return made

    async def archived(self, items: Sequence[Item], read: Deletions | None, *, asked: datetime) -> Prepared:
        """Tombstones; those of records that are held, in no newer form, count.

        `read` None: records flagged as deleted among others; their last change is the deletion.
        """
        ids = [item.external_id for item in items]
        async with self._db.tenant(self._place.tenant_id) as session:
            held = await writes.held_records(session, self._place, ids, asked) if ids else {}
        found = []
        for item in items:
            before = held.get(item.external_id)
            if before is None or before.deleted:
                continue
            if read is None:
                at = item.modified_at
            else:
                at = parse_moment(point(item.document, read.at)) if read.at else None
            if at is None or before.modified_at is None or before.modified_at <= at:
                found.append((item.external_id, at))
        return Prepared(asked=asked, found_gone=found, counters={"pages": 1})

    async def vanished(self, owner: UUID) -> tuple[Prepared, bool]:
        """The next records that were noted as gone, to be deleted; and whether these were the last."""
        asked = self._lease.now()
        async with self._db.tenant(self._place.tenant_id) as session:
            batch = await gone.batch(session, self._place, owner, BURY_BATCH)
        standing = [(one.external_id, one.at) for one in batch if one.stands]
        made = Prepared(
            asked=asked,
            gone=standing,
            mapped=[external_id for external_id, _ in standing],
            counters={"deleted": len(standing)},
            live=-len(standing),
            settled=[one.external_id for one in batch],
            owner=owner,
        )
        return made, len(batch) < BURY_BATCH

    async def orphans(self) -> tuple[Prepared, bool]:
        """The next records whose parent was deleted, to be deleted; and whether these were the last.

        They are not weighed: whoever deleted the parent, or let it be deleted, decided on them too.
        """
        asked = self._lease.now()
        async with self._db.tenant(self._place.tenant_id) as session:
            ids = await parents.orphans(session, self._place, self._parent, BURY_BATCH)
        made = Prepared(
            asked=asked,
            gone=[(external_id, None) for external_id in ids],
            mapped=ids,
            counters={"deleted": len(ids)},
            live=-len(ids),
        )
        return made, len(ids) < BURY_BATCH

    async def held(self, after: str | None, *, only_asked: bool = False) -> tuple[Prepared, str | None]:
        """The next held records, mapped anew, and where to go on; None: these were the last.

        `only_asked`: of those that were set aside, the ones to be tried again.
        """
        find = setaside.asked if only_asked else writes.live_records
        async with self._db.tenant(self._place.tenant_id) as session:
            asked = await passes.hold_still(session, self._place)
            batch = await find(session, self._place, after or "", REMAP_BATCH)
            box = await self._vault.box(session, self._place.tenant_id)
        made = Prepared(asked=asked, counters={"pages": 1, "fetched": len(batch)})
        await self._map(made, [(record.external_id, self._open(box, record)) for record in batch])
        return made, batch[-1].external_id if len(batch) == REMAP_BATCH else None

    def nothing(self) -> Prepared:
        """For a transaction that moves the checkpoint only."""
        return Prepared(asked=self._lease.now(), counters={})

    async def commit(
        self,
        page: Prepared,
        checkpoint: Checkpoint,
        *,
        waiting: bool = False,
        also: Callable[[AsyncSession], Awaitable[None]] | None = None,
    ) -> None:
        """All of it, or nothing. Raises LeaseLostError, RunStoppedError, OvertakenError and
        RecipesChangedError, having written nothing.

        `also` runs first, under the stream's lock, and may still change the checkpoint.
        """
        place, run_id = self._place, self._run_id
        async with self._db.tenant(place.tenant_id) as session:
            if also is not None:
                await passes.lock_stream(session, place)
                await also(session)
            # the stream's row first, as everyone who stops a run does: the other order would deadlock; and
            # from here on nobody else writes to the stream
            state = msgspec.json.encode(checkpoint)
            if not await self._move(session, place, run_id, state, page.live, waiting=waiting):
                raise RunStoppedError
            new = page.new and not self._careful
            if page.mapped:
                await self._must_hold(session, page, new=new)
            await self._note(session, page)
            with self._overtaken_if_held(new=new):
                await writes.put_records(session, place, run_id, page.key_version, page.records, new=new)
            await writes.bury_records(session, place, run_id, page.gone)
            if self._children:
                noted = [*(record.external_id for record in page.records), *(one for one, _ in page.gone)]
                await parents.note(session, place, self._children, noted)
            if page.untold:
                await untold.note(session, place, page.untold)
            buried = [external_id for external_id, _ in page.gone]
            known = [one for one in page.mapped if one not in page.fresh]
            held = await writes.held_entities(session, place, known) if known else {}
            outcomes = await self._keeping(session, page)
            planned = plan(place.tenant_id, outcomes, buried, held)
            planned.cleared += [(recipe.recipe_id, one) for recipe, _ in self._recipes for one in buried]
            planned.writes += page.planned.writes
            planned.quarantine += page.planned.quarantine
            planned.filtered += page.planned.filtered
            await writes.put_quarantine(session, place, run_id, planned.quarantine, planned.cleared)
            counters = page.counters | {
                "filtered": planned.filtered,
                "quarantined": len(planned.quarantine),
                "changes": len(planned.writes),
            }
            if not await writes.count(
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
            with self._overtaken_if_held(new=new):
                told = await changelog.put(session, place, run_id, planned.writes, new=new)
            if told and self._work is not None:
                self._work.hint(session)

    # -- inside -----------------------------------------------------------------------------

    @property
    def _parent(self) -> str:
        """The stream for each record of which this one is read."""
        assert self._spec.parent is not None
        return self._spec.parent.stream

    @contextlib.contextmanager
    def _overtaken_if_held(self, *, new: bool) -> Iterator[None]:
        """What was never held when the page was compared, and is now, was written by somebody else."""
        try:
            yield
        except IntegrityError as error:
            if not new or getattr(error.orig, "sqlstate", "") != _UNIQUE:
                raise
            self._careful = True
            raise OvertakenError from error

    async def _note(self, session: AsyncSession, page: Prepared) -> None:
        if page.owner is None:
            return
        if page.seen:
            await gone.note_seen(session, self._place, page.owner, page.seen)
        if page.found_gone:
            await gone.note_gone(session, self._place, page.owner, page.found_gone)
        if page.parents:
            await parents.conclude(session, self._place, self._parent, page.owner, page.parents)
        if page.settled:
            await gone.settle(session, self._place, page.owner, page.settled)

    async def _must_hold(self, session: AsyncSession, page: Prepared, *, new: bool) -> None:
        """The page was made by the recipes in force, of records that nobody wrote since it was asked for.

        Where all are `new`, writing them tells whether they are.
        """
        ours = {recipe.recipe_id: recipe.version for recipe, _ in self._recipes}
        if await writes.recipes_in_force(session, self._place) != ours:
            raise RecipesChangedError
        fresh = () if new else page.fresh
        place, run = self._place, self._run_id
        if await writes.written_since(
            session, place, run, page.mapped, page.asked, fresh=fresh, revived=page.revived
        ):
            raise OvertakenError

    async def _keeping(self, session: AsyncSession, page: Prepared) -> list[Outcome]:
        """With what is held, where a field that is gone for good would leave a target without a value."""
        made = []
        for outcome in page.outcomes:
            targets = page.keep.get(outcome.recipe_id)
            if targets:
                held = await writes.held_data(session, self._place, outcome.recipe_id, list(outcome.results))
                made.append(keeping(outcome, targets, held))
            else:
                made.append(outcome)
        return made

    async def _map(self, made: Prepared, documents: Sequence[tuple[str, dict[str, Any]]]) -> None:
        made.mapped = [external_id for external_id, _ in documents]
        made.keep = self.caution.keep
        if not documents:
            return
        for start in range(0, len(documents), MAP_BATCH):
            ids = made.mapped[start : start + MAP_BATCH]
            given = [laid_out(one, self._spec.values) for _, one in documents[start : start + MAP_BATCH]]
            for recipe, model in self._recipes:
                results = await self._mapper.map(recipe.definition, model, given)
                results = self.caution.judged(recipe, given, results)
                self._sort_out(made, recipe, dict(zip(ids, results, strict=True)))
                await asyncio.sleep(0)

    def _sort_out(self, made: Prepared, recipe: RecipeInForce, results: dict[str, MapResult]) -> None:
        """What was never held is planned at once; the rest waits for what is held of it, under the lock."""
        fresh, known = results, {}
        if not made.new:
            fresh = {one: result for one, result in results.items() if one in made.fresh}
            known = {one: result for one, result in results.items() if one not in fresh}
        for some in (fresh, known):
            if some:
                outcome = Outcome(
                    recipe_id=recipe.recipe_id, version=recipe.version, model=recipe.model, results=some
                )
                if some is known:
                    made.outcomes.append(outcome)
                else:
                    planned = plan(self._place.tenant_id, [outcome], [], {})
                    made.planned.writes += planned.writes
                    made.planned.quarantine += planned.quarantine
                    made.planned.filtered += planned.filtered

    def _open(self, box: Box, record: SealedRecord) -> dict[str, Any]:
        opened = box.open(record.document, record.key_version, self._context(record.external_id))
        document: dict[str, Any] = msgspec.json.decode(opened)
        return document

    def _context(self, external_id: str) -> str:
        return document_context(self._place.connection_id, self._place.stream, external_id)
