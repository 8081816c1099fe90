"""What can be written to the simulated Intercom: contacts, companies, conversations and tickets."""

from collections.abc import Mapping
from typing import Any

from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.intercom.simulator_desk import Desk
from trunkline_connectors.intercom.simulator_errors import invalid, refuse, unprocessable
from trunkline_connectors.intercom.simulator_schema import ADMINS, COMPANIES, CONTACTS, CONVERSATIONS, TICKETS
from trunkline_connectors.intercom.simulator_shapes import Doc, public_id

_CONTACT = ("role", "external_id", "email", "phone", "name", "unsubscribed_from_emails")
_COMPANY = ("company_id", "name", "website", "industry", "size", "monthly_spend", "plan")


class Writes:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._store = desk.store

    def create_contact(self, grant: Grant, body: Mapping[str, Any]) -> SimulatedObject:
        values = self._contact(grant, body, None)
        if not any(values.get(name) for name in ("email", "external_id", "phone")) and "role" not in values:
            unprocessable("email, external_id or role is required")
        return self._store.create(grant.account, CONTACTS, {"role": "user", **values})

    def update_contact(self, grant: Grant, contact_id: str, body: Mapping[str, Any]) -> SimulatedObject:
        item = self._desk.find(grant, CONTACTS, contact_id)
        values = self._contact(grant, body, item)
        return self._store.update(grant.account, CONTACTS, item.id, values)

    def merge(self, grant: Grant, body: Mapping[str, Any]) -> SimulatedObject:
        """The one `from` goes into the one `into`, which alone stays."""
        lead = self._desk.find(grant, CONTACTS, str(body.get("from")))
        into = self._desk.find(grant, CONTACTS, str(body.get("into")))
        if lead.id == into.id:
            invalid("from and into are the same contact", "into")
        self._store.update(grant.account, CONTACTS, lead.id, {"merged_into": into.id})
        self._store.archive(grant.account, CONTACTS, lead.id)
        companies = [*into.values.get("companies", ()), *lead.values.get("companies", ())]
        return self._store.update(
            grant.account, CONTACTS, into.id, {"companies": list(dict.fromkeys(companies))}
        )

    def attach(self, grant: Grant, contact_id: str, body: Mapping[str, Any]) -> SimulatedObject:
        contact = self._desk.find(grant, CONTACTS, contact_id)
        company = self._desk.find(grant, COMPANIES, str(body.get("id")))
        held = contact.values.get("companies", [])
        if company.id not in held:
            self._store.update(grant.account, CONTACTS, contact.id, {"companies": [*held, company.id]})
        return company

    def put_company(self, grant: Grant, body: Mapping[str, Any]) -> SimulatedObject:
        """Creates the company of a company_id, or changes the one that has it."""
        values = self._company(body)
        known = str(body.get("company_id") or "")
        if not known and not values.get("name"):
            invalid("company_id or name is required", "company_id")
        for item in self._desk.live(grant, COMPANIES):
            if known and item.values.get("company_id") == known:
                return self._store.update(grant.account, COMPANIES, item.id, values)
        return self._store.create(grant.account, COMPANIES, values)

    def update_company(self, grant: Grant, company_id: str, body: Mapping[str, Any]) -> SimulatedObject:
        item = self._desk.find(grant, COMPANIES, company_id)
        values = self._company({name: value for name, value in body.items() if name != "company_id"})
        return self._store.update(grant.account, COMPANIES, item.id, values)

    def update_conversation(
        self, grant: Grant, conversation_id: str, body: Mapping[str, Any]
    ) -> SimulatedObject:
        item = self._desk.find(grant, CONVERSATIONS, conversation_id)
        values = {name: body[name] for name in ("read", "title") if name in body}
        values |= _attributes(body, item)
        return self._store.update(grant.account, CONVERSATIONS, item.id, values)

    def reply(self, grant: Grant, conversation_id: str, body: Mapping[str, Any]) -> SimulatedObject:
        """A comment or a note of a teammate or a contact."""
        item = self._desk.find(grant, CONVERSATIONS, conversation_id)
        kind = body.get("message_type")
        if kind not in {"comment", "note"}:
            invalid("message_type must be comment or note", "message_type")
        admin = str(body["admin_id"]) if body.get("type") == "admin" and "admin_id" in body else None
        if admin is not None:
            self._desk.find(grant, ADMINS, admin)
        part: Doc = {
            "by": admin,
            "body": str(body.get("body") or ""),
            "note": kind == "note",
            "at": int(self._desk.now().timestamp()),
        }
        parts = [*item.values.get("parts", []), part]
        return self._store.update(grant.account, CONVERSATIONS, item.id, {"parts": parts})

    def manage(self, grant: Grant, conversation_id: str, body: Mapping[str, Any]) -> SimulatedObject:
        """Closes, opens, snoozes or assigns."""
        item = self._desk.find(grant, CONVERSATIONS, conversation_id)
        kind = body.get("message_type")
        state = {"close": "closed", "open": "open", "snoozed": "snoozed"}.get(str(kind))
        if state is not None:
            return self._store.update(grant.account, CONVERSATIONS, item.id, {"state": state})
        if kind != "assignment":
            invalid("message_type must be close, open, snoozed or assignment", "message_type")
        admin = self._desk.find(grant, ADMINS, str(body.get("assignee_id")))
        return self._store.update(grant.account, CONVERSATIONS, item.id, {"admin": admin.id})

    def tag(self, grant: Grant, conversation_id: str, name: str) -> SimulatedObject:
        item = self._desk.find(grant, CONVERSATIONS, conversation_id)
        held = item.values.get("tags", [])
        new = held if name in held else [*held, name]
        return self._store.update(grant.account, CONVERSATIONS, item.id, {"tags": new})

    def create_ticket(self, grant: Grant, body: Mapping[str, Any]) -> SimulatedObject:
        if str(body.get("ticket_type_id")) != "1":
            unprocessable("ticket_type_id is not one of this workspace", "ticket_type_id")
        contacts = body.get("contacts")
        first = (
            contacts[0] if isinstance(contacts, list) and contacts and isinstance(contacts[0], dict) else {}
        )
        contact = self._desk.find(grant, CONTACTS, str(first.get("id")))
        given = body.get("ticket_attributes")
        values = self._ticket({"ticket_attributes": given if isinstance(given, dict) else {}})
        number = self._store.count(grant.account, TICKETS) + 1
        return self._store.create(
            grant.account, TICKETS, {"number": number, "contact": contact.id, "state": "submitted", **values}
        )

    def update_ticket(self, grant: Grant, ticket_id: str, body: Mapping[str, Any]) -> SimulatedObject:
        item = self._desk.find(grant, TICKETS, ticket_id)
        return self._store.update(grant.account, TICKETS, item.id, self._ticket(body))

    def _ticket(self, body: Mapping[str, Any]) -> Doc:
        given = body.get("ticket_attributes", {})
        values: Doc = {}
        if isinstance(given, dict):
            names = {"_default_title_": "title", "_default_description_": "description"}
            values = {names[name]: value for name, value in given.items() if name in names}
            own = {name: value for name, value in given.items() if name not in names}
            if own:
                values["ticket_attributes"] = own
        if "state" in body:
            if body["state"] not in {"submitted", "in_progress", "waiting_on_customer", "resolved"}:
                unprocessable("state is not one of the ticket's", "state")
            values["state"] = body["state"]
        return values

    def _contact(self, grant: Grant, body: Mapping[str, Any], item: SimulatedObject | None) -> Doc:
        values: Doc = {name: body[name] for name in _CONTACT if name in body}
        if values.get("role") not in {None, "user", "lead"}:
            unprocessable("role must be user or lead", "role")
        for name in ("email", "external_id"):
            wanted = values.get(name)
            if not wanted:
                continue
            if not isinstance(wanted, str) or (name == "email" and "@" not in wanted):
                unprocessable(f"{name} is not valid", name)
            for other in self._desk.live(grant, CONTACTS):
                taken = str(other.values.get(name) or "").casefold() == wanted.casefold()
                if taken and (item is None or other.id != item.id):
                    own = public_id(CONTACTS, other.id)
                    refuse(409, "conflict", f"A contact matching those details already exists with id={own}")
        if body.get("owner_id"):
            values["owner"] = self._desk.find(grant, ADMINS, str(body["owner_id"])).id
        return values | _attributes(body, item)

    @staticmethod
    def _company(body: Mapping[str, Any]) -> Doc:
        values: Doc = {name: body[name] for name in _COMPANY if name in body}
        return values | _attributes(body, None)


def _attributes(body: Mapping[str, Any], item: SimulatedObject | None) -> Doc:
    """Custom attributes that are not named stay as they are."""
    given = body.get("custom_attributes")
    if given is None:
        return {}
    if not isinstance(given, dict):
        invalid("custom_attributes must be an object", "custom_attributes")
    held = item.values.get("custom_attributes", {}) if item else {}
    return {"custom_attributes": {**held, **given}}
