"""HTTP of the simulated HubSpot's CRM, properties and account information."""

from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import bearer, query_without
from trunkline.sdk.simulator_gate import PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline_connectors.hubspot.simulator_crm import Body, Crm, kind_of
from trunkline_connectors.hubspot.simulator_errors import invalid, not_found
from trunkline_connectors.hubspot.simulator_pages import played
from trunkline_connectors.hubspot.simulator_schema import (
    describe,
    read_scopes,
    schema_scopes,
    write_scopes,
)
from trunkline_connectors.hubspot.simulator_search import SearchBody
from trunkline_connectors.hubspot.simulator_seed import Portal
from trunkline_connectors.hubspot.simulator_upsert import upsert_all

_OBJECTS = ("/crm/v3/objects/{name:str}", "/crm/objects/2026-03/{name:str}")
_PROPERTIES = ("/crm/v3/properties/{name:str}", "/crm/properties/2026-03/{name:str}")
_ACCOUNT = ("/account-info/v3/details", "/account-info/2026-03/details")
Name = FromPath[str]
_Shape = TypeVar("_Shape")


def crm_routes(crm: Crm, mount: str) -> list[HTTPRouteHandler]:
    def admitted(request: AnyRequest, scopes: Sequence[str]) -> tuple[Grant, dict[str, str]]:
        grant = crm.admit(bearer(request), scopes)
        return grant, crm.spend(grant)

    @get(list(_OBJECTS))
    async def list_objects(request: AnyRequest, name: Name) -> Response[Body]:
        kind = kind_of(name)
        grant, headers = admitted(request, read_scopes(kind))
        query = request.query_params
        names = _asked_properties(request)
        after = str(query.get("after") or "")
        limit = str(query.get("limit") or "")
        path = f"{mount}{request.scope['path'].rstrip('/')}"
        kept = urlencode([*query_without(request, "after"), ("after", "")])
        link = f"{request.url.scheme}://{request.url.netloc}{path}?{kept}{{after}}"
        archived = _flag(request)

        def read(start: str) -> Body:
            return crm.page(
                grant.account, kind, limit=limit, after=start, names=names, archived=archived, link=link
            )

        body = read(after)
        fault = request.scope.get(PAGE_FAULT)
        return Response(played(str(fault), body, after, read) if fault else body, headers=headers)

    @post([f"{path}/search" for path in _OBJECTS], status_code=200)
    async def search_objects(request: AnyRequest, name: Name) -> Response[Body]:
        kind = kind_of(name)
        grant = crm.admit(bearer(request), read_scopes(kind))
        crm.spend_search(grant)
        asked = await _json(request, SearchBody)
        body = crm.search(grant.account, kind, asked)
        fault = request.scope.get(PAGE_FAULT)
        return Response(played(str(fault), body, str(asked.after or ""), None) if fault else body)

    @post([f"{path}/batch/read" for path in _OBJECTS], status_code=200)
    async def batch_read(request: AnyRequest, name: Name) -> Response[Body]:
        kind = kind_of(name)
        grant, headers = admitted(request, read_scopes(kind))
        asked = await _json(request, dict[str, Any])
        status, body = crm.batch_read(grant.account, kind, asked, archived=_flag(request))
        return Response(body, status_code=status, headers=headers)

    @post([f"{path}/batch/upsert" for path in _OBJECTS], status_code=200)
    async def batch_upsert(request: AnyRequest, name: Name) -> Response[Body]:
        kind = kind_of(name)
        grant, headers = admitted(request, write_scopes(kind))
        status, body = upsert_all(crm, grant.account, kind, await _json(request, dict[str, Any]))
        return Response(body, status_code=status, headers=headers)

    @get([f"{path}/{{object_id:str}}" for path in _OBJECTS])
    async def get_object(request: AnyRequest, name: Name, object_id: Name) -> Response[Body]:
        kind = kind_of(name)
        grant, headers = admitted(request, read_scopes(kind))
        id_property = str(request.query_params.get("idProperty") or "")
        item = crm.find(grant.account, kind, object_id, id_property, archived=_flag(request))
        return Response(crm.render(kind, item, _asked_properties(request)), headers=headers)

    @post(list(_OBJECTS))
    async def create_object(request: AnyRequest, name: Name) -> Response[Body]:
        kind = kind_of(name)
        grant, headers = admitted(request, write_scopes(kind))
        body = crm.create(grant.account, kind, await _json(request, dict[str, Any]))
        return Response(body, status_code=201, headers=headers)

    @patch([f"{path}/{{object_id:str}}" for path in _OBJECTS])
    async def update_object(request: AnyRequest, name: Name, object_id: Name) -> Response[Body]:
        kind = kind_of(name)
        grant, headers = admitted(request, write_scopes(kind))
        id_property = str(request.query_params.get("idProperty") or "")
        item = crm.find(grant.account, kind, object_id, id_property, archived=False)
        return Response(
            crm.update(grant.account, kind, item, await _json(request, dict[str, Any])), headers=headers
        )

    @delete([f"{path}/{{object_id:str}}" for path in _OBJECTS])
    async def archive_object(request: AnyRequest, name: Name, object_id: Name) -> Response[None]:
        kind = kind_of(name)
        grant, headers = admitted(request, write_scopes(kind))
        crm.archive(grant.account, kind, object_id)
        return Response(None, status_code=204, headers=headers)

    return [
        list_objects,
        search_objects,
        batch_read,
        batch_upsert,
        get_object,
        create_object,
        update_object,
        archive_object,
    ]


