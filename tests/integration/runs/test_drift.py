"""Fields that change at the provider: nothing is nulled, the difference is kept, and somebody decides."""

from typing import Any

import msgspec
import pytest

from trunkline.kernel.errors import ConflictError
from trunkline.recipes.definition import Mapping
from trunkline.recipes.service import definition_of
from trunkline.runs import repository


@pytest.fixture
async def settled(harbor: Any) -> Any:
    """120 contacts, read once; the fields are looked at again at every pass."""
    await harbor.recipe()
    await harbor.work()
    await look_again(harbor)
    return harbor


async def look_again(some: Any) -> None:
    await some.rows(
        """UPDATE streams SET fields_checked_at = fields_checked_at - interval '1 day'
           WHERE tenant_id = :tenant RETURNING stream"""
    )


async def drift(some: Any) -> list[Any]:
    async with some.rig.db.tenant(some.tenant_id) as session:
        found = await repository.drifting(session, some.tenant_id, some.connection_id)
        return found.get("contacts", [])


async def stream(some: Any) -> Any:
    return await some.one("SELECT paused_at, cause, known_fields FROM streams WHERE tenant_id = :tenant")


async def accept(some: Any) -> None:
    async with some.rig.db.tenant(some.tenant_id) as session:
        await some.rig.runs.accept_drift(session, some.tenant_id, some.connection_id, "contacts")


def changed(some: Any, **more: Any) -> Any:
    return msgspec.structs.replace(definition_of(some.rig.manifest.recipe("contacts")), **more)


def without(some: Any, *sources: str) -> Any:
    suggested = definition_of(some.rig.manifest.recipe("contacts"))
    kept = tuple(one for one in suggested.mappings if one.source not in sources)
    return msgspec.structs.replace(suggested, mappings=kept)


async def test_a_field_that_goes_stops_the_stream_and_accepting_keeps_what_is_held(settled: Any) -> None:
    before = await settled.entities()
    named = {one for one, data in before.items() if data["job_title"]}
    assert named
    settled.sandbox.hubspot.remove_property("contacts", "jobtitle")
    for one in settled.sandbox.truth(settled.account):
        settled.sandbox.hubspot.store.update(settled.account, "contacts", one, {"city": "Elsewhere"})
    run = await settled.sync()
    assert (run.state, run.cause, run.updated) == ("failed", "schema_drift", 0)
    state = await stream(settled)
    assert state.paused_at is not None
    assert state.cause == "schema_drift"
    (found,) = await drift(settled)
    assert (found.field, found.change, found.verdict) == ("jobtitle", "gone", "pause")
    assert (found.was, found.now) == ("Text", "Not there any more")
    assert found.recipes == ["Recipe"]
    assert await settled.entities() == before

    assert (await settled.sync()).state == "failed", "trying again changes nothing"
    await accept(settled)
    await settled.work()
    run = (await settled.all_runs())[0]
    assert (run.state, run.cause) == ("succeeded", None)
    assert run.updated > 100
    after = await settled.entities()
    assert {one: data["job_title"] for one, data in after.items()} == {
        one: data["job_title"] for one, data in before.items()
    }
    assert {data["city"] for data in after.values()} == {"Elsewhere"}
    assert (await stream(settled)).paused_at is None
    assert await drift(settled) == []
    assert (await settled.sync("full")).state == "succeeded"
    assert {one for one, data in (await settled.entities()).items() if data["job_title"]} == named
    await settled.stands()


async def test_a_field_that_goes_in_the_middle_is_noticed_by_its_page(settled: Any) -> None:
    """Long before the fields would be looked at again."""
    await settled.rows(
        "UPDATE streams SET fields_checked_at = now() WHERE tenant_id = :tenant RETURNING stream"
    )
    before = await settled.entities()
    hubspot, page, pages = settled.sandbox.hubspot, settled.rig.provider.page, 0

    async def removed_midway(target: Any, spec: Any, read: Any, values: Any, **more: Any) -> Any:
        nonlocal pages
        pages += 1
        if pages == 2:
            hubspot.remove_property("contacts", "jobtitle")
        return await page(target, spec, read, values, **more)

    settled.rig.provider.page = removed_midway
    await settled.ask("full")
    await settled.work(3)
    assert await settled.entities() == before
    assert (await stream(settled)).cause == "schema_drift"
    states = {run.mode: (run.state, run.cause) for run in await settled.all_runs()}
    assert states["full"] == ("paused", "schema_drift")
    assert states["incremental"] == ("failed", "schema_drift")

    (recipe,) = await settled.rows("SELECT id FROM recipes WHERE tenant_id = :tenant")
    await settled.save(recipe.id, without(settled, "jobtitle"), 1)
    await settled.work(4)
    runs = await settled.all_runs()
    assert {run.state for run in runs if run.mode in {"full", "remap"}} == {"succeeded"}
    assert (await stream(settled)).paused_at is None
    assert [one.verdict for one in await drift(settled)] == ["ignore"], "shown, and no longer in the way"
    assert (await settled.sync("full")).state == "succeeded"
    await settled.stands()


