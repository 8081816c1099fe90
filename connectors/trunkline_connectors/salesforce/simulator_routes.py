"""HTTP of the simulated Salesforce's REST API."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import bearer
from trunkline.sdk.simulator_gate import HOST, PAGE_FAULT, AnyRequest
from trunkline.sdk.simulator_oauth import Grant
from trunkline.sdk.simulator_trouble import OLDER, Page, played
from trunkline_connectors.salesforce.simulator_errors import error, malformed, not_found, refuse
from trunkline_connectors.salesforce.simulator_org import LARGEST, SMALLEST, Records, document, moment_text
from trunkline_connectors.salesforce.simulator_schema import (
    ACCOUNT,
    CONTACT,
    CURRENT,
    FIELDS,
    OLDEST,
    RETIRED,
    SOBJECTS,
    describe,
    kind_of,
    public_id,
)

Name = FromPath[str]
Doc = dict[str, Any]
DATA = "/services/data"
ROOT = DATA + "/{version:str}"
_BATCH = re.compile(r"batchSize=([0-9]{1,5})", re.IGNORECASE)
_BAD_LOCATOR = error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")


class Call:
    """An admitted request, and the headers that its answer carries."""

    def __init__(self, records: Records, request: AnyRequest, version: str) -> None:
        self.records = records
        self.request = request
        self.grant: Grant = records.admit(bearer(request), str(request.scope.get(HOST) or ""))
        check_version(version)
        self.headers = records.spend(self.grant)

    def answer(self, body: Any, status: int = 200) -> Response[Any]:
        return Response(body, status_code=status, headers=self.headers)


def check_version(version: str) -> None:
    """Raises 404 of none that ever was, and 410 of a retired one."""
    found = re.fullmatch(r"v([0-9]{1,3})\.0", version)
    number = int(found[1]) if found else 0
    if not OLDEST <= number <= CURRENT:
        not_found()
    if number <= RETIRED:
        refuse(410, "UNSUPPORTED_API_VERSION", "The requested API version has been retired")


def sobject(name: str) -> str:
    kind = kind_of(name)
    if kind is None:
        not_found()
    return kind


def query_routes(records: Records) -> list[HTTPRouteHandler]:
    def paged(call: Call, body: Doc, here: str, read: Callable[[str], Doc]) -> Response[Any]:
        fault = call.request.scope.get(PAGE_FAULT)
        if fault:

            def page_of(found: Doc) -> Page:
                address = found.get("nextRecordsUrl")
                return Page(found["records"], address and address.rpartition("/")[2])

            page = played(
                str(fault),
                page_of(body),
                here,
                lambda at: page_of(read(at)),
                older=_older,
                refused=_BAD_LOCATOR,
            )
            body = {"totalSize": body["totalSize"], "done": page.next is None, "records": page.items}
            if page.next is not None:
                body["nextRecordsUrl"] = f"{DATA}/v63.0/query/{page.next}"
        return call.answer(body)

    def size_of(request: AnyRequest) -> int:
        found = _BATCH.search(request.headers.get("sforce-query-options", ""))
        size = int(found[1]) if found else LARGEST
        if not SMALLEST <= size <= LARGEST:
            refuse(400, "INVALID_BATCH_SIZE", f"batchSize must be between {SMALLEST} and {LARGEST}")
        return size

    def asked(request: AnyRequest, version: str, *, deleted: bool) -> Response[Any]:
        call = Call(records, request, version)
        text = str(request.query_params.get("q") or "")
        if not text:
            malformed("unexpected token: '<EOF>'")
        size = size_of(request)
        body = records.query(call.grant, text, size, deleted=deleted)
        return paged(call, body, "", lambda at: records.go_on(call.grant, at, size))

    @get(f"{ROOT}/query")
    async def query(request: AnyRequest, version: Name) -> Response[Any]:
        return asked(request, version, deleted=False)

    @get(f"{ROOT}/queryAll")
    async def query_all(request: AnyRequest, version: Name) -> Response[Any]:
        return asked(request, version, deleted=True)

    @get([f"{ROOT}/query/{{locator:str}}", f"{ROOT}/queryAll/{{locator:str}}"])
    async def go_on(request: AnyRequest, version: Name, locator: Name) -> Response[Any]:
        call = Call(records, request, version)
        size = size_of(request)
        body = records.go_on(call.grant, locator, size)
        return paged(call, body, locator, lambda at: records.go_on(call.grant, at, size))

    @get(f"{ROOT}/search")
    async def search(request: AnyRequest, version: Name) -> Response[Any]:
        """SOSL's plainest form: FIND {words} ... RETURNING Object(Fields)."""
        call = Call(records, request, version)
        text = str(request.query_params.get("q") or "")
        found = re.match(r"\s*FIND\s*\{([^}]{2,})\}", text, re.IGNORECASE)
        if found is None:
            malformed("No search term found. The search term must be enclosed in braces.")
        words = re.sub(r"\\(.)", r"\1", found[1]).strip("* ").casefold()
        returning = re.findall(r"\b([A-Za-z]+)\s*\(([^)]*)\)", text[found.end() :])
        wanted = {sobject(name): [one.strip() for one in names.split(",")] for name, names in returning}
        hits = []
        for kind in wanted or {CONTACT: ["Id"], ACCOUNT: ["Id"]}:
            for item in records.store.walk(call.grant.account, kind):
                row = records.row(kind, item)
                if any(words in str(value).casefold() for value in row.values() if isinstance(value, str)):
                    hits.append(document(kind, row, wanted.get(kind, ["Id"])))
        return call.answer({"searchRecords": hits[:2000]})

    return [query, query_all, go_on, search]


