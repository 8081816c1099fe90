"""Another tenant's ids on every route and in every repository function: never told from ids that never were.

`trunkline bench isolation` makes some 50,000 attempts; this is a sample of the same that holds every route and
every function, and shows that a hole would be seen.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest
from isolation_kit.attack import Tally, attack_routes, try_route, unchanged
from isolation_kit.machine import attack_sequences
from isolation_kit.methods import Call, attack_methods, calls, methods, missed, try_method
from isolation_kit.routes import (
    GLOBAL,
    NEUTRAL,
    OWNED,
    SPARED,
    UUIDS,
    Attempt,
    Place,
    UnknownParameterError,
    attempts,
    foreign,
    routes,
    send,
)
from isolation_kit.world import ATTACKER, VICTIMS, World
from litestar import Litestar, get
from litestar.params import FromPath
from sqlalchemy import select, text

from trunkline.connections.models import Connection

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


async def _own(world: World) -> list[str]:
    """Routes that answer 404 to their owner's own ids: there an attack would prove nothing."""
    home, found = world.tenants[ATTACKER], []
    callers = {who.name: who for who in world.callers}
    for route in routes(world.app):
        paths = [place for place in route.places if place.where == "path"]
        if route.method != "GET" or not paths or (route.method, route.template) in SPARED:
            continue
        if route.template.startswith(("/console/webhooks/", "/console/packages/")):
            continue  # the installation's own: no tenant's is found there
        who = callers["owner"]
        if route.template.startswith("/v1"):
            who = callers["bound key"]
        elif route.template.startswith("/console"):
            who = callers["staff admin"]
        given = {("path", place.name): foreign(home, _kind(place)) or "" for place in paths}
        answer = await send(world, Attempt(who, route, (), (), htmx=False), given)
        if answer.status >= 400 and not (answer.status < 405 and "oauth" in route.template):
            found.append(f"{route.name}: {answer.status}")
    return found


def _kind(place: Place) -> str:
    if place.name in OWNED:
        return OWNED[place.name]
    return {"record_id": "entity", "connection_id": "connection"}.get(
        place.name, place.name.removesuffix("_id")
    )


def test_their_owner_finds_them(world: World, run: Run[Any]) -> None:
    assert run(_own(world)) == []


def test_no_route_tells_of_another_tenant(world: World, run: Run[Any]) -> None:
    tally, todo = Tally(), attempts(world, each=1)
    run(attack_routes(world, todo, tally))
    assert tally.leaks == []
    assert tally.attempts > 120
    assert tally.statuses[404] > 30, tally.statuses
    reached = {one.route.name for one in todo}
    left = {one.name for one in routes(world.app) if one.places and one.name not in reached}
    assert left == {" ".join(route) for route in SPARED if _has_places(world, route)}
    tried = {(one.route.name, place) for one in todo for place, _, _ in one.values}
    every = [(one.name, place) for one in routes(world.app) if one.name not in left for place in one.places]
    # staff may name any tenant; there it is one of the outsiders' turns
    assert [
        (route, place.name)
        for route, place in every
        if (route, place) not in tried and place.name not in GLOBAL
    ] == []


def _has_places(world: World, route: tuple[str, str]) -> bool:
    return any((one.method, one.template) == route and one.places for one in routes(world.app))


def test_no_repository_or_service_tells_of_another_tenant(world: World, run: Run[Any]) -> None:
    tally, todo = Tally(), calls(world, each=4)
    before = {slug: run(world.fingerprint(slug)) for slug in VICTIMS}
    run(attack_methods(world, todo, tally))
    run(unchanged(world, before, tally))
    assert tally.leaks == []
    assert len(methods(world)) > 100
    assert {call.name for call in todo} == set(methods(world))


def test_no_function_that_takes_an_id_is_left_out(world: World) -> None:
    left, useless = missed(world)
    assert left == [], "call it, or name it in BESIDES with the reason"
    assert useless == []


def test_no_sequence_of_deeds_leads_to_another_tenant(world: World, run: Run[Any]) -> None:
    tally = Tally()
    attack_sequences(world, run, tally, examples=2, steps=10)
    assert tally.leaks == []
    assert tally.attempts > 2


def test_a_route_with_an_unknown_parameter_is_an_error() -> None:
    @get("/portal/{surprise:str}")
    async def later(surprise: FromPath[str]) -> str:
        return surprise

    with pytest.raises(UnknownParameterError, match="surprise"):
        routes(Litestar([later]))


def test_a_route_that_forgets_the_tenant_is_seen(world: World, run: Run[Any]) -> None:
    """As if a handler looked up what it is given with the owner's rights."""

    async def everything(path: str) -> str | None:
        for _, kind, value in one.values:
            if kind == "connection" and value in path:
                found: str | None = await world.owner.fetchval(
                    "SELECT name FROM connections WHERE id = $1", value
                )
                return found
        return None

    class Hole:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            name = await everything(scope["path"])
            if name is None:
                await app(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": name.encode()})

    one = next(
        one
        for one in attempts(world)
        if one.route.name == "GET /portal/connections/{connection_id}"
        and one.who.name == "owner"
        and (one.values[0][0].where, one.values[0][1]) == ("path", "connection")
    )
    app, tally = world.app, Tally()
    world.app = Hole()  # type: ignore[assignment]
    try:
        run(try_route(world, one, {}, tally))
    finally:
        world.app = app
    assert len(tally.leaks) == 2, tally.leaks


def test_a_method_that_forgets_the_tenant_is_seen(world: World, run: Run[Any]) -> None:
    """Row-level security alone would still hide the row; so the planted one also steps out of its scope."""

    async def of_anybody(session: Any, tenant_id: Any, connection_id: Any) -> Any:
        await session.execute(text("SELECT set_config('role', 'trunkline_console', true)"))
        return await session.scalar(select(Connection.name).where(Connection.id == connection_id))

    victim = world.victims[0]
    tally = Tally()
    call = Call("planted", of_anybody, "own", (("connection_id", "connection"),), victim)
    of_anybody.__annotations__["connection_id"] = __import__("uuid").UUID
    run(try_method(world, call, {}, tally))
    assert len(tally.leaks) == 2, tally.leaks


def test_lists_of_the_generator_are_of_use(world: World) -> None:
    named = {name for route in world.app.routes for name in getattr(route, "path_parameters", {})}
    assert set(GLOBAL) - {"user_id"} <= named
    assert {*OWNED} <= named
    assert len(set(NEUTRAL) & named) > 5
    assert set(UUIDS) == set(world.victims[0].uuids)
