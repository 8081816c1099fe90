"""Passes beside a stream's own runs: full re-reads and re-mappings."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import text

from trunkline.kernel.errors import ConflictError
from trunkline.kernel.principal import SYSTEM
from trunkline.recipes import repository as recipes
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.recipes.service import definition_of
from trunkline.recipes.target import built_in_models
from trunkline.runs import passes
from trunkline.runs.documents import Item, Page
from trunkline.runs.pages import PageWriter
from trunkline.runs.service import document_context
from trunkline.runs.writes import Place
from trunkline_connectors.catalogue import manifests

CONTACTS = next(one for one in manifests() if one.name == "hubspot").stream("contacts")


def changed(rig: Any, **expressions: str) -> RecipeDefinition:
    """The suggested recipe with some targets made otherwise."""
    suggested = definition_of(rig.manifest.recipe("contacts"))
    mappings = tuple(
        Mapping(target=one.target, kind="expression", expression=expressions[one.target])
        if one.target in expressions
        else one
        for one in suggested.mappings
    )
    return RecipeDefinition(stream="contacts", model="contact", mappings=mappings)


async def test_a_changed_recipe_maps_what_is_held_without_a_call(harbor: Any) -> None:
    recipe_id = await harbor.recipe()
    await harbor.work()
    calls, provider = harbor.sandbox.calls(), harbor.rig.provider
    provider.calls._tokens = None  # no call could even begin
    await harbor.rows(
        "UPDATE connections SET state = 'reconnect_required' WHERE tenant_id = :tenant RETURNING id"
    )
    await harbor.save(recipe_id, changed(harbor.rig, job_title="'Known as ' + text(record.email)"), 1)
    await harbor.work()
    run = (await harbor.all_runs())[0]
    assert (run.mode, run.trigger, run.state) == ("remap", "recipe", "succeeded")
    assert run.fetched == run.expected == len(harbor.sandbox.truth(harbor.account))
    assert harbor.sandbox.calls() == calls
    entities = await harbor.entities()
    assert entities
    assert all(data["job_title"].startswith("Known as ") for data in entities.values())
    assert await harbor.rows("SELECT 1 FROM passes WHERE tenant_id = :tenant") == []
    await harbor.stands()


async def test_a_remap_that_is_cut_off_goes_on_where_it_stood(northwind: Any, monkeypatch: Any) -> None:
    recipe_id = await northwind.recipe()
    await northwind.work()
    before = len(await northwind.positions())
    await northwind.save(recipe_id, changed(northwind.rig, job_title="'Known as ' + text(record.email)"), 1)
    commit, batches = PageWriter.commit, 0

    async def cut_off(self: Any, page: Any, checkpoint: Any, **more: Any) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:  # as when the worker stood still for longer than its lease
            await northwind.rows(
                """UPDATE work SET attempt = attempt + 1, lease_until = NULL, leased_by = NULL
                   WHERE tenant_id = :tenant AND kind = 'remap' RETURNING id"""
            )
        await commit(self, page, checkpoint, **more)

    monkeypatch.setattr(PageWriter, "commit", cut_off)
    monkeypatch.setattr("trunkline.runs.aside.TURN_SECONDS", 600.0)
    await northwind.work()
    run = (await northwind.all_runs())[0]
    assert (run.state, run.mode, run.fetched) == ("running", "remap", 400)
    await northwind.due_now()
    await northwind.work()
    run = next(run for run in await northwind.all_runs() if run.mode == "remap")
    assert (run.state, run.attempt) == ("succeeded", 2)
    assert run.fetched == len(northwind.sandbox.truth(northwind.account))
    assert len(await northwind.positions()) - before == run.changes == len(await northwind.entities())
    await northwind.stands()


@pytest.fixture
async def small(sandbox: Any, make_rig: Any) -> AsyncIterator[Any]:
    """120 contacts in pages of 20."""
    replace = msgspec.structs.replace
    manifest = next(m for m in manifests() if m.name == "hubspot")
    streams = tuple(replace(stream, list=replace(stream.list, page_size=20)) for stream in manifest.streams)
    rates = tuple(replace(rate, requests=100_000, seconds=1) for rate in manifest.rates)
    rig = make_rig(sandbox, replace(manifest, streams=streams, rates=rates))
    made = await rig.connect(sandbox, "48120002")
    await made.recipe()
    await made.work()
    yield made
    await rig.close()


async def test_an_incremental_run_beside_a_full_re_read_is_never_overwritten(small: Any) -> None:
    store, rig, page = small.sandbox.hubspot.store, small.rig, small.rig.provider.page
    one = sorted(await small.entities(), key=int)[45]
    listed, beside = 0, None

    async def meanwhile(target: Any, spec: Any, read: Any, values: Any, **more: Any) -> Any:
        nonlocal listed, beside
        found = await page(target, spec, read, values, **more)
        if read is spec.list and any(item.external_id == one for item in found.items):
            listed += 1
            if listed == 1:  # the page is read; before it is written the record changes and is read again
                store.update(small.account, "contacts", one, {"jobtitle": "Newer"})
                await small.ask()
                await small.work()
                beside = next(run for run in await small.all_runs() if run.mode == "incremental")
        return found

    rig.provider.page = meanwhile
    await small.ask("full")
    await small.work()
    runs = {run.mode: run for run in await small.all_runs()}
    assert (beside.state, beside.updated) == ("succeeded", 1)
    assert (runs["full"].state, runs["full"].trigger) == ("succeeded", "manual")
    assert runs["full"].fetched == len(small.sandbox.truth(small.account))
    assert listed == 1  # the older form is left out: the page is not asked for again
    assert await _job_titles(small, one) == ["Newer"]
    await small.stands()


async def _job_titles(made: Any, one: str) -> list[str]:
    """Of its changes, after the one that created it."""
    steps = await made.rows(
        "SELECT data FROM changes WHERE tenant_id = :tenant AND external_id = :id ORDER BY position", id=one
    )
    return [step.data["job_title"] for step in steps][1:]


async def test_a_page_that_is_overtaken_while_it_is_prepared_is_asked_for_again(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rig, page, commit = (
        small.sandbox.hubspot.store,
        small.rig,
        small.rig.provider.page,
        PageWriter.commit,
    )
    one, listed, overtaken = sorted(await small.entities(), key=int)[45], 0, False
    store.update(small.account, "contacts", one, {"jobtitle": "Newer"})

    async def count(target: Any, spec: Any, read: Any, values: Any, **more: Any) -> Any:
        nonlocal listed
        found = await page(target, spec, read, values, **more)
        listed += read is spec.list and any(item.external_id == one for item in found.items)
        return found

    async def late(self: PageWriter, made: Any, *given: Any, **more: Any) -> None:
        nonlocal overtaken
        if one in made.mapped and not overtaken:
            overtaken = True
            store.update(small.account, "contacts", one, {"jobtitle": "Newest"})
            await small.ask()
            await small.work()
        await commit(self, made, *given, **more)

    rig.provider.page = count
    monkeypatch.setattr(PageWriter, "commit", late)
    await small.ask("full")
    await small.work()
    assert listed == 2
    assert await _job_titles(small, one) == ["Newest"]
    await small.stands()


async def test_what_is_deleted_beside_a_full_re_read_stays_deleted(small: Any) -> None:
    store, rig, page = small.sandbox.hubspot.store, small.rig, small.rig.provider.page
    one, done = sorted(await small.entities(), key=int)[25], False

    async def meanwhile(target: Any, spec: Any, read: Any, values: Any, **more: Any) -> Any:
        nonlocal done
        found = await page(target, spec, read, values, **more)
        if not done and read is spec.list and any(item.external_id == one for item in found.items):
            done = True
            store.update(small.account, "contacts", one, {"jobtitle": "Last words"})
            store.archive(small.account, "contacts", one)
            await small.ask()
            await small.work()
        return found

    rig.provider.page = meanwhile
    await small.ask("full")
    await small.work()
    assert {run.state for run in await small.all_runs()} == {"succeeded"}
    assert one not in await small.entities()
    await small.stands()


async def test_what_is_beside_comes_after_what_is_due_and_hands_back(small: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("trunkline.runs.aside.TURN_SECONDS", 0.0)
    await small.ask("full")
    await small.rows(
        "UPDATE work SET due_at = now() - interval '1 hour' WHERE tenant_id = :tenant AND kind = 'backfill' RETURNING id"
    )
    await small.ask()
    batch = await small.rig.dispatcher.lease(1)
    await small.rig.executor.start(batch.handed[0])
    assert (await small.all_runs())[0].mode == "incremental"
    assert (await small.all_runs())[0].state == "succeeded"
    await small.work()
    run = next(run for run in await small.all_runs() if run.mode == "full")
    assert (run.state, run.pages, run.attempt) == ("running", 1, 1)
    await small.work(12)
    run = next(run for run in await small.all_runs() if run.mode == "full")
    assert (run.state, run.attempt) == ("succeeded", 1), "to have one's turn is no further attempt"


async def test_a_full_re_read_is_paused_resumed_and_cancelled(small: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("trunkline.runs.aside.TURN_SECONDS", 0.0)
    rig, tenant = small.rig, small.tenant_id
    await small.ask("full")
    await small.work(2)
    run = (await small.all_runs())[0]
    assert (run.state, run.pages, run.expected) == ("running", 2, len(small.sandbox.truth(small.account)))
    async with rig.db.tenant(tenant) as session:
        await rig.runs.pause_run(session, tenant, run.id, SYSTEM)
    await small.work(2)
    paused = (await small.all_runs())[0]
    assert (paused.state, paused.cause, paused.pages) == ("paused", "paused_by_member", 2)
    assert (await small.sync()).state == "succeeded", "the stream's own runs go on"
    async with rig.db.tenant(tenant) as session:
        await rig.runs.resume_run(session, tenant, run.id, SYSTEM)
    await small.work()
    async with rig.db.tenant(tenant) as session:
        resumed = await rig.runs.run(session, tenant, run.id)
        assert (resumed.state, resumed.pages, resumed.cause) == ("running", 3, None)
        await rig.runs.cancel_run(session, tenant, run.id, SYSTEM)
        with pytest.raises(ConflictError, match="already ended"):
            await rig.runs.pause_run(session, tenant, run.id, SYSTEM)
    await small.work()
    async with rig.db.tenant(tenant) as session:
        assert (await rig.runs.run(session, tenant, run.id)).state == "cancelled"
    noted = await small.rows(
        "SELECT action FROM audit_entries WHERE tenant_id = :tenant AND detail ->> 'run_id' IS NOT NULL"
        " ORDER BY sequence"
    )
    assert [entry.action for entry in noted] == ["run.paused", "run.resumed", "run.cancelled"]
    assert await small.rows("SELECT 1 FROM passes WHERE tenant_id = :tenant") == []
    await small.stands()


async def test_a_full_re_read_rests_with_its_connection_and_goes_on(small: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("trunkline.runs.aside.TURN_SECONDS", 0.0)
    rig, place = small.rig, (small.tenant_id, small.connection_id)
    await small.ask("full")
    await small.work(2)
    async with rig.db.tenant(small.tenant_id) as session:
        await rig.runs.stop_streams(session, *place)
    await small.work()
    assert (await small.all_runs())[0].state == "paused"
    async with rig.db.tenant(small.tenant_id) as session:
        await rig.runs.start_streams(session, *place, "reconnect")
    await small.work(12)
    run = next(run for run in await small.all_runs() if run.mode == "full")
    assert (run.state, run.fetched) == ("succeeded", run.expected)
    await small.stands()


async def test_a_page_is_mapped_by_the_recipe_in_force_when_it_is_written(small: Any) -> None:
    rig, page, done = small.rig, small.rig.provider.page, False
    (recipe,) = await small.rows("SELECT id FROM recipes WHERE tenant_id = :tenant")
    one = sorted(await small.entities(), key=int)[3]
    small.sandbox.hubspot.store.update(small.account, "contacts", one, {"jobtitle": "Baker"})

    async def saved_meanwhile(target: Any, spec: Any, read: Any, values: Any, **more: Any) -> Any:
        nonlocal done
        found = await page(target, spec, read, values, **more)
        if not done:
            done = True
            await small.save(recipe.id, changed(rig, job_title="'A ' + text(record.jobtitle)"), 1)
        return found

    rig.provider.page = saved_meanwhile
    await small.ask()
    await small.work(2)
    assert {run.state for run in await small.all_runs()} == {"succeeded"}
    steps = await small.rows(
        "SELECT data FROM changes WHERE tenant_id = :tenant AND external_id = :id ORDER BY position", id=one
    )
    assert steps[-1].data["job_title"] == "A Baker"
    assert not any(step.data["job_title"] == "Baker" for step in steps)
    await small.stands()


async def test_what_comes_late_is_mapped_by_the_form_that_is_just_being_written(small: Any) -> None:
    """Another run's page has been written, not yet committed, when a full re-read looks at what is held."""
    rig, place = small.rig, Place(small.tenant_id, small.connection_id, "contacts")
    one = sorted(await small.entities(), key=int)[5]
    document = (await small.documents())[one]
    newer = {**document, "properties": {**document["properties"], "jobtitle": "Newest"}}
    moment = datetime(2020, 1, 1, tzinfo=UTC)  # older than what is held
    async with rig.db.tenant(small.tenant_id) as session:
        in_force = await recipes.in_force(session, small.tenant_id, small.connection_id, "contacts")
    nothing: Any = None
    writer = PageWriter(
        db=rig.db,
        mapper=rig.mapper,
        vault=rig.vault,
        lease=nothing,
        place=place,
        run_id=uuid4(),
        recipes=[(recipe, built_in_models()[recipe.model]) for recipe in in_force],
        move=nothing,
        spec=CONTACTS,
    )
    async with rig.db.tenant(small.tenant_id) as session:
        await passes.lock_stream(session, place)
        box = await rig.vault.box(session, small.tenant_id)
        sealed = box.seal(msgspec.json.encode(newer), document_context(small.connection_id, "contacts", one))
        await session.execute(
            text("UPDATE records SET document = :document WHERE tenant_id = :tenant AND external_id = :id"),
            {"document": sealed, "tenant": small.tenant_id, "id": one},
        )
        page = Page([Item(one, document, moment)], None, None, None)
        listing = asyncio.create_task(
            writer.listed([page], asked=datetime.now(UTC), map_all=True, whole=True)
        )
        await asyncio.wait({listing}, timeout=0.5)
    made = await listing
    assert (made.late, made.mapped) == (1, [one])
    assert made.outcomes[0].results[one].data["job_title"] == "Newest"