async def test_a_field_of_another_type_stops_the_stream_until_it_is_what_it_was(settled: Any) -> None:
    before = await settled.entities()
    settled.sandbox.hubspot.retype_property("contacts", "jobtitle", "number")
    assert (await settled.sync()).cause == "schema_drift"
    (found,) = await drift(settled)
    assert (found.change, found.was, found.now) == ("retyped", "Text", "Number")
    settled.sandbox.hubspot.retype_property("contacts", "jobtitle", "string")
    run = await settled.sync()
    assert (run.state, run.cause) == ("succeeded", None)
    assert await drift(settled) == []
    assert await settled.entities() == before


async def test_a_new_value_sets_aside_only_the_records_that_the_recipe_makes_nothing_of(harbor: Any) -> None:
    table = "record.hs_lead_status == 'NEW' ? 'fresh' : record.hs_lead_status == 'OPEN' ? 'open' : ''"
    suggested = definition_of(harbor.rig.manifest.recipe("contacts"))
    mappings = (
        *(one for one in suggested.mappings if one.target != "job_title"),
        Mapping(target="job_title", kind="expression", expression=table),
    )
    await harbor.recipe(definition=msgspec.structs.replace(suggested, mappings=mappings))
    await harbor.work()
    hubspot, before = harbor.sandbox.hubspot, await harbor.entities()
    chosen = [one for one, data in before.items() if data["job_title"] == "fresh"][:2]
    assert len(chosen) == 2
    hubspot.set_options("contacts", "hs_lead_status", NEW="New", OPEN="Open", PARKED="Parked")
    hubspot.store.update(harbor.account, "contacts", chosen[0], {"hs_lead_status": "PARKED"})
    hubspot.store.update(harbor.account, "contacts", chosen[1], {"hs_lead_status": "OPEN"})
    run = await harbor.sync()
    assert (run.state, run.quarantined) == ("succeeded", 1)
    after = await harbor.entities()
    assert after[chosen[0]] == before[chosen[0]], "what it last gave stays"
    assert after[chosen[1]]["job_title"] == "open"
    found = {one.change: one for one in await drift(harbor)}
    assert (found["new_values"].verdict, found["new_values"].values) == ("quarantine", ["PARKED"])
    assert found["lost_values"].verdict == "ignore"
    await accept(harbor)
    assert await drift(harbor) == []


async def test_a_recipe_may_have_its_records_set_aside_instead(settled: Any) -> None:
    (recipe,) = await settled.rows("SELECT id FROM recipes WHERE tenant_id = :tenant")
    await settled.save(recipe.id, changed(settled, on_changed="quarantine"), 1)
    await settled.work()
    before = await settled.entities()
    settled.sandbox.hubspot.remove_property("contacts", "jobtitle")
    one = min(before)
    settled.sandbox.hubspot.store.update(settled.account, "contacts", one, {"city": "Elsewhere"})
    run = await settled.sync()
    assert run.state == "succeeded"
    assert run.updated == run.quarantined >= 1, "with what the overlap brings again"
    assert await settled.entities() == before
    (aside,) = await settled.rows(
        "SELECT errors FROM quarantine WHERE tenant_id = :tenant AND external_id = :id", id=one
    )
    assert "Job Title of the connected service disappeared" in aside.errors[0]["message"]


async def test_what_no_recipe_uses_is_shown_and_stops_nothing(settled: Any) -> None:
    settled.sandbox.hubspot.remove_property("contacts", "annualrevenue")
    assert (await settled.sync()).state == "succeeded"
    (found,) = await drift(settled)
    assert (found.field, found.verdict, found.recipes) == ("annualrevenue", "ignore", [])


async def test_a_filter_on_a_field_that_is_gone_must_be_changed_first(settled: Any) -> None:
    (recipe,) = await settled.rows("SELECT id FROM recipes WHERE tenant_id = :tenant")
    await settled.save(recipe.id, changed(settled, filter="record.jobtitle != 'Ghost'"), 1)
    await settled.work()
    settled.sandbox.hubspot.remove_property("contacts", "jobtitle")
    await settled.sync()
    with pytest.raises(ConflictError, match='filter of the recipe "Recipe" reads a field that is gone'):
        await accept(settled)


async def test_a_list_of_fields_that_cannot_be_read_says_nothing(settled: Any) -> None:
    settled.sandbox.hubspot.faults.add("500", requests=1, path="/crm/properties")
    assert (await settled.sync()).state == "succeeded"
    assert await drift(settled) == []
