"""HTTP of the simulated Pipedrive's v2."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import bearer
from trunkline.sdk.simulator_gate import HOST, PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_trouble import Document, Page, aged, played
from trunkline_connectors.pipedrive.simulator_crm import Asked, Body, Crm, stamp
from trunkline_connectors.pipedrive.simulator_errors import error, invalid, not_found, unauthorized
from trunkline_connectors.pipedrive.simulator_schema import (
    DEALS,
    ORGANIZATIONS,
    PERSONS,
    PIPELINES,
    READ,
    STAGES,
    WRITE,
    describe,
)
from trunkline_connectors.pipedrive.simulator_seed import Company

Name = FromPath[str]
KINDS = (PERSONS, ORGANIZATIONS, DEALS)
_SINGULAR = {"person": PERSONS, "organization": ORGANIZATIONS, "deal": DEALS}
_SHARED_HOSTS = {"api.pipedrive.com", "oauth.pipedrive.com"}
_MADE = "2021-05-17T09:00:00Z"


class Door:
    """Who calls, and what is left of the budgets."""

    def __init__(self, crm: Crm, companies: Sequence[Company]) -> None:
        self.crm = crm
        self.companies = {company.id: company for company in companies}

    def __call__(
        self, request: AnyRequest, scopes: Sequence[str], what: str, factor: int = 1
    ) -> tuple[Grant, dict[str, str]]:
        token = bearer(request) or request.headers.get("x-api-token", "")
        token = token or str(request.query_params.get("api_token") or "")
        grant = self.crm.admit(token, scopes)
        host = str(request.scope.get(HOST) or "")
        if host and host not in _SHARED_HOSTS and host != self.companies[grant.account].account.host:
            unauthorized()
        return grant, self.crm.spend(grant, what, factor)


def crm_routes(crm: Crm, door: Door) -> list[HTTPRouteHandler]:
    @get([f"/api/v2/{kind}" for kind in KINDS])
    async def list_objects(request: AnyRequest) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, READ[kind], "list")
        return Response(_list(request, crm, grant, kind, archived=False), headers=headers)

    @get("/api/v2/deals/archived")
    async def list_archived(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, READ[DEALS], "list")
        return Response(_list(request, crm, grant, DEALS, archived=True), headers=headers)

    @get([f"/api/v2/{kind}/search" for kind in KINDS])
    async def search(request: AnyRequest) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, (*READ[kind], "search:read"), "search")
        query = request.query_params
        fields = [name for name in str(query.get("fields") or "").split(",") if name]
        exact = str(query.get("exact_match") or "") in {"true", "1"}
        found = crm.search(grant.account, kind, str(query.get("term") or ""), fields, exact=exact)
        limit, start = str(query.get("limit") or "100"), str(query.get("cursor") or "0")
        if not (limit.isdigit() and start.isdigit()):
            invalid("limit and cursor cannot be used")
        end = int(start) + int(limit)
        more = {"next_cursor": str(end) if end < len(found) else None}
        body = {"success": True, "data": {"items": found[int(start) : end]}, "additional_data": more}
        return Response(body, headers=headers)

    @post([f"/api/v2/{kind}" for kind in KINDS], status_code=200)
    async def create(request: AnyRequest) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, WRITE[kind], "write")
        item = crm.create(grant.account, kind, await _json(request))
        return Response({"success": True, "data": crm.render(kind, item)}, headers=headers)

    @get([f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS])
    async def read(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, READ[kind], "get")
        item = crm.find(grant.account, kind, object_id)
        return Response({"success": True, "data": crm.render(kind, item)}, headers=headers)

    @patch([f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS])
    async def update(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, WRITE[kind], "write")
        item = crm.update(grant.account, kind, object_id, await _json(request))
        return Response({"success": True, "data": crm.render(kind, item)}, headers=headers)

    @delete([f"/api/v2/{kind}/{{object_id:str}}" for kind in KINDS], status_code=200)
    async def remove(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, WRITE[kind], "delete")
        crm.delete(grant.account, kind, object_id)
        return Response({"success": True, "data": {"id": int(object_id)}}, headers=headers)

    return [list_objects, list_archived, search, create, read, update, remove]


def schema_routes(door: Door) -> list[HTTPRouteHandler]:
    def all_of(data: list[Body], headers: dict[str, str]) -> Response[Body]:
        return Response(
            {"success": True, "data": data, "additional_data": {"next_cursor": None}}, headers=headers
        )

    @get([f"/api/v2/{singular}Fields" for singular in _SINGULAR])
    async def fields(request: AnyRequest) -> Response[Body]:
        kind = _SINGULAR[request.scope["path"].rstrip("/").rpartition("/")[2].removesuffix("Fields")]
        _, headers = door(request, (*READ[kind], "admin"), "list")
        return all_of(describe(kind), headers)

    @get("/api/v2/stages")
    async def stages(request: AnyRequest) -> Response[Body]:
        _, headers = door(request, (*READ[DEALS], "admin"), "list")
        data: list[Body] = [
            {
                "id": number,
                "order_nr": number,
                "name": name,
                "is_deleted": False,
                "deal_probability": probability,
                "pipeline_id": pipeline,
                "is_deal_rot_enabled": False,
                "days_to_rotten": None,
                "add_time": _MADE,
                "update_time": _MADE,
            }
            for number, (pipeline, name, probability) in STAGES.items()
        ]
        return all_of(data, headers)

    @get("/api/v2/pipelines")
    async def pipelines(request: AnyRequest) -> Response[Body]:
        _, headers = door(request, (*READ[DEALS], "admin"), "list")
        data: list[Body] = [
            {
                "id": number,
                "name": name,
                "order_nr": number,
                "is_deleted": False,
                "is_deal_probability_enabled": True,
                "add_time": _MADE,
                "update_time": _MADE,
            }
            for number, name in PIPELINES.items()
        ]
        return all_of(data, headers)

    return [fields, stages, pipelines]


def _list(request: AnyRequest, crm: Crm, grant: Grant, kind: str, *, archived: bool) -> Body:
    query = {name: str(value) for name, value in request.query_params.items()}
    links = ("owner_id", "person_id", "org_id", "pipeline_id", "stage_id")

    def read(cursor: str) -> Page:
        asked = Asked(
            limit=query.get("limit", ""),
            cursor=cursor,
            sort_by=query.get("sort_by", "id"),
            direction=query.get("sort_direction", "asc"),
            since=query.get("updated_since", ""),
            until=query.get("updated_until", ""),
            status=query.get("status", "") if kind == DEALS else "",
            archived=archived,
            ids=query.get("ids", ""),
            links=tuple((name, query[name]) for name in links if name in query),
        )
        return crm.page(grant.account, kind, asked)

    cursor = query.get("cursor", "")
    page = read(cursor)
    fault = request.scope.get(PAGE_FAULT)
    if fault:
        refused = error(410, "The cursor is no longer valid")
        page = played(str(fault), page, cursor, read, older=_older, refused=refused)
    return {"success": True, "data": page.items, "additional_data": {"next_cursor": page.next}}


def _older(item: Document) -> Document:
    def written(moment: datetime) -> str:
        return stamp(moment)

    return aged(item, {"update_time": written}, "title" if "title" in item else "name")


def _kind(request: AnyRequest) -> str:
    kind = request.scope["path"].split("/")[3]
    if kind not in KINDS:
        not_found()
    return kind


async def _json(request: AnyRequest) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        invalid("The body must be a JSON object")
