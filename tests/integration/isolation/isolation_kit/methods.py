"""Every repository function and service method that takes a tenant and ids, called with another tenant's.

Found by signature: (session, ...) with a tenant_id, tenant_ids or something that holds one, and (tenant_id, ...)
of services that open sessions of their own. Arguments are made from their annotations; one that cannot be made
is an error, and whatever else takes an id is named in BESIDES, so that no function is left out.
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
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
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
from trunkline.work.lease import Lease

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


BESIDES = {
    "trunkline.actions.running.Runner.*": "behind ActionService; opens the tenant's own session",
    "trunkline.access.repository.tenant_of": "finds the tenant; the system role sees ids only",
    "trunkline.access.service.AccessService.*": "opened by a secret; every route of it is attacked",
    "trunkline.audit.heads.sign_heads": "a command's and the worker's; signs what the log itself says",
    "trunkline.audit.verification.verify": "a command's, in the tenant's own scope",
    "trunkline.connections.repository.grant_is_shared": "one bit, across tenants by design",
    "trunkline.connections.clients.OAuthClients.*": "behind ConnectionService; test_attacks.py has it",
    "trunkline.connections.flow.AuthorizationFlow.*": "behind ConnectionService",
    "trunkline.connections.keeping.GrantKeeper.*": "behind ConnectionService",
    "trunkline.connections.tokens.TokenKeeper.*": "behind ConnectionService",
    "trunkline.connections.unconfirmed.Unconfirmed.*": "given a connection that its caller found in scope",
    "trunkline.deliveries.across.sent_to": "deliveries to an endpoint of the installation, in the console's role",
    "trunkline.packages.*": "staff's steps and the worker's: partners' connectors are the installation's own",
    "trunkline.recipes.preview.Source.*": "a protocol, of which ProviderClient is attacked",
    "trunkline.recipes.service.Streams.*": "a protocol, of which RunService is attacked",
    "trunkline.work.backlog.weights": "dispatching: a number for each tenant, and nothing of theirs",
    "trunkline.runs.calls.Books.*": "a protocol, of which the two beside it are attacked by their functions",
    "trunkline.runs.calls.DatabaseBooks.*": "opens the tenant's own session for functions that are attacked",
    "trunkline.runs.pages.PageWriter.*": "of one attempt, made with its lease's tenant and connection",
    "trunkline.runs.calling.Tokens.*": "a protocol, of which ConnectionService is attacked",
    "trunkline.runs.following.Following.*": "what RunService is made of, which is attacked",
    "trunkline.runs.grants.Grants.*": "a protocol, of which ConnectionService is attacked",
    "trunkline.vault.shredding.Shredder.*": "a command's",
    "trunkline.services.EndedAccess.*": "hands ConnectionService on to the calls of a removal",
    "trunkline.webhooks.drift.Watch.*": "a batch's own, under its lease; its statements are attacked",
    "trunkline.webhooks.repository.of_account": "finds tenants; the system role sees ids only",
    "trunkline.webhooks.repository.versions_of_client": "versions of a connector; the system role sees ids only",
    "trunkline.runs.samples.Samples.*": "behind RecipePreview; its functions of the repository are attacked",
    "trunkline.webhooks.own_systems.Streams.*": "a protocol, of which RunService is attacked",
    "trunkline.webhooks.sources.Clients.*": "a protocol, of which OAuthClients is behind ConnectionService",
    "trunkline.webhooks.sources.Sources.*": "of a delivery whose signature holds; gives nothing to its sender",
    "trunkline.work.due.by_tenant": "the dispatcher's; its role sees no content",
    "trunkline_tenants.*": "people, their sessions and the installation's keys; every route is attacked",
}
"""What takes an id and is not called here, each with its reason."""

TENANT = {"tenant_id", "tenant_ids"}
NEW = UUID("01a00000-0000-7000-8000-00000000abcd")
"""Where an id is asked for that is nobody's yet: the same each time, for what is given back to be compared."""


CLOCKS = {"trunkline.runs.passes.hold_still"}
"""What they give back is the time of asking, which no two calls share."""


class UnknownArgumentError(Exception):
    """The generator cannot make this argument from its annotation."""


def methods(world: World) -> dict[str, Method]:
    """By name."""
    found: dict[str, Method] = {}
    for info, module in _modules():
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction):
            if function.__module__ == info and not name.startswith("_") and _scoped(function):
                found[f"{info}.{name}"] = function
    for field in world.services.__struct_fields__:
        service = getattr(world.services, field)
        if not type(service).__module__.startswith("trunkline."):
            continue
        for name, method in inspect.getmembers(service, inspect.iscoroutinefunction):
            if not name.startswith("_") and (_scoped(method) or _opens(method)):
                found[f"{type(service).__module__}.{type(service).__name__}.{name}"] = method
    return {name: found[name] for name in sorted(found) if name not in BESIDES}


def _scoped(function: Any) -> bool:
    """(session, ...) with a tenant, whichever of them by name only."""
    names = list(inspect.signature(function).parameters)
    if not names or names[0] != "session" or _under_lease(function):
        return False
    return bool(TENANT & set(names)) or any(_is_place(_hints(function).get(name), name) for name in names)


def _under_lease(function: Any) -> bool:
    """The dispatcher's lease says whose work it is."""
    return Lease in _hints(function).values()


def _is_place(annotation: Any, name: str) -> bool:
    return name == "place" and "tenant_id" in getattr(annotation, "__struct_fields__", ())


