"""What a page changes in entities and quarantine: decided here, written by `writes`. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid5

import msgspec

from trunkline.recipes.mapper import fingerprint
from trunkline.recipes.results import Failed, Filtered, Mapped, MapResult
from trunkline.runs.schemas import Operation

Key = tuple[UUID, str]
"""(recipe, external id)"""


class HeldEntity(msgspec.Struct, frozen=True):
    """An entity as it is before the page."""

    recipe_id: UUID
    external_id: str
    id: UUID
    model: str
    fingerprint: bytes
    recipe_version: int
    revision: int
    deleted: bool


class EntityWrite(msgspec.Struct, frozen=True, kw_only=True):
    """One entity's new form, and its entry in the change log. `data` None: as it is held (a deletion)."""

    operation: Operation
    id: UUID
    recipe_id: UUID
    external_id: str
    model: str
    recipe_version: int
    revision: int
    fingerprint: bytes
    data: dict[str, Any] | None


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    recipe_id: UUID
    recipe_version: int
    external_id: str
    errors: list[dict[str, str]]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipe makes of some records."""

    recipe_id: UUID
    version: int
    model: str
    results: Mapping[str, MapResult]
    """By external id."""


class Plan(msgspec.Struct, kw_only=True):
    writes: list[EntityWrite] = []
    quarantine: list[Quarantine] = []
    cleared: list[Key] = []
    """No longer to be set aside."""
    filtered: int = 0


def entity_id(tenant_id: UUID, recipe_id: UUID, external_id: str) -> UUID:
    """Stable for ever, in every installation that keeps the tenant's and recipe's ids."""
    return uuid5(uuid5(tenant_id, recipe_id.hex), external_id)


def plan(
    tenant_id: UUID,
    outcomes: Sequence[Outcome],
    gone: Sequence[str],
    held: Mapping[Key, HeldEntity],
) -> Plan:
    """`gone`: external ids that the provider deleted; `held`: of all ids in question, of any recipe.

    A record that fails keeps the entity that it last gave: a mistake in a recipe empties nothing.
    """
    made = Plan()
    for outcome in outcomes:
        for external_id, result in outcome.results.items():
            key = (outcome.recipe_id, external_id)
            before = held.get(key)
            if isinstance(result, Failed):
                made.quarantine.append(
                    Quarantine(
                        recipe_id=outcome.recipe_id,
                        recipe_version=outcome.version,
                        external_id=external_id,
                        errors=[{"target": e.target, "message": e.message} for e in result.errors],
                    )
                )
                continue
            made.cleared.append(key)
            if isinstance(result, Filtered):
                made.filtered += 1
                if before is not None and not before.deleted:
                    made.writes.append(_deleted(before))
            else:
                write = _mapped(tenant_id, outcome, external_id, result, before)
                if write is not None:
                    made.writes.append(write)
    lost = set(gone)
    for key, before in held.items():
        if key[1] in lost:
            made.cleared.append(key)
            if not before.deleted:
                made.writes.append(_deleted(before))
    return made


def _mapped(
    tenant_id: UUID, outcome: Outcome, external_id: str, result: Mapped, before: HeldEntity | None
) -> EntityWrite | None:
    print_ = fingerprint(result.data)
    if before is not None and not before.deleted and before.fingerprint == print_:
        return None
    return EntityWrite(
        operation="created" if before is None or before.deleted else "updated",
        id=entity_id(tenant_id, outcome.recipe_id, external_id),
        recipe_id=outcome.recipe_id,
        external_id=external_id,
        model=outcome.model,
        recipe_version=outcome.version,
        revision=1 if before is None else before.revision + 1,
        fingerprint=print_,
        data=result.data,
    )


def _deleted(before: HeldEntity) -> EntityWrite:
    return EntityWrite(
        operation="deleted",
        id=before.id,
        recipe_id=before.recipe_id,
        external_id=before.external_id,
        model=before.model,
        recipe_version=before.recipe_version,
        revision=before.revision + 1,
        fingerprint=before.fingerprint,
        data=None,
    )
