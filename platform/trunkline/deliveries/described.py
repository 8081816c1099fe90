"""Every event in the API's description: the `webhooks` of OpenAPI 3.1, made of the catalogue."""

from typing import Any, Final

import msgspec
from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    PathItem,
    Reference,
    RequestBody,
    Schema,
)

from trunkline.deliveries.catalogue import TYPES, EventType

_REFERENCE: Final = "#/components/schemas/{name}"
_TEXT: Final = Schema(type=OpenAPIType.STRING)


def _headers() -> list[Parameter | Reference]:
    texts = {
        "webhook-id": "The same for every attempt: what you know a repetition by.",
        "webhook-timestamp": "Seconds since 1970 of this attempt; refuse what is older than five minutes.",
        "webhook-signature": (
            "`v1,` and base64 of HMAC-SHA256 over id.timestamp.body, one for each secret in force, "
            "with blanks between."
        ),
    }
    return [
        Parameter(name=name, param_in="header", required=True, description=text, schema=_TEXT)
        for name, text in texts.items()
    ]


def _item(one: EventType) -> PathItem:
    return PathItem(
        post=Operation(
            tags=["Events that you are sent"],
            operation_id=f"on_{one.name.replace('.', '_')}",
            summary=one.text,
            description=(
                "Sent to the endpoints that ask for it, at least once, signed as Standard Webhooks has it. "
                "Answer with any 2xx within 15 seconds; 410 ends it for good."
            ),
            parameters=_headers(),
            request_body=RequestBody(
                required=True,
                content={"application/json": OpenAPIMediaType(schema=Reference(ref=_of(one)))},
            ),
            responses={
                "2XX": OpenAPIResponse(description="Taken."),
                "410": OpenAPIResponse(description="Never again: the endpoint is disabled."),
                "default": OpenAPIResponse(
                    description="Not taken: sent again, ten times over about 75 hours."
                ),
            },
            security=[],
        )
    )


def _of(one: EventType) -> str:
    return _REFERENCE.format(name=_name(one))


def _name(one: EventType) -> str:
    return "".join(part.title() for part in one.name.replace("_", ".").split(".")) + "Event"


def _schemas() -> dict[str, Any]:
    kinds = list(dict.fromkeys(one.data for one in TYPES))
    _, found = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    for one in TYPES:
        found[_name(one)] = {
            "type": "object",
            "title": _name(one),
            "description": one.text,
            "required": ["type", "timestamp", "tenant", "data"],
            "properties": {
                "type": {"const": one.name},
                "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
                "tenant": {
                    "type": ["string", "null"],
                    "description": "The tenant's slug; null for what is about the installation.",
                },
                "data": {"$ref": _REFERENCE.format(name=one.data.__name__)},
            },
        }
    return found


SCHEMAS: Final = _schemas()
WEBHOOKS: Final = {one.name: _item(one) for one in TYPES}
