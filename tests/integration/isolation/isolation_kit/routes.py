"""Every route of the application, each with another tenant's ids in each of its places.

Nothing here lists routes: they come from the running application's own table, their places from their
parameters and from what their handlers ask of a query or a form. What is neither a UUID nor named below is an
error, so that no route and no place is left out.
"""

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_type_hints

import msgspec
from isolation_kit import asked
from isolation_kit.world import ATTACKER, MARK, Answer, Ids, Who, World, never
from litestar.routes import HTTPRoute

from trunkline.kernel.ids import new_id

OWNED = {"external_id": "external", "tenant": "slug", "owner": "tenant", "feed": "feed"}
"""Path parameters that are no UUID and yet name something of a tenant's."""

NEUTRAL = {
    "action": "add_note",
    "stream": "contacts",
    "model": "contact",
    "connector": "hubspot",
    "number": "1",
    "cause": "grant_revoked",
    "code": "grant_revoked",
    "path": "x.css",
    "digest": "0",
    "name": "x.js",
    "layout": "wizard",
    "provider": "hubspot",
}
"""Path parameters that mean the same for every tenant."""

FIELDS = {
    "connection": "connection",
    "connection_id": "connection",
    "endpoint": "endpoint",
    "cursor": "entity",
    "after": "entity",
    "before": "entity",
    "run": "run",
    "recipe": "recipe",
    "recipe_id": "recipe",
    "record": "entity",
    "id": "external",
    "external_id": "external",
    "tenant": "slug",
    "actor": "user",
    "target": "connection",
    "state": "state",
    "code": "token",
    "token": "token",
    "frame_key": "token",
}
"""Fields and query parameters that could name something of a tenant's, and what is tried there first."""

NEUTRAL_FIELDS = {
    *(
        "action",
        "area",
        "based_on",
        "client_id",
        "dir",
        "enabled",
        "from",
        "go",
        "include_deleted",
        "key",
        "level",
    ),
    *(
        "limit",
        "lost",
        "model",
        "name",
        "next",
        "page",
        "preview",
        "q",
        "removed",
        "seen_stream",
        "show",
        "sort",
    ),
    *("standing", "step", "stream", "suggested", "to", "updated_after", "way", "/"),
}
"""What queries and forms are asked for besides, which means the same for every tenant."""

PLAIN = {"connector": "hubspot", "stream": "contacts", "reason": "because", "name": "x", "nonce": "n" * 22}

SPARED = {
    ("POST", "/login"): "takes an address and a password, no id; throttled",
    ("POST", "/logout"): "ends the attacker's own session",
    ("GET", "/console/audit"): (
        "staff read every tenant's entries there, so an id that is sent may stand in the list itself"
    ),
    ("GET", "/widget/frame/{session_id}"): (
        "public by design: the page that holds the session's id sees the product's origin, and no tenant's data"
    ),
}
"""Routes that are not attacked, each with its reason."""

GLOBAL = {"key_id": "staff_admin", "user_id": "staff_admin", "tenant": "support staff_admin"}
"""Path parameter -> roles whose business it is for every tenant."""


MOUNTED: dict[str, str] = {}
"""Path -> what attacks a mounted application instead of this generator."""


TENANT_NAMED = (("query", "tenant"), ("header", "trunkline-tenant"))
"""Where a request to /v1 may name its tenant, whatever its handler asks for."""


class Place(msgspec.Struct, frozen=True):
    where: str
    """path, query, header or body."""
    name: str
    kinds: tuple[str, ...]


class Route(msgspec.Struct, frozen=True):
    method: str
    template: str
    places: tuple[Place, ...]
    """Where an id of a tenant's can stand."""
    plain: tuple[tuple[str, str], ...]
    """The other fields of its body."""
    json: bool
    opt: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.method} {self.template}"


class UnknownParameterError(Exception):
    """The generator does not know what to put there: name it in OWNED or NEUTRAL."""


UUIDS = [
    "connection",
    "run",
    "recipe",
    "entity",
    "issue",
    "review",
    "endpoint",
    "delivery",
    "work",
    "session",
    "user",
    "key",
    "tenant",
    "login",
    "event",
    "replay",
    "call",
    "system",
]


def routes(app: Any) -> list[Route]:
    found = []
    for route in app.routes:
        if route.path in MOUNTED:
            continue
        if not isinstance(route, HTTPRoute):
            raise UnknownParameterError(f"{route.path}: a {type(route).__name__}, which nobody attacks")
        for method, handler in route.route_handler_map.items():
            if method not in {"OPTIONS", "HEAD"}:
                one = handler[0] if isinstance(handler, tuple) else handler
                found.append(_route(method, route, one))
    return sorted(found, key=lambda one: (one.template, one.method))


