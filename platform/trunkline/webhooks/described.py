"""Every inbound event in the API's description: `webhooks` of OpenAPI 3.1, made of connectors' contracts.

Named "{connector}:{type}". What the product is told has plain names, and is described by `deliveries`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

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

from trunkline.sdk.contracts import DIALECT, Contract
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.own import CUSTOM, own_manifest
from trunkline.sdk.registry import Connectors
from trunkline.sdk.signatures import Signature, resolve
from trunkline.sdk.webhooks import Webhooks

CUSTOM_CONTRACT: Final = Contract(
    {
        "$schema": DIALECT,
        "description": "Whatever a customer's own system says: it is read as the customer chose.",
        "events": {
            "*": {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "description": "What happened."},
                    "timestamp": {"type": "string", "description": "When, ISO 8601."},
                    "data": {"description": "Anything."},
                },
            }
        },
    }
)
_REFERENCE: Final = "#/components/schemas/{name}"
_TEXT: Final = Schema(type=OpenAPIType.STRING)
_RESPONSES: Final = {
    "200": "Stored durably; what is made of it comes later. An event that came before is the same one.",
    "400": "Not JSON within limits, or nothing in it says what it is or whose.",
    "401": "Not proven, or signed outside of the replay window.",
    "404": "No such address.",
    "413": "Larger than the connector's limit.",
    "503": "It cannot be stored just now; send it again.",
}


def described(connectors: Connectors) -> tuple[dict[str, PathItem], dict[str, Any]]:
    """Webhooks by name, and the schemas that they refer to: of what comes with the product."""
    items: dict[str, PathItem] = {}
    schemas: dict[str, Any] = {}
    for manifest in connectors.own():
        contract = connectors.contract(manifest.name)
        if manifest.webhooks is not None and contract is not None:
            _add(items, schemas, manifest.name, manifest.label, manifest.webhooks, contract)
    own = own_manifest(None).webhooks
    assert own is not None
    _add(items, schemas, CUSTOM, "a customer's own system", own, CUSTOM_CONTRACT)
    return items, schemas


def description(manifest: Manifest, contract: Contract | None) -> dict[str, Any]:
    """An OpenAPI document of one connector's events alone. Without a contract their schemas say nothing."""
    hooks = manifest.webhooks
    assert hooks is not None
    items: dict[str, PathItem] = {}
    schemas: dict[str, Any] = {}
    _add(items, schemas, manifest.name, manifest.label, hooks, contract or _unsaid(manifest, hooks))
    return {
        "openapi": "3.1.0",
        "info": {"title": f"Events from {manifest.label}", "version": manifest.version},
        "webhooks": {name: item.to_schema() for name, item in items.items()},
        "components": {"schemas": schemas},
    }


def _unsaid(manifest: Manifest, hooks: Webhooks) -> Contract:
    if manifest.name == CUSTOM:
        return CUSTOM_CONTRACT
    words = "It has no contract: nothing is relied on but what the manifest reads."
    schema = {"type": "object", "description": words}
    return Contract({"$schema": DIALECT, "events": {one.type: schema for one in hooks.kinds}})


def types(hooks: Webhooks, contract: Contract) -> Iterator[tuple[str, str]]:
    """(type, its entry in the contract): all that the manifest spells out, patterns where it does not."""
    listed = hooks.registration.events if hooks.registration else ()
    for kind in hooks.kinds:
        spelled = [one for one in listed if hooks.kind(one) is kind] if kind.type.endswith("*") else []
        for name in spelled or [kind.type]:
            entry = contract.entry(name)
            if entry is not None:
                yield name, entry
    if not hooks.kinds:
        yield from ((entry, entry) for entry in contract.events)


def _add(
    items: dict[str, PathItem],
    schemas: dict[str, Any],
    connector: str,
    label: str,
    hooks: Webhooks,
    contract: Contract,
) -> None:
    names = {one: _component(connector, one) for one in contract.definitions}
    schemas |= {names[one]: _renamed(schema, names) for one, schema in contract.definitions.items()}
    for name, entry in types(hooks, contract):
        given = contract.events[entry]
        if "$ref" not in given:
            made = _component(connector, entry)
            if made in names.values():  # a definition has the type's name
                made = f"{made}Event"
            schemas[made] = _renamed(given, names)
        else:
            made = names[given["$ref"].rpartition("/")[2]]
        items[f"{connector}:{name}"] = _item(connector, label, name, hooks, made)


def _item(connector: str, label: str, name: str, hooks: Webhooks, schema: str) -> PathItem:
    what = name.removesuffix("*").rstrip(".") or "any type"
    kind = hooks.kind(name)
    meaning = (
        "Kept for its tenant."
        if kind is None
        else f"It tells of `{kind.stream}`. One that deviates is taken all the same: what can be read of it "
        "is used, and the connection has the issue `webhook_drift`."
    )
    return PathItem(
        post=Operation(
            tags=[f"Events from {label}"],
            operation_id=f"takes_{_component(connector, name)}",
            summary=f"From {label}: {what}",
            description=(
                f"Delivered to `/hooks/{connector}/{{key}}`, one event or several in a list. The schema has "
                f"what is relied on, no more. {meaning} Tried again by the sender: {hooks.retries}"
            ),
            parameters=_headers(hooks),
            request_body=RequestBody(
                required=True,
                content={
                    "application/json": OpenAPIMediaType(schema=Reference(ref=_REFERENCE.format(name=schema)))
                },
            ),
            responses={status: OpenAPIResponse(description=text) for status, text in _RESPONSES.items()},
            security=[],
        )
    )


def _headers(hooks: Webhooks) -> list[Parameter | Reference]:
    """Of several signatures each is good enough, so that none of their headers is needed always."""
    signatures = [resolve(given) for given in hooks.signatures]
    found: dict[str, str] = {}
    for one in signatures:
        found |= _proof(one)
    return [
        Parameter(name=name, param_in="header", required=len(signatures) == 1, description=text, schema=_TEXT)
        for name, text in found.items()
    ]


def _proof(one: Signature) -> dict[str, str]:
    if one.kind == "static":
        return {one.header: "The secret of the address itself."}
    how = "HMAC" if one.kind == "hmac" else "Digest"
    before = f", `{one.prefix}` before it" if one.prefix else ""
    found = {one.header: f"{how}-{one.algorithm.upper()} of `{one.signed}` in {one.encoding}{before}."}
    if one.id is not None:
        found[one.id] = "The same for each attempt."
    if one.timestamp is not None and one.timestamp.header != one.header:
        found[one.timestamp.header] = "When it was signed."
    return found | {name: f"`{value}`." for name, value in one.require.items()}


def _component(connector: str, name: str) -> str:
    """As OpenAPI takes names: letters, digits, points, hyphens, underscores."""
    words = "".join(one if one.isalnum() else " " for one in f"{connector} {name}").split()
    return f"Hook{''.join(word[:1].upper() + word[1:] for word in words)}"


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    """A contract's schema with its references as the description has them."""
    if not isinstance(schema, dict):
        return schema
    return {
        key: _REFERENCE.format(name=names[one.rpartition("/")[2]])
        if key == "$ref" and isinstance(one, str)
        else _renamed(one, names)
        for key, one in schema.items()
    }
