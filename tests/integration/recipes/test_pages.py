"""A recipe's life on real PostgreSQL: versions, conflicts, restore, on and off, removal and undo."""

import re
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from trunkline.services import Services
from trunkline_tenants.seed import Seeded

from .test_wizard import controls, step


@pytest.fixture
async def recipe(owner: Any, connection_id: UUID) -> str:
    """Path of the page of the suggested recipe."""
    made = await owner.post(f"/portal/connections/{connection_id}/recipes/suggested", {"key": "contacts"})
    return str(made.headers["location"])


async def edited(owner: Any, recipe: str, **changes: str) -> Any:
    form = controls((await owner.get(f"{recipe}/edit")).text)
    return await owner.post(f"{recipe}/edit", {**form, "step": "review", "go": "save", **changes})


async def test_reading_a_recipe(owner: Any, viewer: Any, recipe: str) -> None:
    shown = await owner.get(recipe)
    assert "Every minute, reads Contacts from HubSpot and turns each record into a Contact" in shown.text
    assert "Version 1 · in force" in shown.text
    assert ">Edit<" in shown.text
    looked = await viewer.get(recipe)
    assert looked.status_code == 200
    for word in (">Edit<", "Turn off", "Remove recipe"):
        assert word not in looked.text


async def test_the_first_recipes_are_chosen_where_the_account_is(owner: Any, connection_id: UUID) -> None:
    """Several at once, on the connection's own page; none chosen is said, and nothing is made."""
    home = f"/portal/connections/{connection_id}"
    before = (await owner.get(home)).text
    assert "What shall flow into your product?" in before
    none = await owner.post(f"{home}/recipes/suggested", {})
    assert none.headers["location"] == f"{home}#recipes"
    assert "Choose at least one recipe." in (await owner.get(home)).text
    made = await owner.post(f"{home}/recipes/suggested", {"key": ["contacts", "companies"]})
    assert made.headers["location"] == home
    after = (await owner.get(home)).text
    assert "2 recipes are set up." in after
    assert "What shall flow" not in after
    again = await owner.post(f"{home}/recipes/suggested", {"key": ["contacts", "companies"]})
    assert "already set up" in (await owner.follow(again)).text


async def test_a_new_recipe_shows_by_itself_what_it_made(owner: Any, recipe: str) -> None:
    page = await owner.get(recipe)
    assert re.search(r'<div id="made"[^>]* data-live', page.text)
    part = await owner.get(recipe, **{"HX-Request": "true", "HX-Target": "made"})
    assert part.text.strip().startswith('<div id="made"')
    assert "Contact records" in part.text
    await owner.post(f"{recipe}/enabled", {"enabled": "0"})
    assert "data-live" not in (await owner.get(recipe)).text


async def test_a_model_of_former_times_is_offered_to_nobody(owner: Any, connection_id: UUID) -> None:
    wizard = (await owner.get(f"/portal/connections/{connection_id}/recipes/new?step=source")).text
    assert 'name="model" value="account"' in wizard
    assert 'name="model" value="company"' not in wizard


async def test_a_new_version_and_the_old_one_stays(
    owner: Any, services: Services, tenant_id: UUID, recipe: str
) -> None:
    saved = await edited(owner, recipe, name="People", note="second", **{"m.city.kind": "none"})
    assert "Version 2 is saved" in (await owner.follow(saved)).text
    first, second = await owner.get(f"{recipe}/versions/1"), await owner.get(f"{recipe}/versions/2")
    assert "Suggested by HubSpot" in first.text
    assert "Restore as a new version" in first.text
    assert "removed" in second.text.lower()
    assert "Compared with version 1" in second.text
    assert "“second”" in second.text
    assert "Ada Byron" in second.text
    async with services.db.tenant(tenant_id) as session:
        versions = await services.recipes.versions(session, tenant_id, UUID(recipe[-36:]))
    assert [version.version for version in versions] == [2, 1]
    assert "city" in {mapping.target for mapping in versions[1].definition.mappings}
    assert "city" not in {mapping.target for mapping in versions[0].definition.mappings}
    assert (await owner.get(f"{recipe}/versions/3")).status_code == 404
    with pytest.raises(DBAPIError, match="permission denied"):
        async with services.db.tenant(tenant_id) as session:
            await session.execute(text("UPDATE recipe_versions SET note = 'forged'"))


async def test_editing_reads_back_conditions_and_keeps_everything(owner: Any, recipe: str) -> None:
    changes = {"filter_kind": "conditions", "c.0.field": "country", "c.0.operator": "is", "c.0.value": 'a"b'}
    await owner.follow(await edited(owner, recipe, **changes))
    opened = await owner.get(f"{recipe}/edit")
    assert step(opened.text) == "mapping"
    form = controls(opened.text)
    assert (form["c.0.operator"], form["c.0.value"]) == ("is", 'a"b')
    same = await owner.post(f"{recipe}/edit", {**form, "step": "review", "go": "save"})
    assert "Nothing was changed" in (await owner.follow(same)).text


