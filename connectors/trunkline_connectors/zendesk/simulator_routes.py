"""HTTP of the simulated Zendesk: reading. Every path also answers with .json at its end."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import basic, bearer, query_without
from trunkline.sdk.simulator_gate import HOST, AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.zendesk import simulator_search as finder
from trunkline_connectors.zendesk.simulator_desk import Body, Desk, cursor_of, numbers, parts_of, stamp
from trunkline_connectors.zendesk.simulator_errors import invalid
from trunkline_connectors.zendesk.simulator_lists import export_by_cursor, export_by_time, listed, whole
from trunkline_connectors.zendesk.simulator_schema import (
    COMMENTS,
    GROUPS,
    ORGANIZATIONS,
    SINGULAR,
    TICKETS,
    USERS,
    ticket_fields,
)
from trunkline_connectors.zendesk.simulator_seed import ADMIN

Name = FromPath[str]
KINDS = (TICKETS, USERS, ORGANIZATIONS)
_CURSORS = (TICKETS, USERS)
_INDEX = {TICKETS: "tickets-index"}


def both(*paths: str) -> list[str]:
    """Each path as it is, and with .json at its end where that is no part of a value."""
    return [form for path in paths for form in ((path,) if path.endswith("}") else (path, f"{path}.json"))]


class Door:
    """Who calls: a bearer token of an app, or an API key by Basic as `address/token`."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def __call__(
        self, request: AnyRequest, resource: str, verb: str = "read", bucket: str = ""
    ) -> tuple[Grant, dict[str, str]]:
        token = bearer(request)
        user, key = basic(request)
        credential = token or (key if user.endswith("/token") else "")
        host = str(request.scope.get(HOST) or "")
        grant = self.desk.admit(credential, resource, verb, token=bool(token), host=host)
        return grant, self.desk.spend(grant, bucket)

    def origin(self, grant: Grant) -> str:
        return f"https://{self.desk.hosts[grant.account]}"


def kind_of(request: AnyRequest) -> str:
    kind = request.scope["path"].split("/")[3].removesuffix(".json")
    if kind == "incremental":
        kind = request.scope["path"].split("/")[4].removesuffix(".json")
    return kind.removeprefix("deleted_")


def read_routes(desk: Desk, door: Door) -> list[HTTPRouteHandler]:
    def shown(grant: Grant, kind: str, item: SimulatedObject) -> Body:
        return desk.render(grant.account, kind, item)

    @get(both(*(f"/api/v2/{kind}" for kind in KINDS)))
    async def list_all(request: AnyRequest) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind, bucket=_INDEX.get(kind, ""))
        items = desk.live(grant.account, kind)
        body = listed(request, door.origin(grant), kind, items, lambda item: shown(grant, kind, item))
        return Response(body, headers=headers)

    @get(both(*(f"/api/v2/{kind}/show_many" for kind in KINDS)))
    async def show_many(request: AnyRequest) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind)
        wanted = set(numbers(str(request.query_params.get("ids") or "").split(",")))
        if len(wanted) > 100:
            invalid("At most 100 ids")
        found = [shown(grant, kind, i) for i in desk.live(grant.account, kind) if i.id in wanted]
        return Response(
            {kind: found, "next_page": None, "previous_page": None, "count": len(found)}, headers=headers
        )

    @get(both(*(f"/api/v2/{kind}/count" for kind in KINDS)))
    async def count(request: AnyRequest) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind)
        value = {"value": len(desk.live(grant.account, kind)), "refreshed_at": stamp(desk.now())}
        return Response({"count": value}, headers=headers)

    @get(both(*(f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS)))
    async def show(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind)
        item = desk.find(grant.account, kind, object_id.removesuffix(".json"))
        return Response({SINGULAR[kind]: shown(grant, kind, item)}, headers=headers)

    @get(both("/api/v2/tickets/{object_id:str}/comments"))
    async def comments(request: AnyRequest, object_id: Name) -> Response[Body]:
        grant, headers = door(request, TICKETS)
        items = desk.comments(grant.account, object_id)
        if request.query_params.get("sort_order") == "desc":
            items = items[::-1]
        body = listed(request, door.origin(grant), COMMENTS, items, lambda item: shown(grant, COMMENTS, item))
        return Response(body, headers=headers)

    @get(both("/api/v2/users/me"))
    async def me(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, USERS)
        return Response(
            {"user": shown(grant, USERS, desk.find(grant.account, USERS, str(ADMIN)))}, headers=headers
        )

    return [list_all, show_many, count, show, comments, me]