def record_routes(records: Records) -> list[HTTPRouteHandler]:
    @get(DATA)
    async def versions() -> list[Doc]:
        return [
            {"label": f"v{number}.0", "url": f"{DATA}/v{number}.0", "version": f"{number}.0"}
            for number in range(RETIRED + 1, CURRENT + 1)
        ]

    @get(ROOT)
    async def resources(request: AnyRequest, version: Name) -> Response[Any]:
        names = ("query", "queryAll", "sobjects", "limits", "search", "jobs")
        return Call(records, request, version).answer({name: f"{DATA}/{version}/{name}" for name in names})

    @get(f"{ROOT}/limits")
    async def limits(request: AnyRequest, version: Name) -> Response[Any]:
        call = Call(records, request, version)
        left = records.window.remaining(call.grant.account)
        return call.answer({"DailyApiRequests": {"Max": records.window.limit, "Remaining": left}})

    @get(f"{ROOT}/sobjects")
    async def sobjects(request: AnyRequest, version: Name) -> Response[Any]:
        listed = [{k: v for k, v in describe(kind).items() if k != "fields"} for kind in FIELDS]
        body = {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed}
        return Call(records, request, version).answer(body)

    @get(f"{ROOT}/sobjects/{{name:str}}/describe")
    async def describe_one(request: AnyRequest, version: Name, name: Name) -> Response[Any]:
        return Call(records, request, version).answer(describe(sobject(name)))

    @get([f"{ROOT}/sobjects/{{name:str}}/deleted", f"{ROOT}/sobjects/{{name:str}}/updated"])
    async def changes(request: AnyRequest, version: Name, name: Name) -> Response[Any]:
        call = Call(records, request, version)
        kind = sobject(name)
        start, end = (_moment(request.query_params.get(one)) for one in ("start", "end"))
        if str(request.scope["path"]).rstrip("/").endswith("deleted"):
            return call.answer(records.gone_between(call.grant, kind, start, end))
        ids = [
            public_id(kind, item.id)
            for item in records.store.walk(call.grant.account, kind)
            if start <= item.updated_at < end
        ]
        return call.answer({"ids": ids, "latestDateCovered": moment_text(min(end, records.now()))})

    @post(f"{ROOT}/sobjects/{{name:str}}", status_code=201)
    async def create(request: AnyRequest, version: Name, name: Name) -> Response[Any]:
        call = Call(records, request, version)
        kind = sobject(name)
        item = records.create(call.grant, kind, await _json(request))
        return call.answer({"id": public_id(kind, item.id), "success": True, "errors": []}, 201)

    @get(f"{ROOT}/sobjects/{{name:str}}/{{object_id:str}}")
    async def one(request: AnyRequest, version: Name, name: Name, object_id: Name) -> Response[Any]:
        call = Call(records, request, version)
        kind = sobject(name)
        item = records.get(call.grant, kind, object_id)
        asked = str(request.query_params.get("fields") or "")
        names = [word.strip() for word in asked.split(",")] if asked else list(FIELDS[kind])
        for field in names:
            if field not in FIELDS[kind]:
                refuse(400, "INVALID_FIELD", f"No such column '{field[:50]}' on entity '{SOBJECTS[kind]}'.")
        return call.answer(document(kind, records.row(kind, item), names))

    @patch(f"{ROOT}/sobjects/{{name:str}}/{{object_id:str}}", status_code=200)
    async def update(request: AnyRequest, version: Name, name: Name, object_id: Name) -> Response[Any]:
        call = Call(records, request, version)
        kind = sobject(name)
        item = records.get(call.grant, kind, object_id)
        records.update(call.grant, kind, item, await _json(request))
        return call.answer(None, 204)

    @delete(f"{ROOT}/sobjects/{{name:str}}/{{object_id:str}}", status_code=200)
    async def remove(request: AnyRequest, version: Name, name: Name, object_id: Name) -> Response[Any]:
        call = Call(records, request, version)
        kind = sobject(name)
        records.store.archive(call.grant.account, kind, records.get(call.grant, kind, object_id).id)
        return call.answer(None, 204)

    @patch(f"{ROOT}/sobjects/{{name:str}}/{{field:str}}/{{value:str}}", status_code=200)
    async def upsert(
        request: AnyRequest, version: Name, name: Name, field: Name, value: Name
    ) -> Response[Any]:
        """By an external id: 201 for a new record, 200 for a changed one, 300 where several have it."""
        call = Call(records, request, version)
        kind = sobject(name)
        found = records.by_external(call.grant, kind, field, value)
        body = await _json(request)
        if len(found) > 1:
            urls = [
                f"{DATA}/{version}/sobjects/{SOBJECTS[kind]}/{public_id(kind, item.id)}" for item in found
            ]
            return call.answer(urls, 300)
        if found:
            records.update(call.grant, kind, found[0], body)
        item = found[0] if found else records.create(call.grant, kind, {**body, field: value})
        answer = {"id": public_id(kind, item.id), "success": True, "errors": [], "created": not found}
        return call.answer(answer, 200 if found else 201)

    return [
        versions, resources, limits, sobjects, describe_one, changes, create, one, update, remove, upsert,
    ]  # fmt: skip


async def _json(request: AnyRequest) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(await request.body(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        refuse(400, "JSON_PARSER_ERROR", "The body is not a JSON object")


def _moment(text: Any) -> datetime:
    try:
        # A plus in a query is a blank.
        moment = datetime.fromisoformat(str(text).replace(" ", "+"))
    except ValueError:
        refuse(400, "INVALID_REPLICATION_DATE", f"{str(text)[:50]} is no valid moment")
    if moment.tzinfo is None:
        refuse(400, "INVALID_REPLICATION_DATE", "the moment has no time zone")
    return moment


def _older(item: Doc) -> Doc:
    made = dict(item)
    for name in ("SystemModstamp", "LastModifiedDate"):
        if made.get(name):
            made[name] = moment_text(datetime.fromisoformat(made[name]) - OLDER)
    for name in ("Title", "Name", "Description"):
        if made.get(name):
            made[name] = "An older form"
            break
    return made
