"""Every repository function and service method that takes a tenant and ids, called with another tenant's.

Found by signature: (session, tenant_id, ...). Arguments are made from their annotations; one that cannot be
made is an error, so that no function is left out.
"""

import importlib
import inspect
import itertools
import pkgutil
import random
import types
from collections.abc import Awaitable, Callable, Iterator
from collections.abc import Collection as AbstractCollection
from collections.abc import Iterable as AbstractIterable
from collections.abc import Mapping as AbstractMapping
from collections.abc import Sequence as AbstractSequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from isolation_kit.attack import Tally
from isolation_kit.routes import UUIDS, foreign, neighbour
from isolation_kit.world import ATTACKER, MARK, Ids, World

import trunkline
import trunkline_tenants
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import Principal

Method = Callable[..., Awaitable[Any]]

MOST = 800
"""Calls of one method: several ids each in every place make more than it takes."""

TEXTS = {
    "stream": "contacts",
    "model": "contact",
    "connector": "hubspot",
    "cause": "grant_revoked",
    "state": "active",
    "kind": "note",
    "trigger": "member",
    "action": "connection.renamed",
}


class UnknownArgumentError(Exception):
    """The generator cannot make this argument from its annotation."""


def methods(world: World) -> dict[str, Method]:
    """By name. Session and tenant come first in each."""
    found: dict[str, Method] = {}
    for package in (trunkline, trunkline_tenants):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            last = info.name.rpartition(".")[2]
            if last.startswith("_") or ".cli" in info.name or "sandbox" in info.name or last == "main":
                continue
            module = importlib.import_module(info.name)
            for name, function in inspect.getmembers(module, inspect.iscoroutinefunction):
                if function.__module__ == info.name and not name.startswith("_") and _scoped(function):
                    found[f"{info.name}.{name}"] = function
    for field in world.services.__struct_fields__:
        service = getattr(world.services, field)
        for name, method in inspect.getmembers(service, inspect.iscoroutinefunction):
            if not name.startswith("_") and _scoped(method):
                found[f"{type(service).__module__}.{type(service).__name__}.{name}"] = method
    return dict(sorted(found.items()))


def _scoped(function: Any) -> bool:
    """(session, tenant_id, ...), whichever of them by name only."""
    names = list(inspect.signature(function).parameters)
    return bool(names) and names[0] == "session" and "tenant_id" in names


class Call(msgspec.Struct, frozen=True):
    name: str
    method: Method
    tenant: str
    """own or foreign: what is given as tenant_id, in the attacker's scope."""
    kinds: tuple[tuple[str, str], ...]
    """(parameter, kind of id), of each that is an id."""
    victim: Ids


def calls(world: World, *, seed: int = 0, each: int | None = None) -> list[Call]:
    """Shuffled; `each`: at most so many of a method."""
    chance, found = random.Random(seed), []
    for name, method in methods(world).items():
        hints = _hints(method)
        places = [parameter for parameter in _parameters(method) if _is_id(hints[parameter], parameter)]
        options = [_likely(place) for place in places]
        combinations = list(itertools.product(*options))
        mine = [
            Call(name, method, tenant, tuple(zip(places, kinds, strict=True)), victim)
            for kinds in combinations
            for tenant in ("own", "foreign")
            for victim in world.victims
        ]
        chance.shuffle(mine)
        found += mine[: each or MOST]
    chance.shuffle(found)
    return found


def _likely(place: str) -> tuple[str, ...]:
    return tuple(UUIDS) if "external" not in place else ("external",)


@cache
def _parameters(method: Method) -> tuple[str, ...]:
    return tuple(_named(method))


def _named(method: Method) -> Iterator[str]:
    for name, parameter in inspect.signature(method).parameters.items():
        if name not in {"session", "tenant_id"} and parameter.kind not in {
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        }:
            yield name


@cache
def _hints(method: Any) -> dict[str, Any]:
    return get_type_hints(method, include_extras=False)


def _is_id(annotation: Any, name: str) -> bool:
    if name.startswith("external_id"):
        return True
    wanted = {annotation, *get_args(annotation)}
    wanted |= {inner for outer in get_args(annotation) for inner in get_args(outer)}
    return UUID in wanted


