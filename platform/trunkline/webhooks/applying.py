"""Events of one stream, made into records by the engine's own page transaction, or nothing of them."""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.clock import now
from trunkline.kernel.db import Database, at_end
from trunkline.kernel.ids import new_id
from trunkline.recipes import repository as recipes
from trunkline.recipes.mapper import RecipeMapper
from trunkline.recipes.repository import RecipeInForce
from trunkline.recipes.results import Failed, Mapped
from trunkline.recipes.target import TargetModel
from trunkline.reviews import repository as reviews
from trunkline.reviews.schemas import MASS_DELETION
from trunkline.runs import standing, weighing, writes
from trunkline.runs.asking import SYNC
from trunkline.runs.attempt import fields_of, is_read, with_models_of
from trunkline.runs.calling import Target
from trunkline.runs.checkpoint import Checkpoint
from trunkline.runs.documents import Item, Page
from trunkline.runs.drift import Drift, KnownField, caution
from trunkline.runs.pages import PageWriter
from trunkline.runs.passes import work_key
from trunkline.runs.prepared import Prepared
from trunkline.runs.provider import ProviderClient
from trunkline.runs.writes import Place
from trunkline.sdk.manifest import Manifest, StreamSpec
from trunkline.sdk.webhooks import Webhooks
from trunkline.vault.service import Vault
from trunkline.webhooks import event_repository as repository
from trunkline.webhooks.event_repository import HeldForm, Made
from trunkline.webhooks.latest import latest
from trunkline.webhooks.reading import Told, buried, item_of, newest, stale
from trunkline.work.lease import Lease
from trunkline.work.queue import WorkQueue

NOT_FOUND: Final = "not_found"


class Begun(msgspec.Struct, kw_only=True):
    """What is known of the stream when its events are taken in hand."""

    place: Place
    run_id: UUID
    spec: StreamSpec
    recipes: list[tuple[RecipeInForce, TargetModel]]
    fields: list[str]
    children: tuple[str, ...]
    """Streams that are read for each of its records."""
    pushed: bool
    """Nothing is read beside what is sent."""
    known: dict[str, KnownField]
    drift: list[Drift]


