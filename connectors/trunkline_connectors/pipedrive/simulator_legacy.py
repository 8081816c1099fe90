"""HTTP of the simulated Pipedrive's v1: who am I, users, notes, and the lists that are out of support."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Response, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_store import SimulatedObject, UnknownObjectError
from trunkline_connectors.pipedrive.simulator_crm import Body, Crm
from trunkline_connectors.pipedrive.simulator_errors import invalid, not_found
from trunkline_connectors.pipedrive.simulator_routes import KINDS, Door
from trunkline_connectors.pipedrive.simulator_schema import (
    DEALS,
    NOTES,
    ORGANIZATIONS,
    PERSONS,
    READ,
    USERS,
    WRITE,
)
from trunkline_connectors.pipedrive.simulator_seed import Company

Name = FromPath[str]
MAX_LIMIT = 500
COST_FACTOR = 2
"""Of v1 against v2 (provider-facts: v2 costs about half)."""
_LINKS = {"owner_id": USERS, "creator_user_id": USERS, "person_id": PERSONS, "org_id": ORGANIZATIONS}
_V1_NAMES = {"emails": "email", "phones": "phone"}


def written(moment: datetime) -> str:
    """`YYYY-MM-DD HH:MM:SS` in UTC, as v1 writes times."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def legacy_routes(crm: Crm, door: Door) -> list[HTTPRouteHandler]:
    def rendered(account: str, kind: str, item: SimulatedObject) -> Body:
        """v1's body: related objects are embedded, own fields lie at the top."""
        values = dict(item.values)
        custom = values.pop("custom_fields", {})
        body: Body = {"id": int(item.id), "company_id": int(account)}
        for name, value in values.items():
            related = _LINKS.get(name) if kind != NOTES and value is not None else None
            body[_V1_NAMES.get(name, name)] = (
                value if related is None else embedded(account, related, int(value))
            )
        body |= {**custom, "add_time": written(item.created_at), "update_time": written(item.updated_at)}
        if kind == DEALS:
            body["deleted"] = item.archived_at is not None
        body["active_flag"] = item.archived_at is None
        return body

    def embedded(account: str, kind: str, number: int) -> Body | None:
        try:
            values = crm.store.get(account, kind, str(number)).values
        except UnknownObjectError:
            return None
        more = {"email": values["emails"], "phone": values["phones"]} if kind == PERSONS else {}
        return {"name": values["name"], "value": number, **more}

    def listed(request: AnyRequest, grant: Grant, kind: str) -> Body:
        start = _whole(request, "start", 0)
        limit = _whole(request, "limit", 100)
        if not 1 <= limit <= MAX_LIMIT:
            invalid(f"limit must be between 1 and {MAX_LIMIT}")
        found = [
            item for item in crm.store.walk(grant.account, kind) if not item.values.get("is_archived", False)
        ]
        if kind == NOTES:
            found = _notes(request, found)
        shown = found[start : start + limit]
        more = start + limit < len(found)
        pagination: Body = {"start": start, "limit": limit, "more_items_in_collection": more}
        if more:
            pagination["next_start"] = start + limit
        return {
            "success": True,
            "data": [rendered(grant.account, kind, item) for item in shown] or None,
            "additional_data": {"pagination": pagination},
        }

    @get([f"/v1/{kind}" for kind in (*KINDS, NOTES)])
    async def list_objects(request: AnyRequest) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, READ[kind], "list", COST_FACTOR)
        return Response(listed(request, grant, kind), headers=headers)

    @get([f"/v1/{kind}/{{object_id:str}}" for kind in KINDS])
    async def read(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, READ[kind], "get", COST_FACTOR)
        item = crm.find(grant.account, kind, object_id)
        return Response({"success": True, "data": rendered(grant.account, kind, item)}, headers=headers)

    @post([f"/v1/{kind}" for kind in (*KINDS, NOTES)])
    async def create(request: AnyRequest) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, WRITE[kind], "write", COST_FACTOR)
        item = crm.create(grant.account, kind, _as_v2(await _json(request)))
        data = rendered(grant.account, kind, item)
        return Response({"success": True, "data": data}, status_code=201, headers=headers)

    @put([f"/v1/{kind}/{{object_id:str}}" for kind in KINDS])
    async def update(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, WRITE[kind], "write", COST_FACTOR)
        item = crm.update(grant.account, kind, object_id, _as_v2(await _json(request)))
        return Response({"success": True, "data": rendered(grant.account, kind, item)}, headers=headers)

    @delete([f"/v1/{kind}/{{object_id:str}}" for kind in KINDS], status_code=200)
    async def remove(request: AnyRequest, object_id: Name) -> Response[Body]:
        kind = _kind(request)
        grant, headers = door(request, WRITE[kind], "delete", COST_FACTOR)
        crm.delete(grant.account, kind, object_id)
        # Recorded: deleting a person by v1 answers 410 and says that it was a success.
        status = 410 if kind == PERSONS else 200
        body = {"success": True, "data": {"id": int(object_id)}}
        return Response(body, status_code=status, headers=headers)

    return [list_objects, read, create, update, remove]