def export_routes(desk: Desk, door: Door) -> list[HTTPRouteHandler]:
    @get(both(*(f"/api/v2/incremental/{kind}/cursor" for kind in _CURSORS)))
    async def by_cursor(request: AnyRequest) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind, bucket="incremental-exports-cursor")
        return Response(
            export_by_cursor(request, desk, grant.account, kind, door.origin(grant)), headers=headers
        )

    @get(both(*(f"/api/v2/incremental/{kind}" for kind in KINDS)))
    async def by_time(request: AnyRequest) -> Response[Body]:
        kind = kind_of(request)
        grant, headers = door(request, kind, bucket="incremental-exports")
        origin = door.origin(grant)
        body = export_by_time(
            request,
            desk,
            grant.account,
            kind,
            origin,
            render=lambda item: desk.render(grant.account, kind, item),
        )
        return Response(body, headers=headers)

    @get(both("/api/v2/incremental/ticket_events"))
    async def events(request: AnyRequest) -> Response[Body]:
        """What happened to tickets; the comments themselves only where they are asked for."""
        grant, headers = door(request, TICKETS, bucket="incremental-exports")
        whole_ones = "comment_events" in str(request.query_params.get("include") or "")
        body = export_by_time(
            request,
            desk,
            grant.account,
            COMMENTS,
            door.origin(grant),
            name="ticket_events",
            render=lambda item: desk.event(item, whole=whole_ones),
        )
        return Response(body, headers=headers)

    @get(both("/api/v2/deleted_tickets"))
    async def deleted_tickets(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, TICKETS)
        items = desk.deleted(grant.account, TICKETS)

        def tombstone(item: SimulatedObject) -> Body:
            return {
                "id": int(item.id),
                "subject": item.values["subject"],
                "actor": {"id": ADMIN, "name": "Owner"},
                "deleted_at": stamp(item.archived_at or item.updated_at),
                "previous_state": item.values["status"],
            }

        body = listed(request, door.origin(grant), "deleted_tickets", items, tombstone)
        return Response(body, headers=headers)

    @get(both("/api/v2/deleted_users"))
    async def deleted_users(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, USERS)
        names = (
            "id", "url", "name", "email", "phone", "role", "organization_id", "locale", "locale_id",
            "time_zone", "photo", "active", "created_at", "updated_at",
        )  # fmt: skip

        def tombstone(item: SimulatedObject) -> Body:
            whole_user = desk.render(grant.account, USERS, item)
            return {"shared_phone_number": None, **{name: whole_user[name] for name in names}}

        items = desk.deleted(grant.account, USERS)
        return Response(
            listed(request, door.origin(grant), "deleted_users", items, tombstone), headers=headers
        )

    return [by_cursor, by_time, events, deleted_tickets, deleted_users]


