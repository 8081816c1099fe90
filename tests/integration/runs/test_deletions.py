"""What vanishes: believed after a complete pass or a tombstone, put before a human when it is much."""

from typing import Any

import pytest
from sqlalchemy import text

from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal
from trunkline.reviews import repository as reviews
from trunkline.reviews.schemas import ReviewView
from trunkline.reviews.service import ReviewService
from trunkline.runs import pages, weighing

LIST = "/crm/objects/2026-03/contacts"


@pytest.fixture
async def held(harbor: Any) -> Any:
    """120 contacts, read."""
    await harbor.recipe()
    await harbor.work()
    return harbor


def some(held: Any, number: int) -> list[str]:
    return sorted(held.sandbox.truth(held.account))[:number]


async def complete_pass(held: Any) -> Any:
    """The run that a stream's own run asked for, because it is due."""
    await held.sync()
    await held.work()
    return next(run for run in await held.all_runs() if run.mode == "full")


async def the_review(held: Any) -> ReviewView:
    async with held.rig.db.tenant(held.tenant_id) as session:
        found = await reviews.reviews(session, held.tenant_id, connection_id=held.connection_id)
    return found[0]


async def decide(held: Any, verdict: Any, reason: str = "We cleaned up") -> ReviewView:
    who = Principal(kind="member", id="1", role="owner", label="Ada", tenant_id=held.tenant_id)
    review = await the_review(held)
    async with held.rig.db.tenant(held.tenant_id) as session:
        return await ReviewService(held.rig.runs).decide(
            session, held.tenant_id, review.id, who, verdict, reason
        )


async def open_issues(held: Any) -> list[str]:
    rows = await held.rows("SELECT cause FROM issues WHERE tenant_id = :tenant AND resolved_at IS NULL")
    return [row.cause for row in rows]


async def test_a_purge_is_noticed_by_a_complete_pass(held: Any) -> None:
    gone = some(held, 3)
    for one in gone:
        held.sandbox.hubspot.store.purge(held.account, "contacts", one)
    assert (await held.sync()).deleted == 0, "nothing says so"
    await held.rows("UPDATE streams SET complete_at = now() - interval '25 hours' RETURNING stream")
    run = await complete_pass(held)
    assert (run.trigger, run.deleted, run.changes) == ("schedule", 3, 3), "by itself, once a day"
    await held.stands()
    logged = await held.rows("SELECT external_id FROM changes WHERE operation = 'deleted'")
    assert {row.external_id for row in logged} == set(gone)
    assert (await held.sync()).mode == "incremental"
    assert await held.rows("SELECT 1 FROM vanished UNION ALL SELECT 1 FROM seen_pages") == []


