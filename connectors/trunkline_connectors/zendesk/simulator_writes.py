"""HTTP of the simulated Zendesk: writing."""

from typing import Any

import msgspec
from litestar import Response, delete, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.zendesk.simulator_desk import Body, Desk
from trunkline_connectors.zendesk.simulator_errors import invalid
from trunkline_connectors.zendesk.simulator_keys import Keys
from trunkline_connectors.zendesk.simulator_routes import Door, body_of, both, kind_of
from trunkline_connectors.zendesk.simulator_schema import ORGANIZATIONS, SINGULAR, TICKETS, USERS
from trunkline_connectors.zendesk.simulator_seed import ADMIN

Name = FromPath[str]
KINDS = (TICKETS, USERS, ORGANIZATIONS)


def write_routes(desk: Desk, door: Door) -> list[HTTPRouteHandler]:
    keys = Keys(desk)

    def answer(grant: Grant, kind: str, item: SimulatedObject) -> Body:
        body: Body = {SINGULAR[kind]: desk.render(grant.account, kind, item)}
        if kind == TICKETS:
            body["audit"] = {
                "id": 600_000_000 + len(desk.store.ledger),
                "ticket_id": int(item.id),
                "author_id": ADMIN,
                "created_at": body["ticket"]["updated_at"],
                "via": {"channel": "api"},
                "metadata": {"system": {}, "custom": {}},
                "events": [],
            }
        return body

    @post(both(*(f"/api/v2/{kind}" for kind in KINDS)))
    async def create(request: AnyRequest) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind, "write")
        key = request.headers.get("idempotency-key", "")[:255] if kind == TICKETS else ""
        given = await body_of(request, SINGULAR[kind])
        if key:
            held = keys.once(grant.account, key, given)
            if held is not None:
                headers = {**headers, "X-Idempotency-Lookup": "hit"}
                return Response(answer(grant, kind, held), status_code=201, headers=headers)
            headers = {**headers, "X-Idempotency-Lookup": "miss"}
        item = desk.create(grant.account, kind, given)
        if key:
            keys.remember(grant.account, key, given, item)
        return Response(answer(grant, kind, item), status_code=201, headers=headers)

    @post(both("/api/v2/users/create_or_update", "/api/v2/organizations/create_or_update"))
    async def create_or_update(request: AnyRequest) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind, "write")
        given = await body_of(request, SINGULAR[kind])
        held = next(
            (
                item
                for item in desk.live(grant.account, kind)
                if any(
                    given.get(name) and str(item.values.get(name)).casefold() == str(given[name]).casefold()
                    for name in (("external_id", "email") if kind == USERS else ("external_id",))
                )
            ),
            None,
        )
        if held is None:
            item = desk.create(grant.account, kind, given)
        else:
            item = desk.update(grant.account, kind, held.id, given)
        return Response(answer(grant, kind, item), status_code=201 if held is None else 200, headers=headers)

    @put(both(*(f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS)))
    async def update(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind, "write")
        given = await body_of(request, SINGULAR[kind])
        item = desk.update(grant.account, kind, object_id.removesuffix(".json"), given)
        return Response(answer(grant, kind, item), headers=headers)

    @put(both("/api/v2/tickets/{object_id:str}/tags"))
    async def add_tags(request: AnyRequest, object_id: Name) -> Response[Body]:
        """Adds; what is there stays."""
        grant, headers = door(request, TICKETS, "write")
        item = desk.find(grant.account, TICKETS, object_id)
        tags = list(dict.fromkeys([*item.values["tags"], *await _tags(request)]))
        changed = desk.update(grant.account, TICKETS, object_id, {"tags": tags})
        return Response({"tags": changed.values["tags"]}, headers=headers)

    @delete(both(*(f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS)), status_code=200)
    async def remove(request: AnyRequest, object_id: Name) -> Response[Any]:
        kind = kind_of(request)
        grant, headers = door(request, kind, "write")
        item = desk.delete(grant.account, kind, object_id.removesuffix(".json"))
        if kind == USERS:
            return Response({"user": desk.render(grant.account, USERS, item)}, headers=headers)
        return Response(None, status_code=204, headers=headers)

    return [create, create_or_update, update, add_tags, remove]


async def _tags(request: AnyRequest) -> list[str]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, list[str]]).get("tags", [])
    except (msgspec.DecodeError, UnicodeDecodeError):
        invalid("tags must be a list of strings")
