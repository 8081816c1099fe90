"""Pages that are wrong in ways that HTTP calls a success: nothing lost, nothing doubled, nothing older over newer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from trunkline.runs import repository
from trunkline.sdk.manifest import FailureRule, Manifest, Rate
from trunkline_connectors.catalogue import manifests

LIST = "/crm/objects/2026-03/contacts"
KINDS = (
    *("twice", "stale", "overlap", "big", "loop", "cursor", "void", "error_body", "resorted", "empty"),
    "truncated",
)


def small_pages(manifest: Manifest) -> Manifest:
    replace = msgspec.structs.replace
    streams = tuple(
        replace(stream, list=replace(stream.list, page_size=20), complete_seconds=86_400)
        for stream in manifest.streams
    )
    rates = tuple(Rate(bucket=rate.bucket, requests=100_000, seconds=1) for rate in manifest.rates)
    rule = FailureRule(status=400, equals={"category": "STALE_CURSOR"}, failure="cursor_expired")
    return replace(manifest, streams=streams, rates=rates, failures=(rule, *manifest.failures))


@pytest.fixture
async def harbor(
    sandbox: Any, make_rig: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """120 contacts, in pages of 20. No turn ends between a faulty page and its being written."""
    monkeypatch.setattr("trunkline.runs.aside.TURN_SECONDS", 600.0)
    rig = make_rig(sandbox, small_pages(next(m for m in manifests() if m.name == "hubspot")))
    yield await rig.connect(sandbox, "48120002")
    await rig.close()


async def finish(harbor: Any) -> Any:
    """Whatever it takes in tries: the newest run over everything, once all have ended."""
    for _ in range(12):
        await harbor.due_now()
        await harbor.work()
        runs = await harbor.all_runs()
        if not any(run.active for run in runs):
            return next(run for run in runs if run.mode != "incremental")
    raise AssertionError(f"a run is still {[(run.state, run.cause) for run in runs if run.active]}")


async def strike(harbor: Any, kind: str, after: int, requests: int) -> None:
    """The fault falls upon the requests for the list that follow the first `after` ones, and upon no other.

    A pass beside the stream's own runs asks the same provider at the same time, and search and tombstones lie
    below the list's own path: one request at a time, so that each fault is spent on the one it is meant for.
    """
    page, asked, turn = harbor.rig.provider.page, 0, asyncio.Lock()

    async def counted(target: Any, spec: Any, read: Any, values: Any, **more: Any) -> Any:
        nonlocal asked
        async with turn:
            asked += read is spec.list
            if read is spec.list and after < asked <= after + requests:
                harbor.sandbox.hubspot.faults.add(kind, requests=1, path=LIST)
            return await page(target, spec, read, values, **more)

    harbor.rig.provider.page = counted


@pytest.mark.parametrize("kind", KINDS)
async def test_a_list_in_trouble_loses_and_doubles_nothing(harbor: Any, kind: str) -> None:
    await harbor.recipe()
    page = harbor.rig.provider.page
    await strike(harbor, kind, after=2, requests=2)
    run = await finish(harbor)
    harbor.rig.provider.page = page
    harbor.sandbox.hubspot.faults.clear()
    if kind == "resorted":
        stream = await harbor.one("SELECT complete_at < now() - interval '22 hours' AS again FROM streams")
        assert stream.again, "a list in doubt is read again within the hour"
        run = await harbor.sync("full")
    if kind in {"stale", "twice"}:
        run = await harbor.sync("full")
    assert run.state == "succeeded"
    await harbor.stands()
    logged = len(await harbor.positions())

    chosen = next(iter(harbor.sandbox.truth(harbor.account)))
    harbor.sandbox.hubspot.store.update(harbor.account, "contacts", chosen, {"jobtitle": "The newest"})
    assert (await harbor.sync()).updated == 1
    await strike(harbor, kind, after=0 if kind in {"stale", "twice"} else 3, requests=1)
    await harbor.ask("full")
    run = await finish(harbor)
    harbor.rig.provider.page = page
    assert (run.state, run.created, run.deleted) == ("succeeded", 0, 0)
    assert (await harbor.documents())[chosen]["properties"]["jobtitle"] == "The newest"
    assert len(await harbor.positions()) == logged + 1, "nothing older was written over anything newer"
    assert await harbor.rows("SELECT 1 FROM seen_pages") == []
    left = await harbor.rows("SELECT 1 FROM vanished WHERE pass_id NOT IN (SELECT id FROM reviews)")
    assert left == []
    reviewed = await harbor.rows("SELECT doubtful FROM reviews")
    assert [review.doubtful for review in reviewed] == [True] * (kind == "resorted")
    await harbor.stands()


async def test_a_cursor_that_never_holds_fails_after_bounded_restarts(harbor: Any) -> None:
    await harbor.recipe()
    harbor.sandbox.hubspot.faults.add("cursor", seconds=600, path=LIST)
    calls = harbor.sandbox.calls("contacts")
    run = await finish(harbor)
    assert (run.state, run.cause) == ("failed", "cursor_expired")
    assert harbor.sandbox.calls("contacts") - calls <= 2 * (1 + 3) + 1
    issues = await harbor.rows("SELECT cause FROM issues WHERE tenant_id = :tenant AND resolved_at IS NULL")
    assert [issue.cause for issue in issues] == ["cursor_expired"]
    harbor.sandbox.hubspot.faults.clear()
    assert (await harbor.sync()).state == "succeeded"
    await harbor.stands()


async def test_a_manifest_can_name_an_expired_cursor(harbor: Any, monkeypatch: Any) -> None:
    await harbor.recipe()
    from trunkline_connectors.hubspot import simulator_pages
    from trunkline_connectors.hubspot.simulator_errors import refuse

    def stale(status: int, category: str, message: str) -> None:
        refuse(400, "STALE_CURSOR", message)

    monkeypatch.setattr(simulator_pages, "refuse", stale)
    await strike(harbor, "cursor", after=3, requests=1)
    run = await finish(harbor)
    assert (run.state, run.mode) == ("succeeded", "first")
    await harbor.stands()


async def test_an_older_form_that_comes_late_is_mapped_as_it_is_held(harbor: Any) -> None:
    """A recipe changed and everything is read anew; the page is an old one."""
    recipe_id = await harbor.recipe()
    await harbor.work()
    async with harbor.rig.db.tenant(harbor.tenant_id) as session:
        (view,) = await repository.streams(session, harbor.tenant_id, harbor.connection_id)
    assert view.records == len(harbor.sandbox.truth(harbor.account))
    before = await harbor.entities(recipe_id)
    await harbor.rows("UPDATE streams SET settled = jsonb_set(settled, '{recipes}', '{}') RETURNING stream")
    harbor.sandbox.hubspot.faults.add("stale", requests=1, path=LIST)
    run = await harbor.sync("full")
    assert (run.state, run.updated) == ("succeeded", 0)
    assert await harbor.entities(recipe_id) == before


async def test_a_deleted_record_does_not_come_back_by_an_index_that_lags(harbor: Any) -> None:
    await harbor.recipe()
    await harbor.work()
    gone = next(iter(harbor.sandbox.truth(harbor.account)))
    store = harbor.sandbox.hubspot.store
    store.update(harbor.account, "contacts", gone, {"jobtitle": "Shortly before the end"})
    await asyncio.sleep(0.01)  # the provider's times are milliseconds
    store.archive(harbor.account, "contacts", gone)
    assert (await harbor.sync()).deleted == 1
    logged = len(await harbor.positions())
    harbor.sandbox.hubspot.crm.index_lag = 600
    before = store.ledger.pop()  # what a lagging index shows is the state before the last change it knows
    harbor.sandbox.hubspot.crm.store.newer_than = lambda *_: {gone: before.before}
    run = await harbor.sync()
    assert (run.state, run.created, run.deleted) == ("succeeded", 0, 0)
    assert len(await harbor.positions()) == logged