def _route(method: str, route: HTTPRoute, handler: Any) -> Route:
    places = []
    for name, parameter in route.path_parameters.items():
        if parameter.type.__name__ == "UUID":
            places.append(Place("path", name, tuple(UUIDS)))
        elif name in OWNED:
            places.append(Place("path", name, (OWNED[name],)))
        elif name not in NEUTRAL:
            raise UnknownParameterError(f"{method} {route.path_format}: {name}")
    where = f"{method} {route.path_format}"
    places += [Place("query", name, _kinds(name)) for name in sorted(_asked(handler, where))]
    if route.path_format.startswith("/v1"):
        places += [
            Place(where, name, ("slug",)) for where, name in TENANT_NAMED if not _there(places, where, name)
        ]
    fields = _fields(handler) if method not in {"GET", "DELETE"} else {}
    if strange := [name for name in fields if _looks_like_an_id(name, fields) and name not in FIELDS]:
        raise UnknownParameterError(f"{where}: takes {', '.join(strange)}")
    plain = []
    for name, is_id in fields.items():
        if is_id or name in FIELDS:
            places.append(Place("body", name, tuple(UUIDS) if is_id else _kinds(name)))
        else:
            plain.append((name, PLAIN.get(name, "x")))
    json = route.path_format.startswith("/v1") or "JSON" in str(handler.parsed_data_field)
    return Route(method, route.path_format, tuple(places), tuple(plain), json, dict(handler.opt))


def _kinds(name: str) -> tuple[str, ...]:
    first = FIELDS[name]
    if first in {"slug", "state", "token"}:
        return (first, "connection")
    return tuple(dict.fromkeys((first, *UUIDS, "external")))


def _asked(handler: Any, where: str) -> set[str]:
    """Names of FIELDS that the handler's parameters, its module or its helpers' ask a query or a form for."""
    module = handler.fn.__module__
    found = asked.of_parameters(handler) | (asked.names(module) if module.startswith(asked.PAGES) else set())
    if strange := found - set(FIELDS) - NEUTRAL_FIELDS:
        raise UnknownParameterError(f"{where}: asks for {', '.join(sorted(strange))}")
    return found & set(FIELDS)