async def test_two_editors_conflict(owner: Any, recipe: str) -> None:
    form = controls((await owner.get(f"{recipe}/edit")).text)
    await edited(owner, recipe, name="Mine")
    late = await owner.post(f"{recipe}/edit", {**form, "step": "review", "go": "save", "name": "Theirs"})
    assert late.status_code == 422
    assert "Somebody saved version 2 while you edited version 1" in late.text
    assert controls(late.text)["name"] == "Theirs", "nothing typed is lost"
    assert "Theirs" not in (await owner.get(recipe)).text


async def test_restore_makes_a_new_version(owner: Any, recipe: str) -> None:
    await edited(owner, recipe, **{"m.city.kind": "none"})
    restored = await owner.post(f"{recipe}/versions/1/restore", {"based_on": "2"})
    assert "Version 1 is in force again, as version 3" in (await owner.follow(restored)).text
    assert "Restored from version 1" in (await owner.get(recipe)).text
    assert "city" in (await owner.get(f"{recipe}/versions/3")).text
    stale = await owner.post(f"{recipe}/versions/1/restore", {"based_on": "2"})
    assert "Somebody saved version 3" in (await owner.follow(stale)).text
    assert (await owner.post(f"{recipe}/versions/99/restore", {"based_on": "3"})).status_code == 404


async def test_off_and_on_stop_and_start_the_stream(
    owner: Any, services: Services, tenant_id: UUID, connection_id: UUID, recipe: str
) -> None:
    async def due() -> Any:
        async with services.db.tenant(tenant_id) as session:
            return (await services.runs.streams(session, tenant_id, connection_id))[0]

    assert (await due()).run_id is not None
    off = await owner.follow(await owner.post(f"{recipe}/enabled", {"enabled": "0"}))
    assert "This recipe is off" in off.text
    assert (await due()).paused_at is not None
    on = await owner.follow(await owner.post(f"{recipe}/enabled", {"enabled": "1"}))
    assert "is on again" in on.text
    stream = await due()
    assert stream.paused_at is None
    assert stream.run_id is not None, "remapping is due at once"
    assert (await owner.post(f"{recipe}/enabled", {"enabled": "x"})).status_code == 400


async def test_remove_and_undo(owner: Any, connection_id: UUID, recipe: str) -> None:
    removed = await owner.follow(await owner.post(f"{recipe}/removed", {"removed": "1"}))
    assert "This recipe was removed" in removed.text
    assert "Undo" in removed.text
    assert (await owner.get(f"{recipe}/versions/1")).status_code == 200
    assert (await owner.get(f"{recipe}/edit")).status_code == 409
    assert (await owner.post(f"{recipe}/enabled", {"enabled": "1"})).status_code == 409
    assert "In use" not in (await owner.get(f"/portal/connections/{connection_id}/recipes/new")).text
    back = await owner.follow(await owner.post(f"{recipe}/removed", {"removed": "0"}))
    assert "The recipe is back" in back.text
    assert ">Edit<" in back.text


async def test_nobody_else_reaches_it(owner: Any, viewer: Any, stranger: Any, recipe: str) -> None:
    posts = {
        f"{recipe}/edit": {"step": "mapping"},
        f"{recipe}/enabled": {"enabled": "0"},
        f"{recipe}/removed": {"removed": "1"},
        f"{recipe}/versions/1/restore": {"based_on": "1"},
    }
    for path in (recipe, f"{recipe}/versions/1", f"{recipe}/edit"):
        assert (await stranger.get(path)).status_code == 404, path
    for path, data in posts.items():
        assert (await stranger.post(path, data)).status_code == 404, path
        assert (await viewer.post(path, data)).status_code == 403, path
    owner.csrf = "forged"
    for path, data in posts.items():
        assert (await owner.post(path, data)).status_code == 403, path
    assert "Version 1 · in force" in (await owner.get(recipe)).text


async def test_hostile_names_are_escaped(owner: Any, recipe: str) -> None:
    bad = "<img src=x onerror=alert(1)>"
    saved = await edited(
        owner, recipe, name=bad, note=bad, **{"m.city.kind": "constant", "m.city.constant": bad}
    )
    for path in (recipe, f"{recipe}/versions/2", f"{recipe}/edit"):
        assert "<img" not in (await owner.get(path)).text
    assert "<img" not in (await owner.follow(saved)).text


async def test_other_tenants_recipes_are_not_in_the_api(
    services: Services, people: Seeded, recipe: str, connection_id: UUID
) -> None:
    async with services.db.tenant(people.tenants["initech"].id) as session:
        assert (await session.execute(text("SELECT count(*) FROM recipes"))).scalar() == 0
