"""The table of roles, cell by cell, over the real routes."""

from pathlib import Path
from typing import Any, get_args

import pytest
from isolation_kit.routes import NEUTRAL, OWNED, Route, routes
from isolation_kit.world import ATTACKER, Who, World, never

from trunkline.kernel.principal import Role
from trunkline.kernel.scopes import SCOPES
from trunkline_tenants.guards import SAFE
from trunkline_tenants.permissions import PEOPLE, PERMISSIONS, WORDS, Action
from trunkline_tenants.roles import table

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "roles.md"

WITHOUT_ROUTE = {
    "members.manage": "members are made by command and by the directory; no page yet",
    "replays.request": "replay has no page yet",
}
"""Actions that no route asks for, each with its reason."""

PUBLIC_DEEDS = {
    "POST /connect/{connector}": "goes on with a connection begun before; its state is bound to a cookie",
    "POST /login": "who signs in is nobody yet; a form token, and throttled",
    "POST /login/code": "the second step of signing in; bound to the first by a cookie",
    "POST /ui/theme": "a preference of the browser, kept in a cookie",
    "POST /widget/sessions/{session_id}/authorize": "opened by the frame's key",
    "POST /widget/sessions/{session_id}/redeem": "opened by the session's token",
    "POST /widget/sessions/{session_id}/status": "opened by the frame's key",
}
"""Unsafe routes that anybody may call, each with what protects it instead of a role."""


def action_of(route: Route) -> Action | None:
    """What the route asks for: as it says, or by its area for one that only shows."""
    if route.opt.get("public"):
        return None
    if said := route.opt.get("can"):
        return said
    if route.template.startswith("/v1"):
        return "api.use"
    return "console.view" if route.template.startswith("/console") else "portal.view"


def test_the_document_is_current() -> None:
    stale = "docs/roles.md is stale: run `python -m trunkline_tenants.roles > docs/roles.md`"
    assert DOCUMENT.read_text() == table(), stale


def test_the_table_is_whole() -> None:
    assert set(WORDS) == set(get_args(Action))
    assert {*PEOPLE, "system"} == set(get_args(Role)) == set(PERMISSIONS)
    assert PERMISSIONS["system"] == set(get_args(Action))
    assert PERMISSIONS["support"] < PERMISSIONS["staff_admin"]
    assert not PERMISSIONS["support"] & {"portal.view", "console.act", "console.people", "api.use"}
    assert PERMISSIONS["end_user"] == frozenset()


def test_every_deed_says_who_may_do_it(world: World) -> None:
    silent, public = [], set()
    for route in routes(world.app):
        if route.method in SAFE:
            continue
        if route.opt.get("public"):
            public.add(route.name)
        elif route.template.startswith("/v1"):
            silent += [] if route.opt.get("scope") in SCOPES else [route.name]
        elif route.opt.get("can") not in WORDS:
            silent.append(route.name)
    assert silent == []
    assert public == set(PUBLIC_DEEDS)


def test_every_action_is_asked_for_somewhere(world: World) -> None:
    asked = {action_of(route) for route in routes(world.app)} - {None}
    assert set(WORDS) - asked == set(WITHOUT_ROUTE)


def _callers(world: World) -> dict[str, Who]:
    """A caller for each role from outside."""
    names = {"product": "bound key", "staff_admin": "staff admin", "end_user": "nobody"}
    by_name = {who.name: who for who in world.callers}
    return {role: by_name[names.get(role, role)] for role in PEOPLE}


async def _try(world: World, who: Who, route: Route) -> Any:
    """With ids that never existed: whom the guard lets through finds nothing, and changes nothing."""
    path = route.template
    for place in route.places:
        if place.where == "path":
            kind = OWNED.get(place.name, "connection")
            value = world.tenants[ATTACKER].slug if kind == "slug" else never(kind)
            path = path.replace(f"{{{place.name}}}", value)
    for name, value in NEUTRAL.items():
        path = path.replace(f"{{{name}}}", value)
    if route.json and route.method != "GET":
        return await world.ask(who, route.method, path, body={} if route.method != "DELETE" else None)
    form = {"csrf_token": who.csrf} if route.method != "GET" else None
    return await world.ask(who, route.method, path, form=form)


def _sample(world: World, number: int) -> list[Route]:
    kinds: dict[tuple[Action, bool], list[Route]] = {}
    for route in routes(world.app):
        if action := action_of(route):
            kinds.setdefault((action, route.method in SAFE), []).append(route)
    return [found[number % len(found)] for found in kinds.values()]


@pytest.mark.parametrize("role", PEOPLE)
def test_every_cell(world: World, run: Any, role: Role) -> None:
    """Of every action a route that shows and one that changes, others for each role; all ask the same guard."""
    who, wrong, tried = _callers(world)[role], [], set()
    for route in _sample(world, list(PEOPLE).index(role)):
        action = action_of(route)
        assert action
        may = action in PERMISSIONS[role]
        if may and action == "account.manage" and route.method != "GET":
            continue  # would end the caller's own session; that they may is their own tests' matter
        answer = run(_try(world, who, route))
        refused = answer.status in {401, 403} or (
            answer.status == 303 and answer.header("location").startswith("/login")
        )
        tried.add(action)
        if refused == may:
            wrong.append(f"{route.name} ({action}): {answer.status} for {role}")
    assert wrong == []
    assert tried == set(WORDS) - set(WITHOUT_ROUTE)
