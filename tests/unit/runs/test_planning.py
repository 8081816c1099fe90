from typing import Any
from uuid import UUID, uuid4

from trunkline.recipes.errors import FieldError
from trunkline.recipes.mapper import fingerprint
from trunkline.recipes.results import Failed, Filtered, Mapped, MapResult
from trunkline.runs.planning import HeldEntity, Outcome, Plan, entity_id, plan

TENANT, RECIPE = uuid4(), uuid4()


def held(data: dict[str, Any], *, deleted: bool = False, revision: int = 4) -> HeldEntity:
    return HeldEntity(
        RECIPE, "1", entity_id(TENANT, RECIPE, "1"), "contact", fingerprint(data), 2, revision, deleted
    )


def planned(result: MapResult | None, before: HeldEntity | None, gone: tuple[str, ...] = ()) -> Plan:
    results = {} if result is None else {"1": result}
    outcome = Outcome(recipe_id=RECIPE, version=3, model="contact", results=results)
    return plan(TENANT, [outcome], gone, {} if before is None else {(RECIPE, "1"): before})


def seen(made: Plan) -> list[tuple[str, int, int]]:
    return [(write.operation, write.revision, write.recipe_version) for write in made.writes]


def test_what_becomes_of_an_entity() -> None:
    new, old = Mapped({"a": 1}), {"a": 0}
    assert seen(planned(new, None)) == [("created", 1, 3)]
    assert seen(planned(new, held(old))) == [("updated", 5, 3)]
    assert seen(planned(new, held({"a": 1}))) == []
    assert seen(planned(new, held({"a": 1}, deleted=True))) == [("created", 5, 3)]
    assert seen(planned(Filtered(), held(old))) == [("deleted", 5, 2)]
    assert seen(planned(Filtered(), held(old, deleted=True))) == []
    assert seen(planned(Filtered(), None)) == []
    assert seen(planned(None, held(old), ("1",))) == [("deleted", 5, 2)]
    assert seen(planned(None, held(old, deleted=True), ("1",))) == []


def test_a_failure_keeps_what_was_and_says_why() -> None:
    made = planned(Failed((FieldError("email", "is required"),)), held({"a": 0}))
    assert made.writes == []
    assert made.cleared == []
    assert [entry.errors for entry in made.quarantine] == [[{"target": "email", "message": "is required"}]]


def test_what_maps_again_is_no_longer_aside() -> None:
    assert planned(Mapped({"a": 0}), held({"a": 0})).cleared == [(RECIPE, "1")]
    assert planned(Filtered(), None).cleared == [(RECIPE, "1")]


def test_an_id_is_the_same_for_ever_and_anybody_elses_is_another() -> None:
    tenant = UUID("018f0000-0000-7000-8000-000000000001")
    recipe = UUID("018f0000-0000-7000-8000-000000000002")
    one = entity_id(tenant, recipe, "42")
    assert one == entity_id(tenant, recipe, "42")
    assert len({one, entity_id(recipe, tenant, "42"), entity_id(tenant, recipe, "43")}) == 3