def _fields(handler: Any) -> dict[str, bool]:
    """Of the body: name -> whether it is a UUID."""
    field = handler.parsed_data_field
    if field is None:  # a form that the handler reads by itself
        free = asked.reads_a_form(handler.fn.__module__)
        return dict.fromkeys(("connection", "recipe"), True) if free else {}
    wanted = [field.annotation, *get_args(field.annotation)]
    shape = next((one for one in wanted if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)
    if shape is None:
        return dict.fromkeys(("connection", "recipe"), True)  # a free form
    hints = get_type_hints(shape)
    return {name: "UUID" in str(hints[name]) for name in shape.__struct_fields__}


def _there(places: list[Place], where: str, name: str) -> bool:
    return any((place.where, place.name) == (where, name) for place in places)


def _looks_like_an_id(name: str, fields: Mapping[str, bool]) -> bool:
    return name.endswith(("_id", "_ids")) and not fields[name] and name not in NEUTRAL_FIELDS


class Attempt(msgspec.Struct, frozen=True):
    who: Who
    route: Route
    values: tuple[tuple[Place, str, str], ...]
    """(place, kind, value): the other tenant's."""
    own: tuple[tuple[Place, str, str], ...]
    htmx: bool

    @property
    def key(self) -> tuple[Any, ...]:
        return (
            self.who.name,
            self.route.name,
            tuple((place.where, place.name, _shape(kind)) for place, kind, _ in self.values),
            self.htmx,
        )


def _shape(kind: str) -> str:
    return "uuid" if kind in UUIDS else kind


def foreign(ids: Ids, kind: str) -> str | None:
    return ids.uuids.get(kind) or ids.texts.get(kind)


_NEAR = {
    "v1": ("bound key", "installation key", "nobody"),
    "portal": ("owner", "viewer", "support"),
    "console": ("staff admin", "support", "owner"),
    "": ("owner", "nobody"),
}
"""Callers of a sample: those for whom the area is, and one from outside."""


def attempts(world: World, *, seed: int = 0, each: int | None = None) -> list[Attempt]:
    """Every caller, route, place, kind of id and victim, shuffled.

    `each`: a sample, of so many in each place by whom the area is for, and on each route by the others.
    """
    every = [route for route in routes(world.app) if (route.method, route.template) not in SPARED]
    todo = list(_combinations(world, every, world.tenants[ATTACKER]))
    random.Random(seed).shuffle(todo)
    if each is None:
        return todo
    taken: Counter[tuple[str, str, Place | None]] = Counter()
    kept = []
    for one in todo:
        near = _NEAR.get(one.route.template.split("/")[1], _NEAR[""])
        if one.who.name not in near:
            continue
        place = one.who.name, one.route.name, one.values[0][0] if one.who.name == near[0] else None
        taken[place] += 1
        if taken[place] <= each:
            kept.append(one)
    return kept


def _combinations(world: World, every: list[Route], home: Ids) -> Iterator[Attempt]:
    for who, route, ids in itertools.product(world.callers, every, world.victims):
        paths = [place for place in route.places if place.where == "path"]
        mine = [(place, _usual(place), foreign(home, _usual(place)) or "") for place in paths]
        for place in route.places:
            if who.role in GLOBAL.get(place.name, "").split():
                continue
            if place.where == "header" and place.name in who.headers:
                continue  # a key of the whole installation: any tenant is its business
            for kind in place.kinds:
                value = foreign(ids, kind)
                if value is None:
                    continue
                own = tuple(one for one in mine if one[0] != place)
                for htmx in (False, True) if route.method == "GET" and not route.json else (False,):
                    yield Attempt(who, route, ((place, kind, value),), own, htmx)
                rest = [(one, _usual(one), foreign(ids, _usual(one)) or "") for one in paths if one != place]
                rest = [one for one in rest if who.role not in GLOBAL.get(one[0].name, "").split()]
                if rest and kind != "token":  # a token is a secret: with its session it opens what it is for
                    kept = tuple(one for one in own if one[0] not in {other for other, _, _ in rest})
                    yield Attempt(who, route, ((place, kind, value), *rest), kept, htmx=False)


def _usual(place: Place) -> str:
    """What the place is for."""
    if place.name in OWNED:
        return OWNED[place.name]
    kind = {"record_id": "entity", "id": "login"}.get(place.name, place.name.removesuffix("_id"))
    return kind if kind in UUIDS else "connection"


async def send(world: World, one: Attempt, values: Mapping[tuple[str, str], str]) -> Answer:
    """`values` by (where, name); own ones stand where it says nothing."""
    given = {(place.where, place.name): value for place, _, value in one.own} | dict(values)
    path = re.sub(
        r"\{(\w+)[^}]*\}",
        lambda found: given.get(("path", found[1])) or NEUTRAL[found[1]],
        one.route.template,
    )
    query = "&".join(f"{name}={value}" for (where, name), value in given.items() if where == "query")
    headers = {"hx-request": "true", "hx-target": "live"} if one.htmx else {}
    headers |= {name: value for (where, name), value in given.items() if where == "header"}
    if one.route.method in {"GET", "DELETE"}:
        return await world.ask(one.who, one.route.method, path, query=query, headers=headers)
    body = dict(one.route.plain) | {name: value for (where, name), value in given.items() if where == "body"}
    if one.route.json:
        return await world.ask(one.who, one.route.method, path, query=query, body=body, headers=headers)
    form = {"csrf_token": one.who.csrf, **body}
    return await world.ask(one.who, one.route.method, path, query=query, form=form)


_CHANGING = re.compile(
    r'"request_id":"[^"]*"|csrf[-_]token" (?:content|value)="[^"]*"|nonce(?:-|=")[\w=-]+|<time[^>]*>[^<]*</time>|(?<=\?)[^"\s]*'
    r"|whsec_[\w+/=]+"  # made anew at each rotation
    r"|\b\d+ (?:s|min|h|days?)(?: \d+ (?:s|min|h))?\b"  # how far behind something is
)


def normal(answer: Answer, values: Mapping[tuple[str, str], str]) -> tuple[Any, ...]:
    """What must not differ: status, body, headers; without what was sent and what changes each time."""
    headers = [
        (name, value.partition("=")[0] if name == "set-cookie" else value)
        for name, value in answer.headers
        if name not in {"x-request-id", "content-length", "date", "retry-after"}
    ]
    whole = [answer.body, *(f"{name}: {value}" for name, value in sorted(headers))]
    for (_, name), value in sorted(values.items(), key=lambda item: -len(item[1])):
        whole = [part.replace(value, f"<{name}>") for part in whole]
    return answer.status, *(_CHANGING.sub("...", part) for part in whole)


def shown(world: World, one: Attempt, answer: Answer) -> str:
    """What of another tenant's the answer holds beyond what was sent."""
    sent = {value for _, _, value in one.values}
    whole = answer.body + " ".join(f"{name}: {value}" for name, value in answer.headers)
    for value in sent:
        whole = whole.replace(value, "")
    if _staff(one):
        return ""
    for ids in world.victims:
        if f"{MARK}-{ids.slug}" in whole:
            return f"a text of {ids.slug}"
        for kind, value in ids.uuids.items():
            if value in whole:
                return f"the id of the {kind} of {ids.slug}"
    return ""


def _staff(one: Attempt) -> bool:
    """Staff see every tenant's connections, by name; what they may not see is a matter of roles."""
    return one.who.role in {"support", "staff_admin"}


def twin(one: Attempt) -> dict[tuple[str, str], str]:
    """Values of the same shape that never existed; a UUID's neighbour, so that it sorts where the other does."""
    return {
        (place.where, place.name): neighbour(value) if kind in UUIDS else never(kind)
        for place, kind, value in one.values
    }


def neighbour(value: str) -> str:
    return value[:24] + new_id().hex[-12:]
