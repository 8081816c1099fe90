"""HTTP of the simulated Intercom: writing."""

from collections.abc import Callable
from typing import Any

from litestar import Response, delete, post, put
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.intercom.simulator_desk import Desk
from trunkline_connectors.intercom.simulator_errors import invalid
from trunkline_connectors.intercom.simulator_routes import Call, Name, json_of
from trunkline_connectors.intercom.simulator_schema import COMPANIES, CONTACTS, CONVERSATIONS, TICKETS, WRITES
from trunkline_connectors.intercom.simulator_shapes import Doc, public_id
from trunkline_connectors.intercom.simulator_writes import Writes

_ON_CONTACT = ("archive", "unarchive", "companies", "notes")


def writing_routes(desk: Desk) -> list[HTTPRouteHandler]:
    writes = Writes(desk)

    async def written(
        request: AnyRequest, kind: str, write: Callable[[Call, Doc], SimulatedObject]
    ) -> Response[Any]:
        call = Call(desk, request, WRITES[kind])
        return call.one(kind, write(call, await json_of(request)), parts=True)

    @post("/contacts", status_code=200)
    async def create_contact(request: AnyRequest) -> Response[Any]:
        return await written(request, CONTACTS, lambda call, body: writes.create_contact(call.grant, body))

    @put("/contacts/{contact_id:str}")
    async def update_contact(request: AnyRequest, contact_id: Name) -> Response[Any]:
        return await written(
            request, CONTACTS, lambda call, body: writes.update_contact(call.grant, contact_id, body)
        )

    @post("/contacts/merge", status_code=200)
    async def merge(request: AnyRequest) -> Response[Any]:
        return await written(request, CONTACTS, lambda call, body: writes.merge(call.grant, body))

    @delete("/contacts/{contact_id:str}", status_code=200)
    async def delete_contact(request: AnyRequest, contact_id: Name) -> Response[Any]:
        call = Call(desk, request, WRITES[CONTACTS])
        item = desk.find(call.grant, CONTACTS, contact_id)
        desk.store.purge(call.grant.account, CONTACTS, item.id)
        return call.answer({**_reference(item), "deleted": True})

    @post([f"/contacts/{{contact_id:str}}/{what}" for what in _ON_CONTACT], status_code=200)
    async def on_contact(request: AnyRequest, contact_id: Name) -> Response[Any]:
        what = str(request.scope["path"]).rstrip("/").rpartition("/")[2]
        call = Call(desk, request, WRITES[CONTACTS])
        item = desk.find(call.grant, CONTACTS, contact_id)
        if what == "archive":
            desk.store.archive(call.grant.account, CONTACTS, item.id)
            return call.answer({**_reference(item), "archived": True})
        if what == "unarchive":
            desk.store.restore(call.grant.account, CONTACTS, item.id)
            return call.answer({**_reference(item), "archived": False})
        body = await json_of(request)
        if what == "companies":
            return call.one(COMPANIES, writes.attach(call.grant, contact_id, body))
        text = str(body.get("body") or "")
        held = [*item.values.get("notes", []), text]
        desk.store.update(call.grant.account, CONTACTS, item.id, {"notes": held})
        return call.answer(
            {"type": "note", "id": str(len(held)), "created_at": int(desk.now().timestamp()), "body": text}
        )

    @post("/companies", status_code=200)
    async def put_company(request: AnyRequest) -> Response[Any]:
        return await written(request, COMPANIES, lambda call, body: writes.put_company(call.grant, body))

    @put("/companies/{company_id:str}")
    async def update_company(request: AnyRequest, company_id: Name) -> Response[Any]:
        return await written(
            request, COMPANIES, lambda call, body: writes.update_company(call.grant, company_id, body)
        )

    @delete("/companies/{company_id:str}", status_code=200)
    async def delete_company(request: AnyRequest, company_id: Name) -> Response[Any]:
        return _removed(Call(desk, request, WRITES[COMPANIES]), COMPANIES, "company", company_id)

    @put("/conversations/{conversation_id:str}")
    async def update_conversation(request: AnyRequest, conversation_id: Name) -> Response[Any]:
        return await written(
            request,
            CONVERSATIONS,
            lambda call, body: writes.update_conversation(call.grant, conversation_id, body),
        )

    @delete("/conversations/{conversation_id:str}", status_code=200)
    async def delete_conversation(request: AnyRequest, conversation_id: Name) -> Response[Any]:
        return _removed(
            Call(desk, request, WRITES[CONVERSATIONS]), CONVERSATIONS, "conversation", conversation_id
        )

    @post("/conversations/{conversation_id:str}/reply", status_code=200)
    async def reply(request: AnyRequest, conversation_id: Name) -> Response[Any]:
        return await written(
            request, CONVERSATIONS, lambda call, body: writes.reply(call.grant, conversation_id, body)
        )

    @post("/conversations/{conversation_id:str}/parts", status_code=200)
    async def manage(request: AnyRequest, conversation_id: Name) -> Response[Any]:
        return await written(
            request, CONVERSATIONS, lambda call, body: writes.manage(call.grant, conversation_id, body)
        )

    @post("/conversations/{conversation_id:str}/tags", status_code=200)
    async def tag(request: AnyRequest, conversation_id: Name) -> Response[Any]:
        call = Call(desk, request, WRITES[CONVERSATIONS])
        name = str((await json_of(request)).get("id") or "")
        if not name:
            invalid("id is required", "id")
        writes.tag(call.grant, conversation_id, name)
        return call.answer({"type": "tag", "id": name, "name": name})

    @post("/tickets", status_code=200)
    async def create_ticket(request: AnyRequest) -> Response[Any]:
        return await written(request, TICKETS, lambda call, body: writes.create_ticket(call.grant, body))

    @put("/tickets/{ticket_id:str}")
    async def update_ticket(request: AnyRequest, ticket_id: Name) -> Response[Any]:
        return await written(
            request, TICKETS, lambda call, body: writes.update_ticket(call.grant, ticket_id, body)
        )

    return [
        create_contact, update_contact, merge, delete_contact, on_contact, put_company, update_company,
        delete_company, update_conversation, delete_conversation, reply, manage, tag, create_ticket,
        update_ticket,
    ]  # fmt: skip


def _reference(item: SimulatedObject) -> Doc:
    own = public_id(CONTACTS, item.id)
    return {"type": "contact", "id": own, "external_id": item.values.get("external_id")}


def _removed(call: Call, kind: str, noun: str, object_id: str) -> Response[Any]:
    item = call.desk.find(call.grant, kind, object_id)
    call.desk.store.archive(call.grant.account, kind, item.id)
    return call.answer({"id": public_id(kind, item.id), "object": noun, "deleted": True})