def user_routes(crm: Crm, door: Door) -> list[HTTPRouteHandler]:
    def person(account: str, item: SimulatedObject, me: str) -> Body:
        return {
            "id": int(item.id),
            "name": item.values["name"],
            "default_currency": "EUR",
            "locale": "en_GB",
            "lang": 1,
            "email": item.values["email"],
            "phone": None,
            "activated": True,
            "last_login": written(item.updated_at),
            "created": written(item.created_at),
            "modified": written(item.updated_at),
            "has_created_company": item.id == me,
            "access": [{"app": "sales", "admin": item.id == me, "permission_set_id": f"set-{account}"}],
            "active_flag": item.archived_at is None,
            "timezone_name": "Europe/Tallinn",
            "timezone_offset": "+02:00",
            "role_id": 1,
            "icon_url": None,
            "is_you": item.id == me,
            "is_deleted": item.archived_at is not None,
        }

    @get("/v1/users")
    async def users(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, READ[USERS], "list", COST_FACTOR)
        found = list(crm.store.walk(grant.account, USERS, archived=None))
        data = [person(grant.account, item, found[0].id) for item in found]
        return Response({"success": True, "data": data}, headers=headers)

    @get("/v1/users/me")
    async def me(request: AnyRequest) -> Response[Body]:
        grant, headers = door(request, ("base",), "get", COST_FACTOR)
        first = next(crm.store.walk(grant.account, USERS, archived=None))
        company: Company = door.companies[grant.account]
        data = {
            **person(grant.account, first, first.id),
            "company_id": int(company.id),
            "company_name": company.name,
            "company_domain": company.domain,
            "company_country": "EE",
            "company_industry": "",
            "language": {"language_code": "en", "country_code": "GB"},
        }
        return Response({"success": True, "data": data}, headers=headers)

    return [users, me]


def _as_v2(given: dict[str, Any]) -> dict[str, Any]:
    """v1's names of what can be written; a lone email or phone is as good as a list of one."""
    made: dict[str, Any] = {}
    for name, value in given.items():
        if name in {"email", "phone"}:
            values = value if isinstance(value, list) else [value]
            made[f"{name}s"] = [
                item if isinstance(item, dict) else {"value": str(item), "primary": not n, "label": "work"}
                for n, item in enumerate(values)
            ]
        else:
            made["owner_id" if name == "user_id" and "content" not in given else name] = value
    return made


def _notes(request: AnyRequest, found: list[SimulatedObject]) -> list[SimulatedObject]:
    """Of one deal, person or organization where that is asked; newest first where that is."""
    query = request.query_params
    for name in ("deal_id", "person_id", "org_id"):
        if name in query:
            found = [item for item in found if str(item.values.get(name)) == str(query[name])]
    return found[::-1] if str(query.get("sort") or "").lower() == "add_time desc" else found


def _kind(request: AnyRequest) -> str:
    kind = request.scope["path"].split("/")[2]
    if kind not in {*KINDS, NOTES}:
        not_found()
    return kind


def _whole(request: AnyRequest, name: str, otherwise: int) -> int:
    text = str(request.query_params.get(name) or otherwise)
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        invalid(f"{name} must be a whole number")
    return int(text)


async def _json(request: AnyRequest) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            return msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            invalid("The body must be a JSON object")
    return {name: str(value) for name, value in (await request.form()).items()}