class Result(msgspec.Struct, kw_only=True):
    """What is to be written, and what each event came to by it."""

    prepared: Prepared
    made: list[Made]
    weigh: bool
    """So many deletions at once wait for the stream's next pass, which asks a human."""
    aside: list[tuple[str, datetime | None]]
    """Where no pass follows: those that wait for a human at once."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """An entity as it is and as it would be; None: it is not there."""

    external_id: str
    model: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Applier:
    """One per process."""

    def __init__(
        self, *, db: Database, vault: Vault, mapper: RecipeMapper, provider: ProviderClient, work: WorkQueue
    ) -> None:
        self._db = db
        self._vault = vault
        self._mapper = mapper
        self._provider = provider
        self._work = work

    async def apply(
        self, lease: Lease, connection_id: UUID, manifest: Manifest, stream: str, told: Sequence[Told]
    ) -> None:
        """Writes records and marks the events, in one transaction.

        Raises as `PageWriter.commit`, and ProviderError; then nothing was written.
        """
        place = Place(lease.tenant_id, connection_id, stream)
        async with self._db.tenant(place.tenant_id) as session:
            begun = await self._begin(session, place, manifest)
            if begun is None:
                # the recipe that comes reads everything anew; so does whoever resumes the stream
                made = [_made(one, "ignored", stream) for one in told]
                await repository.mark(session, place.tenant_id, None, made)
                await lease.fence(session)
                return
        writer = self._writer(begun, lease)
        assert manifest.webhooks is not None
        result = await self._result(lease.now(), manifest, begun, writer, told)

        async def mark(session: AsyncSession) -> None:
            await repository.begin_run(session, place, begun.run_id)
            await repository.mark(session, place.tenant_id, begun.run_id, result.made)
            at_end(session, _end_runs, (place.tenant_id, begun.run_id))
            if result.aside:
                await weighing.put_aside(session, place, begun.run_id, result.aside)
            if result.weigh:
                await self._work.enqueue(
                    session,
                    tenant_id=place.tenant_id,
                    kind=SYNC,
                    key=work_key(place),
                    connection_id=connection_id,
                )

        await writer.commit(result.prepared, _checkpoint(begun, lease.now()), also=mark)

    async def carry_out(self, lease: Lease, connection_id: UUID, manifest: Manifest) -> None:
        """What reviews approved is deleted, of streams of which everything is sent: no run of their own does.

        Raises as `PageWriter.commit`; what was done by then stays done.
        """
        for spec in manifest.streams:
            place = Place(lease.tenant_id, connection_id, spec.name)
            async with self._db.tenant(place.tenant_id) as session:
                _, approved = await reviews.standing(session, place.tenant_id, connection_id, spec.name)
                begun = await self._begin(session, place, manifest) if approved else None
            if begun is None:
                continue
            begun.run_id = new_id()
            writer = self._writer(begun, lease)
            for review_id in approved:
                done = False
                while not done:
                    prepared, done = await writer.vanished(review_id)
                    note = functools.partial(
                        _carried_out, place, begun.run_id, review_id, len(prepared.gone), done
                    )
                    # its mode is the run's: what was approved counts among nothing that was told
                    checkpoint = msgspec.structs.replace(_checkpoint(begun, lease.now()), mode="incremental")
                    await writer.commit(prepared, checkpoint, also=note)

    async def preview(
        self, tenant_id: UUID, connection_id: UUID, manifest: Manifest, stream: str, told: Sequence[Told]
    ) -> list[Difference]:
        """What `apply` would change now; nothing is written. Raises ProviderError."""
        place = Place(tenant_id, connection_id, stream)
        async with self._db.tenant(tenant_id) as session:
            begun = await self._begin(session, place, manifest)
        if begun is None:
            return []
        # without a lease it can write nothing
        writer = self._writer(begun, cast("Lease", None))
        result = await self._result(now(), manifest, begun, writer, told)
        gone = dict(result.prepared.gone)
        differences: list[Difference] = []
        async with self._db.tenant(tenant_id) as session:
            for recipe, _ in begun.recipes:
                outcome = next(
                    (one for one in result.prepared.outcomes if one.recipe_id == recipe.recipe_id), None
                )
                results = outcome.results if outcome else {}
                ids = list(dict.fromkeys([*results, *gone]))
                held = await writes.held_data(session, place, recipe.recipe_id, ids)
                for identity in ids:
                    mapped = results.get(identity)
                    after = mapped.data if isinstance(mapped, Mapped) and identity not in gone else None
                    if isinstance(mapped, Failed):
                        after = held.get(identity)  # it is set aside, and what is held stays
                    if after != held.get(identity):
                        differences.append(
                            Difference(
                                external_id=identity,
                                model=recipe.model,
                                before=held.get(identity),
                                after=after,
                            )
                        )
        return differences

    # -- inside -----------------------------------------------------------------------------

    def _writer(self, begun: Begun, lease: Lease) -> PageWriter:
        writer = PageWriter(
            db=self._db,
            mapper=self._mapper,
            vault=self._vault,
            lease=lease,
            place=begun.place,
            run_id=begun.run_id,
            recipes=begun.recipes,
            move=repository.move,
            work=self._work,
            spec=begun.spec,
            children=begun.children,
        )
        writer.caution = caution(begun.known, begun.drift, [recipe for recipe, _ in begun.recipes])
        return writer

    async def _begin(self, session: AsyncSession, place: Place, manifest: Manifest) -> Begun | None:
        """None: no recipe reads the stream, or it is paused."""
        spec = manifest.stream(place.stream)
        row = await repository.stream(session, place)
        in_force = await recipes.in_force(session, place.tenant_id, place.connection_id, place.stream)
        if spec is None or row is None or row.paused_at is not None:
            return None
        if manifest.asks and not await is_read(session, place, manifest, in_force):
            return None  # what only is sent is kept for the recipes that come
        return Begun(
            place=place,
            run_id=await repository.recent_run(session, place) or new_id(),
            spec=spec,
            recipes=await with_models_of(session, place.tenant_id, in_force),
            fields=fields_of(spec, in_force),
            children=manifest.children(spec.name),
            pushed=not manifest.asks,
            known=msgspec.convert(row.known_fields or {}, dict[str, KnownField]),
            drift=msgspec.convert(row.drift or [], list[Drift]),
        )

    async def _result(
        self, asked: datetime, manifest: Manifest, begun: Begun, writer: PageWriter, told: Sequence[Told]
    ) -> Result:
        hooks = manifest.webhooks
        assert hooks is not None
        thin = [one for one in told if one.document is None]
        fetch = hooks.fetch(begun.place.stream)
        found: dict[str, Item] = {}
        ids = list(dict.fromkeys(identity for one in thin for identity in one.ids))
        if ids and fetch is not None:
            target = Target(begun.place.tenant_id, begun.place.connection_id, manifest)
            found = await latest(
                self._provider.calls,
                target,
                begun.spec,
                fetch,
                ids,
                begun.fields,
                interactive=any(one.event.replay_id is None for one in thin),  # a bulk replay can wait
            )
        whole = [one for one in told if one.document is not None or fetch is None]
        last, older = newest(whole, begun.spec)
        async with self._db.tenant(begun.place.tenant_id) as session:
            held = await repository.forms(session, begun.place, [*ids, *last])
            never = [one for one in last if one not in held]
            gone_before = (
                await repository.deletions(session, begun.place, _deleting(hooks), never) if never else {}
            )
        items = dict(found)
        gone: dict[str, datetime | None] = {}
        outdated: set[str] = set()
        for identity, one in last.items():
            if one.rule.deleted:
                at: datetime | None = one.at
                if stale(at, _live(held.get(identity))):
                    outdated.add(identity)
                elif identity not in found:
                    gone[identity] = at
            else:
                item = item_of(begun.spec, one)
                known = held.get(identity)
                if stale(item.modified_at, known) or buried(item.modified_at, gone_before, identity):
                    outdated.add(identity)
                else:
                    items.setdefault(identity, item)
        for one in thin if fetch is not None else ():
            if one.rule.deleted:
                gone |= {identity: one.at for identity in one.ids if identity not in found}
        page = Page(list(items.values()), None, None, None)
        prepared = await writer.listed([page], asked=asked)
        held_live = {one: at for one, at in gone.items() if one in held and held[one].deleted_at is None}
        waiting: set[str] = set()
        aside: list[tuple[str, datetime | None]] = []
        if held_live:
            async with self._db.tenant(begun.place.tenant_id) as session:
                if await weighing.withheld(session, begun.place, len(held_live)):
                    aside = list(held_live.items()) if begun.pushed else []
                    waiting, held_live = set(held_live), {}
        prepared.gone = list(held_live.items())
        prepared.mapped = [*prepared.mapped, *held_live]
        prepared.counters["deleted"] = len(held_live)
        prepared.live -= len(held_live)
        changed = {record.external_id for record in prepared.records} | set(held_live)
        stream = begun.place.stream
        made = [_made(one, "superseded", stream) for one in older]
        for one in last.values():
            if one.ids[0] in outdated:
                made.append(_made(one, "superseded", stream))
            elif one.ids[0] in waiting:
                made.append(_made(one, "ignored", stream, MASS_DELETION))
            else:
                done: repository.Outcome = "applied" if one.ids[0] in changed else "unchanged"
                sign = one.rule.deleted and one.rule.when is not None
                made.append(_made(one, done, stream, repository.GONE if sign else None))
        for one in thin if fetch is not None else ():
            there = [identity for identity in one.ids if identity in found or identity in gone]
            if not there:
                made.append(_made(one, "ignored", stream, NOT_FOUND))
            elif waiting & set(one.ids):
                made.append(_made(one, "ignored", stream, MASS_DELETION))
            else:
                made.append(_made(one, "applied" if changed & set(one.ids) else "unchanged", stream))
        return Result(prepared=prepared, made=made, weigh=bool(waiting) and not begun.pushed, aside=aside)


def _deleting(hooks: Webhooks) -> list[str]:
    return [rule.type for rule in hooks.kinds if rule.deleted]


def _live(held: HeldForm | None) -> HeldForm | None:
    """A deletion is no older for a record that is gone already."""
    return None if held is None or held.deleted_at is not None else held


def _made(one: Told, outcome: repository.Outcome, stream: str, cause: str | None = None) -> Made:
    return Made(event=one.event, outcome=outcome, cause=cause, stream=stream, external_ids=one.ids)


async def _carried_out(
    place: Place, run_id: UUID, review_id: UUID, deleted: int, done: bool, session: AsyncSession
) -> None:
    await repository.begin_approved(session, place, run_id)
    await reviews.carried_out(
        session, tenant_id=place.tenant_id, review_id=review_id, deleted=deleted, done=done
    )
    if done:
        at_end(session, _end_approved, (place.tenant_id, run_id))


async def _end_approved(session: AsyncSession, runs: Sequence[tuple[UUID, UUID]]) -> None:
    for tenant_id, run_id in dict.fromkeys(runs):
        await standing.end_run(session, tenant_id, run_id, "succeeded", None)


def _checkpoint(begun: Begun, moment: datetime) -> Checkpoint:
    """Of what arrives by itself there is none; the page transaction reads its mode."""
    return Checkpoint(mode="webhook", phase="end", fields=begun.fields, recipes={}, started=moment)


async def _end_runs(session: AsyncSession, runs: Sequence[tuple[UUID, UUID]]) -> None:
    for tenant_id, run_id in dict.fromkeys(runs):
        await repository.end_run(session, tenant_id, run_id)
