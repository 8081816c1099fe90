"""No row crosses from tenant to tenant in any function of the repository, whichever ids are given."""

import inspect
from typing import Any
from uuid import UUID, uuid4

import pytest

from trunkline.kernel.errors import NotFoundError
from trunkline.kernel.principal import SYSTEM
from trunkline.runs import repository
from trunkline.runs.schemas import Counts

READS = [
    function
    for name, function in inspect.getmembers(repository, inspect.iscoroutinefunction)
    if not name.startswith("_")
]


async def test_a_foreign_session_reads_nothing(harbor: Any) -> None:
    recipe_id = await harbor.recipe()
    await harbor.work()
    entity = await harbor.one("SELECT id, external_id FROM entities WHERE tenant_id = :tenant LIMIT 1")
    given = {
        "connection_id": harbor.connection_id,
        "stream": "contacts",
        "external_id": entity.external_id,
        "external_ids": [entity.external_id],
        "recipe_ids": [recipe_id],
        "entity_id": entity.id,
        "run_id": (await harbor.all_runs())[0].id,
        "model": "contact",
        "after": 0,
        "up_to": 1000,
        "limit": 10,
    }
    stranger = uuid4()
    assert len(READS) > 10
    for function in READS:
        wanted = list(inspect.signature(function).parameters.values())[2:]
        values = {p.name: given[p.name] for p in wanted if p.default is p.empty or p.name == "external_id"}

        async def call(
            session_of: UUID, tenant_id: UUID, function: Any = function, values: Any = values
        ) -> Any:
            async with harbor.rig.db.tenant(session_of) as session:
                return await function(session, tenant_id, **values)

        nothing = (None, [], {}, ({}, []), set(), 0, Counts(records={}, entities={}, quarantined=0))
        own = await call(harbor.tenant_id, harbor.tenant_id)
        if function.__name__ not in {
            "active_runs",
            "aside_runs",
            "drifting",
            "quarantine",
            "quarantine_of_record",
            "quarantined_among",
        }:
            assert own not in nothing, function.__name__
        assert await call(stranger, harbor.tenant_id) in nothing, function.__name__
        assert await call(stranger, stranger) in nothing, function.__name__


async def test_a_foreign_session_changes_nothing(harbor: Any) -> None:
    await harbor.recipe()
    runs, place = harbor.rig.runs, (harbor.tenant_id, harbor.connection_id)
    run_id = (await harbor.all_runs())[0].id
    for attempt in (
        lambda s: runs.sync_now(s, *place),
        lambda s: runs.pause_stream(s, *place, "contacts"),
        lambda s: runs.resume_stream(s, *place, "contacts"),
        lambda s: runs.cancel_run(s, harbor.tenant_id, run_id, SYSTEM),
        lambda s: runs.record(s, *place, "contacts", "1"),
        lambda s: runs.run(s, harbor.tenant_id, run_id),
    ):
        with pytest.raises(NotFoundError):
            async with harbor.rig.db.tenant(uuid4()) as session:
                await attempt(session)
    one = next(iter(harbor.sandbox.truth(harbor.account)))
    async with harbor.rig.db.tenant(uuid4()) as session:
        assert await runs.documents(session, *place, "contacts", [one]) == {}
        await runs.stop_stream(session, *place, "contacts")
        await runs.stop_streams(session, *place)
    assert (await harbor.all_runs())[0].state == "queued"
    assert len(await harbor.rows("SELECT 1 FROM work WHERE tenant_id = :tenant")) == 1


async def test_a_record_is_opened_beside_what_was_made_of_it(harbor: Any) -> None:
    await harbor.recipe()
    await harbor.work()
    truth = harbor.sandbox.truth(harbor.account)
    one = next(iter(await harbor.entities()))
    async with harbor.rig.db.tenant(harbor.tenant_id) as session:
        found = await harbor.rig.runs.record(session, harbor.tenant_id, harbor.connection_id, "contacts", one)
    assert found.document == truth[one]
    async with harbor.rig.db.tenant(harbor.tenant_id) as session:
        place = (harbor.tenant_id, harbor.connection_id, "contacts")
        opened = await harbor.rig.runs.documents(session, *place, [one, "no such"])
    assert opened == {one: truth[one]}
    assert [entity.external_id for entity in found.entities] == [one]
    sealed = await harbor.one(
        "SELECT document FROM records WHERE tenant_id = :tenant AND external_id = :i", i=one
    )
    assert one.encode() not in sealed.document