async def test_many_tombstones_at_once_wait_for_a_human(held: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(pages, "BURY_BATCH", 25)
    store, gone = held.sandbox.hubspot.store, some(held, 60)
    number = len(await held.documents()) + 1
    for one in gone:
        store.archive(held.account, "contacts", one)
    fresh = store.create(held.account, "contacts", {"firstname": "New", "email": "new@x.example"})
    run = await held.sync()
    assert (run.state, run.created, run.deleted) == ("succeeded", 1, 0), "the rest goes on"
    review = await the_review(held)
    assert (review.state, review.count, review.total, review.doubtful) == ("open", 60, number, False)
    assert set(review.sample) <= set(gone)
    assert len(review.sample) == weighing.SAMPLE
    assert await open_issues(held) == ["mass_deletion"]

    # no deletion of the stream is applied meanwhile, not even a small one
    store.archive(held.account, "contacts", fresh.id)
    assert (await held.sync()).deleted == 0
    assert len(await held.documents()) == number
    assert (await the_review(held)).count == 60

    back = gone[0]
    store.restore(held.account, "contacts", back)
    assert (await held.sync()).updated == 1
    with pytest.raises(BadInputError):
        await decide(held, "approved", "  \0 ")
    assert (await decide(held, "approved")).state == "approved"
    assert await open_issues(held) == []
    with pytest.raises(ConflictError, match="already approved"):
        await decide(held, "rejected")

    # carried out in batches, and on from where it stood after a fall
    settle, calls = pages.gone.settle, 0

    async def falls_once(*args: Any) -> None:
        nonlocal calls
        calls += 1
        await settle(*args)
        if calls == 2:
            raise OSError("the machine went away")

    monkeypatch.setattr(pages.gone, "settle", falls_once)
    await held.work()
    assert (await the_review(held)).deleted < 60
    await held.due_now()
    await held.work()
    run = (await held.all_runs())[0]
    assert (run.state, run.trigger) == ("succeeded", "review")
    review = await the_review(held)
    assert (review.deleted, review.applied_at is not None) == (59, True), "what was restored stays"
    assert run.deleted == 60, "and the one that had to wait went in the same run"
    await held.stands()
    audit = await held.one(
        "SELECT action, actor, reason, detail FROM audit_entries WHERE action LIKE 'review%'"
    )
    assert (audit.action, audit.actor, audit.reason) == ("review.approved", "Ada", "We cleaned up")
    assert audit.detail["records"] == 60


async def test_what_somebody_keeps_is_kept(held: Any) -> None:
    gone = some(held, 60)
    for one in gone:
        held.sandbox.hubspot.store.purge(held.account, "contacts", one)
    assert (await held.sync("full")).deleted == 0
    assert (await the_review(held)).count == 60
    await decide(held, "rejected", "Bring them back")
    assert await open_issues(held) == []
    other = some(held, 2)
    for one in other:
        held.sandbox.hubspot.store.purge(held.account, "contacts", one)
    run = await held.sync("full")
    assert run.deleted == 2, "only what is new"
    assert (await the_review(held)).state == "rejected", "and nobody is asked again"
    assert set(await held.documents()) == set(held.sandbox.truth(held.account)) | set(gone)


async def test_a_list_that_comes_back_empty_deletes_nothing(held: Any) -> None:
    before = await held.documents()
    held.sandbox.hubspot.faults.add("void", requests=1, path=LIST)
    assert (await held.sync("full")).deleted == 0
    review = await the_review(held)
    assert (review.state, review.count, review.doubtful) == ("open", len(before), True)
    assert await held.documents() == before

    # within the hour everything is read again, and what is found again needs no decision
    await held.rows("UPDATE streams SET complete_at = now() - interval '61 minutes' RETURNING stream")
    run = await complete_pass(held)
    assert (run.trigger, run.deleted, run.unchanged) == ("schedule", 0, len(before))
    review = await the_review(held)
    assert (review.state, review.decided_by) == ("superseded", None)
    assert await open_issues(held) == []
    assert await held.rows("SELECT 1 FROM vanished") == []
    with pytest.raises(ConflictError, match="nothing left to decide"):
        await decide(held, "approved")
    await held.stands()


async def test_a_small_stream_is_not_emptied_by_an_outage(held: Any, sandbox: Any) -> None:
    """Fewer than fifty would be deleted without asking, if an empty list were believed."""
    companies = await held.rig.connect(sandbox, held.account)
    await companies.recipe("deals")
    await companies.work()
    number = len(await companies.documents())
    assert 0 < number < 50
    sandbox.hubspot.faults.add("void", requests=1, path="/crm/objects/2026-03/deals")
    assert (await companies.sync("full")).deleted == 0
    assert len(await companies.documents()) == number
    assert (await the_review(companies)).doubtful


@pytest.mark.parametrize("place", ["gone.batch", "writes.held_records"])
async def test_what_somebody_else_deleted_while_it_was_compared_is_counted_once(
    held: Any, monkeypatch: Any, place: str
) -> None:
    """By somebody who began before it was compared, and committed after."""
    from trunkline.runs import gone, writes

    module, name = {"gone": gone, "writes": writes}[place.split(".", maxsplit=1)[0]], place.split(".")[1]
    store, [one] = held.sandbox.hubspot.store, some(held, 1)
    if module is gone:
        store.archive(held.account, "contacts", one)
    else:
        store.update(held.account, "contacts", one, {"jobtitle": "Newer"})
    compared, looks = getattr(module, name), 0

    async def then_deleted(*given: Any) -> Any:
        nonlocal looks
        looks += 1
        found = await compared(*given)
        if looks == 1:
            async with held.rig.db.tenant(held.tenant_id) as session:
                await session.execute(
                    text(
                        "UPDATE records SET deleted_at = now(), received_at = now() - interval '1 minute',"
                        " run_id = :other WHERE external_id = :one"
                    ),
                    {"other": new_id(), "one": one},
                )
        return found

    monkeypatch.setattr(module, name, then_deleted)
    run = await held.sync()
    assert looks > 1
    assert (run.state, run.deleted, run.updated) == ("succeeded", 0, 0)