def make(annotation: Any, name: str, value: str | None, world: World) -> Any:
    """Of the annotation; `value` wherever an id belongs."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return make(next(one for one in inner if one is not type(None)), name, value, world)
    if origin is Annotated:
        return make(inner[0], name, value, world)
    if origin is Literal:
        return inner[0]
    if origin in {list, AbstractSequence, AbstractCollection, AbstractIterable, set, frozenset}:
        made = make(inner[0], name, value, world)
        return {made} if origin in {set, frozenset} else [made]
    if origin is tuple:
        return tuple(make(one, name, value, world) for one in inner if one is not Ellipsis)
    if origin in {dict, AbstractMapping} or annotation is dict:
        return {}
    if annotation is UUID:
        return UUID(value) if value else new_id()
    if annotation is str:
        return value or TEXTS.get(name, "x")
    if annotation in {int, float}:
        return annotation(1)
    if annotation is bool:
        return True
    if annotation is bytes:
        return b"x" * 32
    if annotation in {object, Any}:
        return value or "x"
    if annotation is datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)
    if annotation is Principal:
        home = world.tenants[ATTACKER]
        return Principal(
            kind="member", id=home.uuids["user"], role="owner", label="A", tenant_id=home.tenant_id
        )
    if isinstance(annotation, type) and hasattr(annotation, "__struct_fields__"):
        hints = get_type_hints(annotation)
        return annotation(**{name: make(hints[name], name, value, world) for name in _required(annotation)})
    if annotation is world.services.__class__ or name in world.services.__struct_fields__:
        return getattr(world.services, name)
    raise UnknownArgumentError(f"{name}: {annotation}")


def _required(shape: Any) -> set[str]:
    return {field.name for field in msgspec.structs.fields(shape) if field.required}


@cache
def _needed(method: Method) -> set[str]:
    parameters = inspect.signature(method).parameters.values()
    return {one.name for one in parameters if one.default is inspect.Parameter.empty}


def arguments(world: World, call: Call, ids: dict[str, str]) -> dict[str, Any]:
    hints, needed = _hints(call.method), _needed(call.method)
    made = {}
    for name in _parameters(call.method):
        if name in ids or name in needed:
            made[name] = make(hints[name], name, ids.get(name), world)
    return made


async def outcome(world: World, call: Call, tenant: UUID, ids: dict[str, str]) -> str:
    """What the caller learns, in the attacker's scope; nothing stays."""
    try:
        async with world.services.db.tenant(world.tenants[ATTACKER].tenant_id) as session:
            said = _plain(await call.method(session, tenant_id=tenant, **arguments(world, call, ids)))
            await session.flush()
            await session.rollback()
    except UnknownArgumentError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same for both
        said = f"{type(error).__name__}: {str(getattr(error, 'orig', error)).partition('DETAIL')[0]}"
    for value in (*ids.values(), str(tenant)):
        said = said.replace(value, "<id>")
    return said


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(_plain(one) for one in value)}]"
    if isinstance(value, dict):
        return repr({str(key): _plain(one) for key, one in value.items()})
    if hasattr(value, "__table__"):
        return repr({column.name: getattr(value, column.name, None) for column in value.__table__.columns})
    if value is None or isinstance(value, str | int | float | bool | bytes | UUID | datetime):
        return repr(value)
    if hasattr(value, "__struct_fields__"):
        return f"{type(value).__name__}({[_plain(getattr(value, name)) for name in value.__struct_fields__]})"
    return type(value).__name__


async def try_method(world: World, call: Call, known: dict[Any, str], tally: Tally) -> None:
    victim = call.victim
    ids = {name: foreign(victim, kind) or str(new_id()) for name, kind in call.kinds}
    home = world.tenants[ATTACKER].tenant_id
    tenant = victim.tenant_id if call.tenant == "foreign" else home
    got = await outcome(world, call, tenant, ids)
    tally.attempts += 1
    tally.by["methods"] += 1
    if f"{MARK}-{victim.slug}" in got:
        tally.leak(f"{call.name}({call.kinds}): shows {got[:300]}")
    key = (call.name, call.tenant)
    if known.get(key) != got:
        gone = {name: _never(value) for name, value in ids.items()}
        strange = UUID(neighbour(str(tenant))) if call.tenant == "foreign" else home
        known[key] = await outcome(world, call, strange, gone)
    if known[key] != got:
        tally.leak(f"{call.name}({call.tenant}, {call.kinds}): {got[:300]} is not {known[key][:300]}")


def _never(value: str) -> str:
    return neighbour(value) if len(value) == 36 else value[:-12] + new_id().hex[-12:]


async def attack_methods(
    world: World, todo: AbstractSequence[Call], tally: Tally, *, say: Callable[[str], None] = lambda _: None
) -> None:
    known: dict[Any, str] = {}
    for number, call in enumerate(todo, 1):
        await try_method(world, call, known, tally)
        if not number % 10_000:
            say(f"{number:,} of {len(todo):,} calls, {len(tally.leaks)} leaks")