def _opens(method: Any) -> bool:
    """(tenant_id, ...) with another id: in its own tenant it must not find another's."""
    names = list(inspect.signature(method).parameters)
    return names[:1] == ["tenant_id"] and any(_is_id(_hints(method).get(name), name) for name in names[1:])


def missed(world: World) -> tuple[list[str], list[str]]:
    """Public coroutines that take an id and are neither called nor in BESIDES; what of BESIDES is of no use."""
    called, left, used = set(methods(world)), [], set()
    for name in _takers():
        reasons = {known for known in BESIDES if fnmatchcase(name, known)}
        used |= reasons if name not in called else set()
        if name not in called and not reasons:
            left.append(name)
    return left, sorted(set(BESIDES) - used)


def _takers() -> Iterator[str]:
    for info, module in _modules():
        owners = [(f"{info}.", module)]
        owners += [
            (f"{info}.{name}.", kind)
            for name, kind in inspect.getmembers(module, inspect.isclass)
            if kind.__module__ == info and not name.startswith("_")
        ]
        for prefix, owner in owners:
            for name, function in inspect.getmembers(owner, inspect.iscoroutinefunction):
                if function.__module__ == info and not name.startswith("_") and _takes_id(function):
                    yield f"{prefix}{name}"


def _takes_id(function: Any) -> bool:
    hints = {name: hint for name, hint in _hints(function).items() if name != "return"}
    return not _under_lease(function) and any(
        _is_id(hint, name) or _is_place(hint, name) for name, hint in hints.items()
    )


def _modules() -> Iterator[tuple[str, Any]]:
    for package in (trunkline, trunkline_tenants):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            last = info.name.rpartition(".")[2]
            aside = {"cli", "kit", "sandbox", "main"} & set(info.name.split("."))
            if not last.startswith("_") and not aside:
                yield info.name, importlib.import_module(info.name)


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
        places = [
            parameter
            for parameter in _parameters(method)
            if _is_id(hints[parameter], parameter) or _is_place(hints[parameter], parameter)
        ]
        options = [_likely(place) for place in places]
        combinations = list(itertools.product(*options))
        mine = [
            Call(name, method, tenant, tuple(zip(places, kinds, strict=True)), victim)
            for kinds in combinations
            for tenant in (("own", "foreign") if _scoped(method) else ("own",))
            for victim in world.victims
            if places or tenant == "foreign"  # else nothing of another's is given
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
        if name not in {"session", *TENANT} and parameter.kind not in {
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
    outer = [annotation, *get_args(annotation)]
    return UUID in (*outer, *(inner for one in outer for inner in get_args(one)))


def make(annotation: Any, name: str, value: str | None, world: World, tenant: UUID | None = None) -> Any:
    """Of the annotation; `value` wherever an id belongs, `tenant` where a struct holds one."""
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
    if origin is Callable:
        return _nothing
    if origin in {dict, AbstractMapping} or annotation is dict:
        return {}
    if annotation is UUID:
        return UUID(value) if value else NEW
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
    if annotation is date:
        return date(2026, 1, 1)
    if annotation is Principal:
        home = world.tenants[ATTACKER]
        return Principal(
            kind="member", id=home.uuids["user"], role="owner", label="A", tenant_id=home.tenant_id
        )
    if isinstance(annotation, type) and hasattr(annotation, "__struct_fields__"):
        hints = get_type_hints(annotation)
        given = {one: value if _is_id(hints[one], one) else None for one in _required(annotation)}
        made = {field: make(hints[field], field, given[field], world) for field in given}
        return annotation(**made | ({"tenant_id": tenant} if _is_place(annotation, name) else {}))
    if annotation is world.services.__class__ or name in world.services.__struct_fields__:
        return getattr(world.services, name)
    raise UnknownArgumentError(f"{name}: {annotation}")


async def _nothing(*_: Any) -> bytes:
    return b"{}"


def _required(shape: Any) -> set[str]:
    return {field.name for field in msgspec.structs.fields(shape) if field.required}


@cache
def _needed(method: Method) -> set[str]:
    parameters = inspect.signature(method).parameters.values()
    return {one.name for one in parameters if one.default is inspect.Parameter.empty}


def arguments(world: World, call: Call, tenant: UUID, ids: dict[str, str]) -> dict[str, Any]:
    hints, needed = _hints(call.method), _needed(call.method)
    every = inspect.signature(call.method).parameters
    made: dict[str, Any] = {"tenant_id": tenant} if "tenant_id" in every else {}
    made |= {"tenant_ids": [tenant]} if "tenant_ids" in every else {}
    for name in _parameters(call.method):
        if name in ids or name in needed:
            made[name] = make(hints[name], name, ids.get(name), world, tenant)
    return made


async def outcome(world: World, call: Call, tenant: UUID, ids: dict[str, str]) -> str:
    """What the caller learns, in the attacker's scope; nothing stays."""
    try:
        given = arguments(world, call, tenant, ids)
        if not _scoped(call.method):
            said = _plain(await call.method(**given))
        else:
            async with world.services.db.tenant(world.tenants[ATTACKER].tenant_id) as session:
                said = _plain(await call.method(session, **given))
                await session.flush()
                await session.rollback()
    except UnknownArgumentError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same for both
        said = f"{type(error).__name__}: {str(getattr(error, 'orig', error)).partition('DETAIL')[0]}"
    if call.name in CLOCKS and said.startswith("datetime"):
        said = "datetime"
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
    for again in (False, True):  # the world and the clock go on: once more, side by side
        if known.get(key) == got:
            return
        got = await outcome(world, call, tenant, ids) if again else got
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
