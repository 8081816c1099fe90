"""HTTP of the simulated Salesforce's collections: up to 200 records in one request, each by itself."""

from typing import Any

import msgspec
from litestar import Response, patch
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import RefusedError
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline_connectors.salesforce.simulator_errors import refuse
from trunkline_connectors.salesforce.simulator_org import Records
from trunkline_connectors.salesforce.simulator_routes import ROOT, Call, Name, sobject

MOST = 200


class Collection(msgspec.Struct, rename="camel"):
    records: list[dict[str, Any]]
    all_or_none: bool = False


def composite_routes(records: Records) -> list[HTTPRouteHandler]:
    def updated(call: Call, given: dict[str, Any]) -> dict[str, Any]:
        attributes = given.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        own = str(given.get("id") or given.get("Id") or "")
        values = {key: value for key, value in given.items() if key not in {"attributes", "id", "Id"}}
        try:
            kind = sobject(str(name))
            records.update(call.grant, kind, records.get(call.grant, kind, own), values)
        except RefusedError as error:
            first: dict[str, Any] = error.reply.body[0]
            told = {
                "statusCode": first["errorCode"],
                "message": first["message"],
                "fields": first.get("fields", []),
            }
            return {"success": False, "errors": [told]}
        return {"id": own, "success": True, "errors": []}

    @patch(f"{ROOT}/composite/sobjects", status_code=200)
    async def update_all(request: AnyRequest, version: Name) -> Response[Any]:
        """Of all or none nothing is simulated: it is refused."""
        call = Call(records, request, version)
        try:
            given = msgspec.json.decode(await request.body(), type=Collection)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            refuse(400, "JSON_PARSER_ERROR", "The body is not a collection of records")
        if given.all_or_none or not 0 < len(given.records) <= MOST:
            refuse(400, "INVALID_INPUT", f"1 to {MOST} records, and allOrNone false")
        return call.answer([updated(call, one) for one in given.records])

    return [update_all]