def search_routes(desk: Desk, door: Door) -> list[HTTPRouteHandler]:
    @get(both("/api/v2/search"))
    async def search(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, TICKETS, bucket="search-index")
        query = request.query_params
        size = min(100, whole(str(query.get("per_page") or "100"), "per_page"))
        number = max(1, whole(str(query.get("page") or "1"), "page"))
        found = finder.matching(desk, grant.account, str(query.get("query") or ""))
        shown = finder.page(found, number, max(1, size))
        more = number * size < min(len(found), finder.SEARCH_LIMIT)
        path = f"{door.origin(grant)}/api/v2/search.json"
        following = urlencode([*query_without(request, "page"), ("page", str(number + 1))])
        body: Body = {
            "results": [finder.result(desk, grant.account, kind, item) for kind, item in shown],
            "facets": None,
            "next_page": f"{path}?{following}" if more else None,
            "previous_page": None,
            "count": len(found),
        }
        return Response(body, headers=headers)

    @get(both("/api/v2/search/export"))
    async def search_export(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, TICKETS, bucket="search-index")
        query = {name: str(value) for name, value in request.query_params.items()}
        kind = query.get("filter[type]", "")
        if kind not in SINGULAR.values():
            invalid("filter[type] must be one of ticket, organization, user")
        size = whole(query.get("page[size]", "100"), "page[size]")
        cursor = query.get("page[after]", "")
        start = int(parts_of(cursor, 1)[0]) if cursor else 0
        found = [
            pair for pair in finder.matching(desk, grant.account, query.get("query", ""), kind)
            if int(pair[1].id) > start
        ]  # fmt: skip
        more = len(found) > size
        after = cursor_of(found[min(size, len(found)) - 1][1].id) if found else None
        path = f"{door.origin(grant)}/api/v2/search/export.json"
        kept = "&".join(f"{k}={v}" for k, v in query.items() if k != "page[after]")
        body: Body = {
            "results": [finder.result(desk, grant.account, k, item) for k, item in found[:size]],
            "facets": None,
            "meta": {"has_more": more, "after_cursor": after, "before_cursor": None},
            "links": {"prev": None, "next": f"{path}?{kept}&page[after]={after}" if more else None},
        }
        return Response(body, headers=headers)

    @get(both("/api/v2/users/search"))
    async def search_users(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, USERS)
        query = request.query_params
        text = str(query.get("query") or query.get("external_id") or "")
        found = [item for _, item in finder.matching(desk, grant.account, text, "user")]
        body = listed(
            request, door.origin(grant), USERS, found, lambda item: desk.render(grant.account, USERS, item)
        )
        return Response(body, headers=headers)

    @get(both("/api/v2/organizations/search"))
    async def search_organizations(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, ORGANIZATIONS)
        query = request.query_params
        name, external = str(query.get("name") or ""), str(query.get("external_id") or "")
        found = [
            item
            for item in desk.live(grant.account, ORGANIZATIONS)
            if (name and item.values["name"].casefold() == name.casefold())
            or (external and item.values.get("external_id") == external)
        ]
        body = listed(
            request,
            door.origin(grant),
            ORGANIZATIONS,
            found,
            lambda item: desk.render(grant.account, ORGANIZATIONS, item),
        )
        return Response(body, headers=headers)

    return [search, search_export, search_users, search_organizations]


def schema_routes(door: Door) -> list[HTTPRouteHandler]:
    @get(both("/api/v2/ticket_fields"))
    async def fields(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, TICKETS)
        found = ticket_fields(door.origin(grant))
        body = {"ticket_fields": found, "next_page": None, "previous_page": None, "count": len(found)}
        return Response(body, headers=headers)

    @get(both("/api/v2/groups"))
    async def groups(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, TICKETS)
        made = "2021-05-17T09:00:00Z"
        found = [
            {
                "id": number,
                "url": f"{door.origin(grant)}/api/v2/groups/{number}.json",
                "name": name,
                "description": "",
                "default": number == min(GROUPS),
                "deleted": False,
                "is_public": True,
                "created_at": made,
                "updated_at": made,
            }
            for number, name in GROUPS.items()
        ]
        body = {"groups": found, "next_page": None, "previous_page": None, "count": len(found)}
        return Response(body, headers=headers)

    return [fields, groups]


async def body_of(request: AnyRequest, key: str) -> dict[str, Any]:
    """The object under its own name in a JSON body; raises 400 and, where it is missing, 422."""
    try:
        given = msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        invalid("The body must be a JSON object")
    found = given.get(key)
    if not isinstance(found, dict):
        invalid(f"{key} is required and must be an object")
    return found