def property_routes(crm: Crm) -> list[HTTPRouteHandler]:
    @get(list(_PROPERTIES))
    async def list_properties(request: AnyRequest, name: Name) -> Response[Body]:
        kind = kind_of(name)
        grant = crm.admit(bearer(request), schema_scopes(kind))
        headers = crm.spend(grant)
        definitions = [] if _flag(request) else list(crm.properties[kind].values())
        results = [describe(kind, definition, order) for order, definition in enumerate(definitions)]
        return Response({"results": results}, headers=headers)

    @get([f"{path}/{{property_name:str}}" for path in _PROPERTIES])
    async def get_property(request: AnyRequest, name: Name, property_name: Name) -> Response[Body]:
        kind = kind_of(name)
        grant = crm.admit(bearer(request), schema_scopes(kind))
        headers = crm.spend(grant)
        definition = crm.properties[kind].get(property_name)
        if definition is None:
            not_found(f"Property {property_name[:100]} does not exist")
        return Response(
            describe(kind, definition, list(crm.properties[kind]).index(property_name)), headers=headers
        )

    return [list_properties, get_property]


def account_routes(crm: Crm, portals: Sequence[Portal]) -> list[HTTPRouteHandler]:
    by_id = {portal.id: portal for portal in portals}

    @get(list(_ACCOUNT))
    async def details(request: AnyRequest) -> Response[Body]:
        grant = crm.admit(bearer(request), ())
        headers = crm.spend(grant)
        portal = by_id[grant.account]
        return Response(
            {
                "portalId": int(portal.id),
                "accountType": "DEVELOPER_TEST",
                "timeZone": portal.time_zone,
                "companyCurrency": "EUR",
                "additionalCurrencies": ["USD", "GBP", "JPY"],
                "utcOffset": "+01:00",
                "utcOffsetMilliseconds": 3_600_000,
                "uiDomain": "app.hubspot.com",
                "dataHostingLocation": "eu1",
            },
            headers=headers,
        )

    return [details]


def _asked_properties(request: AnyRequest) -> list[str]:
    """Repeated or comma-separated."""
    given = request.query_params.getall("properties", [])
    return [name for value in given for name in str(value).split(",") if name]


def _flag(request: AnyRequest) -> bool:
    return str(request.query_params.get("archived") or "").lower() == "true"


async def _json(request: AnyRequest, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(await request.body(), type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        invalid(f"Invalid input JSON: {error}", "INVALID_JSON")
