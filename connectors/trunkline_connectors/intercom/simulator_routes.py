"""HTTP of the simulated Intercom: reading."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import bearer
from trunkline.sdk.simulator_gate import HOST, PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline.sdk.simulator_trouble import OLDER, Page, played
from trunkline_connectors.intercom.simulator_desk import Desk
from trunkline_connectors.intercom.simulator_errors import error, invalid, refuse
from trunkline_connectors.intercom.simulator_schema import (
    ADMINS,
    COMPANIES,
    CONTACTS,
    CONVERSATIONS,
    DEFAULT_VERSION,
    READS,
    TICKETS,
    minor_of,
)
from trunkline_connectors.intercom.simulator_shapes import Doc, ticket_type

Name = FromPath[str]
_KEYS = {
    CONTACTS: ("list", "data"),
    CONVERSATIONS: ("conversation.list", "conversations"),
    TICKETS: ("ticket.list", "tickets"),
}
_BAD_CURSOR = error(400, "parameter_invalid", "starting_after is not a cursor of this list", "starting_after")


class Call:
    """An admitted request: who, in which version, and the headers that its answer carries."""

    def __init__(self, desk: Desk, request: AnyRequest, scope: str = "") -> None:
        self.desk = desk
        self.request = request
        self.grant: Grant = desk.admit(bearer(request), scope, str(request.scope.get(HOST) or ""))
        version = request.headers.get("intercom-version") or DEFAULT_VERSION
        minor = minor_of(version)
        if minor is None:
            refuse(400, "intercom_version_invalid", "The requested version could not be found")
        self.minor: int = minor
        self._headers = {**desk.spend(self.grant), "Intercom-Version": version}

    def answer(self, body: Any, status: int = 200) -> Response[Any]:
        return Response(body, status_code=status, headers=self._headers)

    def one(
        self, kind: str, item: SimulatedObject, *, parts: bool = False, status: int = 200
    ) -> Response[Any]:
        return self.answer(self.desk.shapes(self.grant, self.minor).document(kind, item, parts=parts), status)

    def listed(
        self, kind: str, rows: list[SimulatedObject], asked: Mapping[str, Any], *, null: bool = False
    ) -> Response[Any]:
        """A page by cursor. `null`: the last page says so with a null instead of nothing."""

        def read(cursor: str) -> tuple[list[Doc], Doc]:
            return self.desk.cursor_page(
                self.grant, kind, rows, {**asked, "starting_after": cursor}, self.minor
            )

        cursor = str(asked.get("starting_after") or "")
        documents, pages = read(cursor)
        fault = self.request.scope.get(PAGE_FAULT)
        if fault:
            documents, pages = _struck(str(fault), documents, pages, cursor, read)
        if null:
            pages.setdefault("next", None)
        name, key = _KEYS[kind]
        return self.answer({"type": name, key: documents, "total_count": len(rows), "pages": pages})


def reading_routes(desk: Desk, mount: str) -> list[HTTPRouteHandler]:
    def asked_of(request: AnyRequest) -> dict[str, str]:
        return {name: str(value) for name, value in request.query_params.items()}

    def link(request: AnyRequest, path: str) -> Callable[[int, int], str]:
        root = f"{request.url.scheme}://{request.url.netloc}{mount}{path}"
        return lambda page, size: f"{root}?{urlencode({'per_page': size, 'page': page})}"

    def company_list(call: Call, asked: Mapping[str, Any], path: str) -> Response[Any]:
        rows = desk.companies(call.grant.account)
        shown, pages = desk.numbered_page(rows, asked, link(call.request, path))
        shapes = desk.shapes(call.grant, call.minor)
        data = [shapes.document(COMPANIES, item) for item in shown]
        if call.request.scope.get(PAGE_FAULT) == "void":
            data, pages["next"] = [], None
        return call.answer({"type": "list", "data": data, "pages": pages, "total_count": len(rows)})

    @get("/me")
    async def me(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request)
        workspace = desk.workspaces[call.grant.account]
        name = workspace.name.split()[0].lower()
        return call.answer(
            {
                "type": "admin",
                "id": "991267459",
                "email": f"owner@{name}.example",
                "name": "Dana Owner",
                "email_verified": True,
                "app": {
                    "type": "app",
                    "id_code": workspace.id,
                    "name": workspace.name,
                    "created_at": 1_600_000_000,
                    "secure": False,
                    "identity_verification": False,
                    "timezone": workspace.zone,
                    "region": workspace.region,
                },
                "avatar": {"type": "avatar", "image_url": None},
                "has_inbox_seat": True,
            }
        )

    @get("/contacts")
    async def contacts(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[CONTACTS])
        return call.listed(CONTACTS, desk.live(call.grant, CONTACTS), asked_of(request), null=True)

    @get("/conversations")
    async def conversations(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[CONVERSATIONS])
        return call.listed(CONVERSATIONS, desk.live(call.grant, CONVERSATIONS), asked_of(request))

    @post([f"/{kind}/search" for kind in _KEYS], status_code=200)
    async def search(request: AnyRequest) -> Response[Any]:
        name = _kind(request)
        call = Call(desk, request, READS[name])
        body = await json_of(request)
        pagination = body.get("pagination") or {}
        rows = desk.search(call.grant, name, body, call.minor)
        return call.listed(name, rows, pagination if isinstance(pagination, dict) else {})

    @get("/companies")
    async def companies(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[COMPANIES])
        asked = asked_of(request)
        for field in ("company_id", "name"):
            if field in asked:
                found = [i for i in desk.live(call.grant, COMPANIES) if i.values.get(field) == asked[field]]
                if not found:
                    refuse(404, "company_not_found", "Company Not Found")
                return call.one(COMPANIES, found[0])
        return company_list(call, asked, "/companies")

    @post("/companies/list", status_code=200)
    async def companies_list(request: AnyRequest) -> Response[Any]:
        return company_list(Call(desk, request, READS[COMPANIES]), asked_of(request), "/companies/list")

    @get("/companies/scroll")
    async def scroll(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[COMPANIES])
        param = str(request.query_params.get("scroll_param") or "")
        return call.answer(desk.scroll(call.grant, param, call.minor))

    @get("/conversations/deleted")
    async def deleted(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[CONVERSATIONS])
        asked = asked_of(request)
        gone = desk.deleted(call.grant)
        if asked.get("order") == "asc":
            gone.reverse()
        rows: Any = gone
        shown, pages = desk.numbered_page(rows, asked, link(request, "/conversations/deleted"))
        body = {"type": "conversations.list", "total_count": len(gone), "pages": pages}
        return call.answer({**body, "conversations": list(shown)})

    @get([f"/{kind}/{{object_id:str}}" for kind in READS])
    async def one(request: AnyRequest, object_id: Name) -> Response[Any]:
        name = _kind(request)
        call = Call(desk, request, READS[name])
        return call.one(name, desk.find(call.grant, name, object_id), parts=True)

    @get("/contacts/{contact_id:str}/companies")
    async def companies_of(request: AnyRequest, contact_id: Name) -> Response[Any]:
        call = Call(desk, request, READS[CONTACTS])
        contact = desk.find(call.grant, CONTACTS, contact_id)
        shapes = desk.shapes(call.grant, call.minor)
        held = [
            desk.store.get(call.grant.account, COMPANIES, one) for one in contact.values.get("companies", ())
        ]
        pages = {"type": "pages", "next": None, "page": 1, "per_page": 50, "total_pages": 1}
        data = [shapes.document(COMPANIES, item) for item in held if item.archived_at is None]
        return call.answer({"type": "list", "data": data, "pages": pages, "total_count": len(data)})

    @get("/admins")
    async def admins(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[ADMINS])
        shapes = desk.shapes(call.grant, call.minor)
        rows = [shapes.document(ADMINS, item) for item in desk.live(call.grant, ADMINS)]
        if call.request.scope.get(PAGE_FAULT) == "void":
            rows = []
        return call.answer({"type": "admin.list", "admins": rows})

    @get("/ticket_types")
    async def ticket_types(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[TICKETS])
        return call.answer({"type": "list", "data": [ticket_type(call.grant.account)]})

    @get("/data_attributes")
    async def data_attributes(request: AnyRequest) -> Response[Any]:
        call = Call(desk, request, READS[CONTACTS])
        model = str(request.query_params.get("model") or "contact")
        names = {
            "contact": (("plan", "string"), ("seats", "integer")),
            "company": (("paid_subscriber", "boolean"),),
        }
        if model not in {"contact", "company", "conversation"}:
            refuse(422, "parameter_invalid", "model is not supported", "model")
        return call.answer(
            {
                "type": "list",
                "data": [
                    {
                        "type": "data_attribute",
                        "id": place + 1,
                        "name": name,
                        "full_name": f"custom_attributes.{name}",
                        "label": name.replace("_", " ").capitalize(),
                        "data_type": kind,
                        "api_writable": True,
                        "ui_writable": True,
                        "custom": True,
                        "archived": False,
                        "model": model,
                    }
                    for place, (name, kind) in enumerate(names.get(model, ()))
                ],
            }
        )

    @get("/tags")
    async def tags(request: AnyRequest) -> Response[Any]:
        return Call(desk, request).answer({"type": "list", "data": []})

    @get("/teams")
    async def teams(request: AnyRequest) -> Response[Any]:
        return Call(desk, request, READS[ADMINS]).answer({"type": "team.list", "teams": []})

    return [
        me, contacts, conversations, search, companies, companies_list, scroll, deleted, one, companies_of,
        admins, ticket_types, data_attributes, tags, teams,
    ]  # fmt: skip


def _kind(request: AnyRequest) -> str:
    return str(request.scope["path"]).strip("/").partition("/")[0]


async def json_of(request: AnyRequest) -> dict[str, Any]:
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        invalid("The body is not a JSON object")


def _struck(
    fault: str, documents: list[Doc], pages: Doc, cursor: str, read: Callable[[str], tuple[list[Doc], Doc]]
) -> tuple[list[Doc], Doc]:
    def page_of(found: tuple[list[Doc], Doc]) -> Page:
        return Page(found[0], (found[1].get("next") or {}).get("starting_after"))

    page = played(
        fault,
        page_of((documents, pages)),
        cursor,
        lambda place: page_of(read(place)),
        older=_older,
        refused=_BAD_CURSOR,
    )
    made = {name: value for name, value in pages.items() if name != "next"}
    if page.next is not None:
        made["next"] = {"per_page": pages["per_page"], "starting_after": page.next}
    return page.items, made


def _older(item: Doc) -> Doc:
    text = "title" if "title" in item else "name"
    return {
        **item,
        "updated_at": item["updated_at"] - int(OLDER.total_seconds()),
        **({text: "An older form"} if item.get(text) else {}),
    }
