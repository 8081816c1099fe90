"""The records of the simulated Salesforce: who may, queries, deletions and writes; no HTTP."""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any

import msgspec

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_faults import RateWindow
from trunkline.sdk.simulator_oauth import Grant, OAuthServer, TokenExpiredError, TokenInvalidError
from trunkline.sdk.simulator_store import SimulatedObject, Store, UnknownObjectError
from trunkline_connectors.salesforce.simulator_errors import limit_exceeded, not_found, refuse
from trunkline_connectors.salesforce.simulator_schema import (
    CONTACT,
    FIELDS,
    OPPORTUNITY,
    SOBJECTS,
    USER,
    FieldDef,
    own_id,
    public_id,
)
from trunkline_connectors.salesforce.simulator_seed import Org
from trunkline_connectors.salesforce.simulator_soql import Query, Row, parsed, sort_key

DAILY = 15_000
LARGEST, SMALLEST = 2000, 200
"""Records of a batch; wide ones make it smaller than was asked for."""
BIN = timedelta(days=15)
LOCATOR_LIFE, LOCATORS = timedelta(days=2), 10


class Locator(msgspec.Struct):
    kind: str
    rows: list[Row]
    names: list[str]
    made_at: datetime


def moment_text(moment: datetime) -> str:
    """Without a colon in the offset, and in whole seconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000+0000")


class Records:
    """`batch`: the most records of a page. `daily`: requests of an org in 24 hours."""

    def __init__(self, store: Store, oauth: OAuthServer, now: Now, orgs: Iterable[Org]) -> None:
        self.store = store
        self.oauth = oauth
        self.now = now
        self.orgs = {org.id: org for org in orgs}
        self.batch = SMALLEST
        self.window = RateWindow(now, DAILY, 86_400)
        self.locators: dict[tuple[str, str], Locator] = {}
        self._open: dict[str, deque[str]] = {}

    # -- who may ----------------------------------------------------------------------------

    def admit(self, token: str, host: str) -> Grant:
        """Raises 401. A session lives on from use to use. `host`: of the call, where it is known."""
        try:
            grant = self.oauth.authenticate(token)
        except (TokenInvalidError, TokenExpiredError):
            refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if host and host not in {self.orgs[grant.account].host, "login.salesforce.com"}:
            refuse(401, "INVALID_SESSION_ID", "Session expired or invalid")
        if "api" not in grant.scopes:
            refuse(403, "INSUFFICIENT_ACCESS", "This session is not valid for use with the REST API")
        return grant

    def spend(self, grant: Grant) -> dict[str, str]:
        """Counts a call in the org's 24 hours; the header of the answer, or raises 403."""
        if not self.window.admit(grant.account):
            raise RefusedError(limit_exceeded())
        used = self.window.limit - self.window.remaining(grant.account)
        return {"Sforce-Limit-Info": f"api-usage={used}/{self.window.limit}"}

    # -- reading ----------------------------------------------------------------------------

    def row(self, kind: str, item: SimulatedObject) -> Row:
        values = item.values
        row: Row = {
            "Id": public_id(kind, item.id),
            "IsDeleted": item.archived_at is not None,
            "CreatedDate": moment_text(item.created_at),
            "LastModifiedDate": moment_text(item.updated_at),
            "SystemModstamp": moment_text(item.updated_at),
            **{name: values.get(name) for name in FIELDS[kind] if name in values},
        }
        if kind in {CONTACT, USER}:
            row["Name"] = " ".join(part for part in (values.get("FirstName"), values.get("LastName")) if part)
        if kind == OPPORTUNITY:
            row["IsClosed"] = str(values.get("StageName", "")).startswith("Closed")
            row["IsWon"] = values.get("StageName") == "Closed Won"
        return row

    def found(self, grant: Grant, text: str, *, deleted: bool) -> tuple[Query, list[Row]]:
        """What matches, in order, also of what is in the bin where `deleted`; raises 400."""
        query = parsed(text)
        oldest = self.now() - BIN
        rows = [
            self.row(query.kind, item)
            for item in self.store.walk(grant.account, query.kind, archived=None)
            if item.archived_at is None or (deleted and item.archived_at >= oldest)
        ]
        rows = [row for row in rows if query.test(row)]
        for name, descending in reversed(query.order):
            rows.sort(key=sort_key(query, name), reverse=descending)
        end = None if query.limit is None else query.offset + query.limit
        return query, rows[query.offset : end]

    def query(self, grant: Grant, text: str, size: int, *, deleted: bool) -> dict[str, Any]:
        query, rows = self.found(grant, text, deleted=deleted)
        if not query.names:
            return {"totalSize": len(rows), "done": True, "records": []}
        name = f"01g{token_hex(6)}"
        held = Locator(query.kind, rows, query.names, self.now())
        body = self.batch_of(grant, name, held, 0, size)
        if not body["done"]:
            opened = self._open.setdefault(grant.account, deque())
            opened.append(name)
            self.locators[grant.account, name] = held
            if len(opened) > LOCATORS:
                self.locators.pop((grant.account, opened.popleft()), None)
        return body

    def go_on(self, grant: Grant, text: str, size: int) -> dict[str, Any]:
        """By a locator of this org; raises 400 once it was closed or is too old."""
        name, _, start = text.rpartition("-")
        held = self.locators.get((grant.account, name))
        if held is None or not start.isdecimal() or self.now() - held.made_at > LOCATOR_LIFE:
            refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        return self.batch_of(grant, name, held, int(start), size)

    def batch_of(self, grant: Grant, name: str, held: Locator, start: int, size: int) -> dict[str, Any]:
        del grant
        end = start + max(1, min(size, self.batch))
        body: dict[str, Any] = {
            "totalSize": len(held.rows),
            "done": end >= len(held.rows),
            "records": [document(held.kind, row, held.names) for row in held.rows[start:end]],
        }
        if end < len(held.rows):
            body["nextRecordsUrl"] = f"/services/data/v63.0/query/{name}-{end}"
        return body

    def get(self, grant: Grant, kind: str, object_id: str) -> SimulatedObject:
        try:
            item = self.store.get(grant.account, kind, own_id(kind, object_id))
        except UnknownObjectError:
            not_found("Provided external ID field does not exist or is not accessible: Id")
        if item.archived_at is not None:
            refuse(404, "ENTITY_IS_DELETED", "entity is deleted")
        return item

    def by_external(self, grant: Grant, kind: str, name: str, value: str) -> list[SimulatedObject]:
        field = FIELDS[kind].get(name)
        if field is None or not (field.external or field.type == "id"):
            not_found(f"Provided external ID field does not exist or is not accessible: {name[:50]}")
        if field.type == "id":
            return [self.get(grant, kind, value)]
        wanted = value.casefold()
        rows = self.store.walk(grant.account, kind)
        return [item for item in rows if str(item.values.get(name) or "").casefold() == wanted]

    def gone_between(self, grant: Grant, kind: str, start: datetime, end: datetime) -> dict[str, Any]:
        rows = [
            {"id": public_id(kind, item.id), "deletedDate": moment_text(item.archived_at)}
            for item in self.store.walk(grant.account, kind, archived=True)
            if item.archived_at is not None and start <= item.archived_at < end
        ]
        return {
            "deletedRecords": rows,
            "earliestDateAvailable": moment_text(self.now() - BIN),
            "latestDateCovered": moment_text(min(end, self.now())),
        }

    # -- writing ----------------------------------------------------------------------------

    def create(self, grant: Grant, kind: str, body: Mapping[str, Any]) -> SimulatedObject:
        values = self._checked(grant, kind, body, None)
        missing = tuple(f.name for f in FIELDS[kind].values() if f.required and not values.get(f.name))
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            refuse(400, "REQUIRED_FIELD_MISSING", message, missing)
        if "OwnerId" in FIELDS[kind]:
            values.setdefault("OwnerId", self.orgs[grant.account].user)
        return self.store.create(grant.account, kind, values)

    def update(self, grant: Grant, kind: str, item: SimulatedObject, body: Mapping[str, Any]) -> None:
        self.store.update(grant.account, kind, item.id, self._checked(grant, kind, body, item))

    def _checked(
        self, grant: Grant, kind: str, body: Mapping[str, Any], item: SimulatedObject | None
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in body.items():
            field = FIELDS[kind].get(name)
            if field is None:
                refuse(
                    400, "INVALID_FIELD", f"No such column '{name[:50]}' on sobject of type {SOBJECTS[kind]}"
                )
            if field.read_only:
                message = (
                    f"Unable to create/update fields: {name}. Please check the field's security settings."
                )
                refuse(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, (name,))
            values[name] = _fitting(field, value)
            if field.external and value:
                taken = [one for one in self.by_external(grant, kind, name, str(value)) if one != item]
                if taken:
                    own = public_id(kind, taken[0].id)
                    message = f"duplicate value found: {name} duplicates value on record with id: {own}"
                    refuse(400, "DUPLICATE_VALUE", message, (name,))
        return values


def _fitting(field: FieldDef, value: Any) -> Any:
    """Raises 400 where the value is of another type."""
    kinds: dict[str, tuple[type, ...]] = {"boolean": (bool,), "int": (int,), "double": (int, float)}
    kinds["currency"] = kinds["double"]
    wanted = kinds.get(field.type, (str,))
    wrong = value is not None and (not isinstance(value, wanted) or (bool not in wanted and value is True))
    if wrong or (field.options and value and field.type == "picklist" and not isinstance(value, str)):
        message = f"{field.label}: value not of required type: {str(value)[:50]}"
        refuse(400, "INVALID_TYPE_ON_FIELD_IN_RECORD", message, (field.name,))
    return None if value == "" else value


def document(kind: str, row: Row, names: Iterable[str]) -> dict[str, Any]:
    name = SOBJECTS[kind]
    address = f"/services/data/v63.0/sobjects/{name}/{row['Id']}"
    return {"attributes": {"type": name, "url": address}, **{name: row.get(name) for name in names}}
