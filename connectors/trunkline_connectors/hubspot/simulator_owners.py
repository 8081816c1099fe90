"""The owners of the simulated HubSpot accounts: who may own records. They are no CRM objects.

Shape: `PublicOwner` of the published SDKs.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import bearer
from trunkline.sdk.simulator_clock import iso
from trunkline.sdk.simulator_gate import PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.hubspot.simulator_crm import Body, Crm
from trunkline_connectors.hubspot.simulator_errors import invalid, not_found, refuse
from trunkline_connectors.hubspot.simulator_seed import Portal

OWNERS = "owners"
FIELDS = frozenset({"email", "firstName", "lastName"})
"""What can be changed of one."""
SCOPE = "crm.objects.owners.read"
MOST = 500
_PATHS = ("/crm/v3/owners", "/crm/owners/2026-03")
_START = datetime(2021, 2, 1, 9, tzinfo=UTC)
_NAMES = (
    ("Dana", "Whitfield"), ("Kai", "Moreau"), ("Noor", "Haddad"), ("Søren", "Lindqvist"),
    ("Ximena", "Quispe"), ("美咲", "Tanaka"), ("Liam", "O'Brien"), ("Zoe\u0308", "Müller"), ("Emeka", ""),
    ("Olga", "Ivanova"), ("Jonas", "van der Berg"), ("Priya", "Rao"), ("Tomás", "García"),
)  # fmt: skip


def seed_owners(seed: int, portal: Portal) -> Iterator[SimulatedObject]:
    """One in a hundred records; the last of them has left, and is archived."""
    rng = repeatable(f"{seed}:{portal.id}:{OWNERS}")
    count = min(len(_NAMES), sum(portal.counts.values()) // 40)
    number = 600_000 + int(portal.id[-3:]) * 1000
    for position in range(count):
        number += rng.randint(1, 9)
        first, last = _NAMES[position]
        created = _START + timedelta(days=rng.randrange(900), milliseconds=rng.randrange(86_400_000))
        gone = created + timedelta(days=400) if count > 1 and position == count - 1 else None
        values = {
            "email": f"owner{position + 1}@{portal.domain}",
            "firstName": first,
            "lastName": last,
            "userId": str(portal.user_id * 100 + position),
        }
        yield SimulatedObject(str(number), values, created, gone or created + timedelta(days=30), gone)


def owned(items: Iterable[SimulatedObject], owners: Sequence[SimulatedObject]) -> Iterator[SimulatedObject]:
    """With the id of an owner, of one who has left too; some have none."""
    for item in items:
        place = int(item.id) // 7 % (len(owners) + 1)
        named = {"hubspot_owner_id": owners[place].id} if place < len(owners) else {}
        yield msgspec.structs.replace(item, values={**item.values, **named})


def sample_owner(number: int, portal: Portal) -> dict[str, Any]:
    first, last = _NAMES[number % len(_NAMES)]
    user = portal.user_id * 100_000 + number
    return {
        "email": f"new.owner{number}@{portal.domain}",
        "firstName": first,
        "lastName": last,
        "userId": str(user),
    }


def label(item: SimulatedObject) -> str:
    return f"{item.values['firstName']} {item.values['lastName']}".strip() or str(item.values["email"])


def render(item: SimulatedObject) -> Body:
    values, archived = item.values, item.archived_at is not None
    user = int(values["userId"] or 0)
    body: Body = {
        "id": item.id,
        "email": values["email"],
        "type": "PERSON",
        "firstName": values["firstName"],
        "lastName": values["lastName"],
        "userIdIncludingInactive": user,
        "createdAt": iso(item.created_at),
        "updatedAt": iso(item.updated_at),
        "archived": archived,
    }
    return body if archived else {**body, "userId": user}


def owner_routes(crm: Crm) -> list[HTTPRouteHandler]:
    @get(list(_PATHS))
    async def list_owners(request: AnyRequest) -> Response[Body]:
        grant = crm.admit(bearer(request), (SCOPE,))
        headers = crm.spend(grant)
        query = request.query_params
        size = _number(str(query.get("limit") or "100"), "limit")
        if not 1 <= size <= MOST:
            invalid(f"limit must be between 1 and {MOST}", "INVALID_LIMIT", "limit")
        email = str(query.get("email") or "").casefold()
        archived = str(query.get("archived") or "").lower() == "true"
        after = str(query.get("after") or "")

        def read(start: str) -> Body:
            found = [
                item
                for item in crm.store.walk(
                    grant.account, OWNERS, after=_number(start or "0", "after"), archived=archived
                )
                if not email or (item.values["email"] or "").casefold() == email
            ]
            body: Body = {"results": [render(item) for item in found[:size]]}
            if len(found) > size:
                body["paging"] = {"next": {"after": found[size - 1].id}}
            return body

        fault = request.scope.get(PAGE_FAULT)
        body = _played(str(fault), read(after), after, read) if fault else read(after)
        return Response(body, headers=headers)

    @get([f"{path}/{{owner_id:str}}" for path in _PATHS])
    async def get_owner(request: AnyRequest, owner_id: FromPath[str]) -> Response[Body]:
        grant = crm.admit(bearer(request), (SCOPE,))
        headers = crm.spend(grant)
        archived = str(request.query_params.get("archived") or "").lower() == "true"
        by_user = request.query_params.get("idProperty") == "userId"
        for item in crm.store.walk(grant.account, OWNERS, archived=archived):
            if owner_id == (item.values["userId"] if by_user else item.id):
                return Response(render(item), headers=headers)
        return not_found()

    return [list_owners, get_owner]


def _played(fault: str, body: Body, after: str, read: Callable[[str], Body]) -> Body:
    """As the lists of objects play them (`simulator_pages`); owners have no older form."""
    results: list[Any] = body["results"]
    if fault == "empty":
        return {**body, "results": [], "paging": {"next": {"after": f"0{after or '0'}"[-18:]}}}
    if fault == "void":
        return {"results": []}
    if fault == "cursor" and after:
        refuse(410, "EXPIRED_CURSOR", "The cursor is no longer valid")
    if fault == "loop" and "paging" in body:
        return {**body, "paging": {"next": {"after": "1"}}}
    if fault == "twice":
        return {**body, "results": [item for item in results for _ in range(2)]}
    if fault == "overlap" and after:
        before = [item for item in read("0")["results"] if int(item["id"]) <= int(after)]
        return {**body, "results": [*before, *results]}
    if fault == "big" and "paging" in body:
        second = read(body["paging"]["next"]["after"])
        return {**second, "results": [*results, *second["results"]]}
    return body


def _number(text: str, field: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        invalid(f"{field} must be a number", "INVALID_NUMBER", field)
    return int(text)
