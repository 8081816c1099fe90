"""What a page changes in entities and quarantine: decided here, written by `writes`. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid5

import msgspec
from asyncpg.pgproto import pgproto

from trunkline.kernel import strictjson
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
    written: bytes = b""
    """`data` as JSON."""


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    recipe_id: UUID
    recipe_version: int
    external_id: str
    errors: list[dict[str, str]]
    passing: bool = False


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
    """Stable for ever, in every installation that keeps the tenant's and recipe's ids.

    `uuid5(namespace, external_id)` (RFC 9562, 5.5), of a class that costs a fifth to make.
    """
    digest = _namespace(tenant_id, recipe_id).copy()
    digest.update(external_id.encode())
    made = bytearray(digest.digest()[:16])
    made[6] = made[6] & 0x0F | 0x50
    made[8] = made[8] & 0x3F | 0x80
    found: UUID = pgproto.UUID(bytes(made))
    return found


@lru_cache(maxsize=1024)
def _namespace(tenant_id: UUID, recipe_id: UUID) -> Any:
    return hashlib.sha1(uuid5(tenant_id, recipe_id.hex).bytes, usedforsecurity=False)


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
                        passing=result.passing,
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


def keeping(outcome: Outcome, targets: Iterable[str], held: Mapping[str, Mapping[str, Any]]) -> Outcome:
    """`held`: data by external id. A target of these that the mapping leaves empty stays as it is."""
    results: dict[str, MapResult] = {}
    for external_id, result in outcome.results.items():
        before = held.get(external_id)
        if before is not None and isinstance(result, Mapped):
            kept = {
                name: before[name]
                for name in targets
                if result.data.get(name) is None and before.get(name) is not None
            }
            results[external_id] = Mapped({**result.data, **kept}) if kept else result
        else:
            results[external_id] = result
    return msgspec.structs.replace(outcome, results=results)


def _mapped(
    tenant_id: UUID, outcome: Outcome, external_id: str, result: Mapped, before: HeldEntity | None
) -> EntityWrite | None:
    written = strictjson.canonical(result.data)
    print_ = strictjson.fingerprint_of(written)
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
        written=written,
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
