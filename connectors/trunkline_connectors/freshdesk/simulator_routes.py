"""HTTP of the simulated Freshdesk. Lists are bare arrays; the next page is named in the Link header only."""

from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import RefusedError, basic
from trunkline.sdk.simulator_gate import HOST, PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline.sdk.simulator_trouble import Document, Page, aged, played
from trunkline_connectors.freshdesk.simulator_desk import Body, Desk, stamp
from trunkline_connectors.freshdesk.simulator_errors import invalid, not_found, validation
from trunkline_connectors.freshdesk.simulator_schema import (
    AGENTS,
    COMPANIES,
    CONTACTS,
    CONVERSATIONS,
    TICKETS,
    fields_of,
)
from trunkline_connectors.freshdesk.simulator_search import PAGE, PAGES, matcher
from trunkline_connectors.freshdesk.simulator_seed import OWNER

Name = FromPath[str]
KINDS = (TICKETS, CONTACTS, COMPANIES)
MAX_PAGE = 100
DEEPEST = 300
"""Pages of tickets that can be reached."""
_INCLUDES = {"requester", "stats", "company", "description", "conversations"}
_FIELDS = {"ticket_fields": TICKETS, "contact_fields": CONTACTS, "company_fields": COMPANIES}


class Door:
    """Who calls: the key as the user name of Basic, whatever the password."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def __call__(self, request: AnyRequest, listed: str = "") -> tuple[Grant, dict[str, str]]:
        grant = self.desk.admit(basic(request)[0], str(request.scope.get(HOST) or ""))
        # Each thing included costs a credit more.
        included = [n for n in str(request.query_params.get("include") or "").split(",") if n]
        if not set(included) <= _INCLUDES:
            invalid("include", f"It should be one of these values: '{','.join(sorted(_INCLUDES))}'")
        return grant, self.desk.spend(grant, listed, 1 + len(included))


def read_routes(desk: Desk, door: Door) -> list[HTTPRouteHandler]:
    @get([f"/api/v2/{kind}" for kind in (*KINDS, AGENTS)])
    async def list_all(request: AnyRequest) -> Response[Any]:
        kind = _kind(request)
        grant, headers = door(request, kind)
        query = {name: str(value) for name, value in request.query_params.items()}
        if kind == TICKETS:
            items = desk.tickets(grant.account, query)
        elif kind == CONTACTS:
            items = desk.contacts(grant.account, query)
        else:
            items = list(desk.store.walk(grant.account, kind))
        described = "description" in query.get("include", "").split(",")
        return _listed(request, desk, grant, kind, items, headers, whole=kind != TICKETS or described)

    @get("/api/v2/tickets/{object_id:str}/conversations")
    async def conversations(request: AnyRequest, object_id: Name) -> Response[Any]:
        grant, headers = door(request)
        items = desk.conversations(grant.account, object_id)
        return _listed(request, desk, grant, CONVERSATIONS, items, headers, whole=True)

    @get("/api/v2/agents/me")
    async def me(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request)
        return Response(desk.render(AGENTS, desk.find(grant.account, AGENTS, str(OWNER))), headers=headers)

    @get([f"/api/v2/{kind}/{{object_id:str}}" for kind in (*KINDS, AGENTS)])
    async def show(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request)
        item = desk.find(grant.account, kind, object_id)
        body = desk.render(kind, item)
        if kind == TICKETS and "conversations" in str(request.query_params.get("include") or ""):
            found = desk.conversations(grant.account, object_id)[:10]
            body["conversations"] = [desk.render(CONVERSATIONS, one) for one in found]
        return Response(body, headers=headers)

    @get([f"/api/v2/search/{kind}" for kind in KINDS])
    async def search(request: AnyRequest) -> Response[Body]:
        kind = request.scope["path"].rstrip("/").rpartition("/")[2]
        grant, headers = door(request)
        number = _whole(str(request.query_params.get("page") or "1"), "page")
        if not 1 <= number <= PAGES:
            invalid("page", f"It should be in the range of 1 to {PAGES}")
        test = matcher(str(request.query_params.get("query") or ""))
        found = [item for item in desk.store.walk(grant.account, kind) if test(item)]
        shown = found[(number - 1) * PAGE : number * PAGE]
        body = {"total": len(found), "results": [desk.render(kind, item) for item in shown]}
        return Response(body, headers=headers)

    @get("/api/v2/companies/autocomplete")
    async def named(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request)
        begins = str(request.query_params.get("name") or "").casefold()
        found = [
            {"id": int(item.id), "name": item.values["name"]}
            for item in desk.store.walk(grant.account, COMPANIES)
            if begins and str(item.values["name"]).casefold().startswith(begins)
        ]
        return Response({"companies": found[:20]}, headers=headers)

    @get([f"/api/v2/{name}" for name in _FIELDS])
    async def fields(request: AnyRequest) -> Response[Any]:
        _, headers = door(request)
        return Response(fields_of(_FIELDS[_kind(request)]), headers=headers)

    @get("/api/v2/account")
    async def account(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request)
        host = desk.hosts[grant.account]
        body = {"account_id": int(grant.account), "account_domain": host, "tier_type": "Pro"}
        return Response(body, headers=headers)

    return [list_all, conversations, me, show, search, named, fields, account]


def write_routes(desk: Desk, door: Door) -> list[HTTPRouteHandler]:
    @post([f"/api/v2/{kind}" for kind in KINDS])
    async def create(request: AnyRequest) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request)
        item = desk.create(grant.account, kind, await _json(request))
        return Response(desk.render(kind, item), status_code=201, headers=headers)

    @put([f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS])
    async def update(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request)
        item = desk.update(grant.account, kind, object_id, await _json(request))
        return Response(desk.render(kind, item), headers=headers)

    @post(["/api/v2/tickets/{object_id:str}/notes", "/api/v2/tickets/{object_id:str}/reply"])
    async def say(request: AnyRequest, object_id: Name) -> Response[Body]:
        grant, headers = door(request)
        note = request.scope["path"].rstrip("/").endswith("/notes")
        item = desk.say(grant.account, object_id, await _json(request), note=note)
        return Response(desk.render(CONVERSATIONS, item), status_code=201, headers=headers)

    @delete([f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS])
    async def remove(request: AnyRequest, object_id: Name) -> Response[None]:
        kind = _kind(request)
        grant, headers = door(request)
        if desk.find(grant.account, kind, object_id).archived_at is not None:
            not_found()
        if kind == COMPANIES:
            desk.store.purge(grant.account, kind, object_id)
        else:
            desk.store.archive(grant.account, kind, object_id)
        return Response(None, status_code=204, headers=headers)

    @delete("/api/v2/contacts/{object_id:str}/hard_delete")
    async def purge(request: AnyRequest, object_id: Name) -> Response[None]:
        """For ever; one that is not in the bin yet only by force."""
        grant, headers = door(request)
        item = desk.find(grant.account, CONTACTS, object_id)
        if item.archived_at is None and str(request.query_params.get("force") or "").lower() != "true":
            raise RefusedError(
                validation({"field": "force", "message": "Contact is not deleted", "code": "x"})
            )
        desk.store.purge(grant.account, CONTACTS, object_id)
        return Response(None, status_code=204, headers=headers)

    @put(
        ["/api/v2/tickets/{object_id:str}/restore", "/api/v2/contacts/{object_id:str}/restore"],
        status_code=204,
    )
    async def restore(request: AnyRequest, object_id: Name) -> None:
        kind = _kind(request)
        grant, _ = door(request)
        if desk.find(grant.account, kind, object_id).archived_at is None:
            not_found()
        desk.store.restore(grant.account, kind, object_id)

    return [create, update, say, remove, purge, restore]


def _listed(
    request: AnyRequest,
    desk: Desk,
    grant: Grant,
    kind: str,
    items: list[SimulatedObject],
    headers: dict[str, str],
    *,
    whole: bool,
) -> Response[Any]:
    query = {name: str(value) for name, value in request.query_params.items()}
    size = _whole(query.get("per_page", "30"), "per_page")
    if not 1 <= size <= MAX_PAGE:
        invalid("per_page", f"It should be in the range of 1 to {MAX_PAGE}")

    def read(cursor: str) -> Page:
        number = _whole(cursor or "1", "page")
        if number < 1 or (kind == TICKETS and number > DEEPEST):
            invalid("page", f"It should be in the range of 1 to {DEEPEST}")
        shown = items[(number - 1) * size : number * size]
        more = number * size < len(items) and not (kind == TICKETS and number == DEEPEST)
        return Page(
            [desk.render(kind, item, whole=whole) for item in shown], str(number + 1) if more else None
        )

    cursor = query.get("page", "")
    cursor = "" if cursor == "1" else cursor
    page = read(cursor)
    fault = request.scope.get(PAGE_FAULT)
    if fault:
        refused = validation(
            {"field": "page", "message": "It is not valid any more", "code": "invalid_value"}
        )
        page = played(
            str(fault), page, cursor, read, older=_older, refused=refused, before=lambda at: str(int(at) - 1)
        )
    if page.next is not None:
        path = f"https://{desk.hosts[grant.account]}{request.scope['path'].rstrip('/')}"
        headers = {**headers, "Link": f'<{path}?{urlencode({**query, "page": page.next})}>; rel="next"'}
    return Response(page.items, headers=headers)


def _older(item: Document) -> Document:
    return aged(item, {"updated_at": stamp}, "subject" if "subject" in item else "name")


def _kind(request: AnyRequest) -> str:
    return str(request.scope["path"].split("/")[3])


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        invalid(name, "It should be a/an Positive Integer", "datatype_mismatch")
    return int(text)


async def _json(request: AnyRequest) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        invalid("", "Request body has invalid json format", "invalid_json")
