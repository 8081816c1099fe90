"""The API's description: OpenAPI 3.1 at /schema/openapi.json, and a page to read it at /schema.

Errors are described once: every operation answers failures with a problem document, so Litestar's own error
bodies, which are never sent, are replaced by it.
"""

from collections.abc import Mapping
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from litestar import Request, Router, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, PathItem, SecurityScheme

from trunkline.kernel.problems import PROBLEM

PATH = "/schema"
METHODS = ("get", "post", "put", "patch", "delete")

DESCRIPTION = (
    "For the backend of the product that embeds Trunkline. Send an API key as a bearer token. A key of "
    "the whole installation names the tenant in each request: `tenant` in the query or the JSON body, or the "
    "header `Trunkline-Tenant`, with the tenant's slug; a key bound to a tenant need not. "
    "An API key has scopes; each operation names the one it needs. A POST with an `Idempotency-Key` is "
    "carried out once: for 24 hours, sending it again gives the same answer. "
    "Every failure is a problem document (RFC 9457) whose `code` is stable. "
    "This document is the same for everybody, so that of events it has those of the connectors that come "
    "with Trunkline; those of any connector that a tenant may connect are described by "
    "`/v1/connectors/{connector}/events`."
)

_FAILURES = {
    "400": "The request cannot be used; `field` and `errors` say what is wrong.",
    "401": "No API key, or one that is mistyped, unknown, expired or revoked; `reason` says which.",
    "403": "The API key lacks the scope, or is bound to a tenant where none may be named.",
    "404": "Nothing under this id or tenant; the answer is the same for another tenant's.",
    "500": "Something broke on our side.",
    "503": "Something that is needed cannot be reached; try again later.",
}
_FAILURES_OF_DEEDS = {
    "409": "Not possible in the present state; or a request with this `Idempotency-Key` is still running.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not JSON in UTF-8, or is compressed.",
}
_FAILURES_OF_POSTS = {
    "422": "Well formed, but it says what cannot be; or the `Idempotency-Key` belongs to another request.",
}
_SLUG = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_TENANT: list[dict[str, Any]] = [
    {
        "name": name,
        "in": place,
        "required": False,
        "description": "The tenant's slug, for a key of the whole installation. Name it in one place.",
        "schema": {"type": "string", "pattern": _SLUG},
    }
    for name, place in (("tenant", "query"), ("Trunkline-Tenant", "header"))
]
_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Chosen by you, such as a random UUID: sent again within a day, it gives the same answer.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}
_PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "required": ["title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "default": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "Stable, for programs."},
        "detail": {"type": "string", "description": "What happened and what to do, for people."},
        "request_id": {"type": "string", "description": "For support, to find the request."},
        "field": {"type": ["string", "null"], "description": "The input at fault."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "message": {"type": "string"},
                    "field": {"type": ["string", "null"]},
                    "source": {"type": ["string", "null"]},
                },
            },
        },
    },
    "additionalProperties": True,
}


def openapi_config(
    webhooks: Mapping[str, PathItem] | None = None, schemas: Mapping[str, Any] | None = None
) -> OpenAPIConfig:
    """`webhooks` by their names; `schemas`: plain ones by name, which they refer to."""
    return OpenAPIConfig(
        webhooks=dict(webhooks or {}),
        title="Trunkline API",
        version=version("trunkline"),
        description=DESCRIPTION,
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "api_key": SecurityScheme(
                    type="http", scheme="bearer", description="An API key: tl_live_..., from the operator."
                )
            }
        ),
        security=[{"api_key": []}],
        render_plugins=[_Reference(schemas or {}, path="/"), _Document(schemas or {}, path="/openapi.json")],
        openapi_router=Router(PATH, route_handlers=[], include_in_schema=False, opt={"public": True}),
    )


def complete(document: dict[str, Any], schemas: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The same document with our errors and `schemas` in it; idempotent, as Litestar hands out one cached
    object.
    """
    known = document.setdefault("components", {}).setdefault("schemas", {})
    known |= {"Problem": _PROBLEM_SCHEMA, **(schemas or {})}
    for _path, method, operation in operations(document):
        body = operation.get("requestBody", {})
        if any(_optional(one.get("schema", {})) for one in body.get("content", {}).values()):
            body["required"] = False
        responses = operation.setdefault("responses", {})
        for status, response in list(responses.items()):
            if status[0] in "45" and PROBLEM not in response.get("content", {}):
                del responses[status]
        given = operation.setdefault("parameters", [])
        names = {parameter["name"] for parameter in given}
        extra = [*_TENANT, *([_IDEMPOTENCY_KEY] if method == "post" else [])]
        given += [parameter for parameter in extra if parameter["name"] not in names]
        failures = _FAILURES if method == "get" else _FAILURES | _FAILURES_OF_DEEDS
        failures = failures | (_FAILURES_OF_POSTS if method == "post" else {})
        for status, description in failures.items():
            responses.setdefault(
                status,
                {
                    "description": description,
                    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                },
            )
    return document


def _optional(schema: Mapping[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in schema.get("oneOf", ()))


def operations(document: Mapping[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation), in the document's order."""
    return [
        (path, method, item[method])
        for path, item in document.get("paths", {}).items()
        for method in METHODS
        if method in item
    ]


def _events(document: Mapping[str, Any]) -> dict[str, list[tuple[list[str], dict[str, Any]]]]:
    """Tag -> (names, operation): events of which the same is said, but for their names, are told of once."""
    found: dict[str, dict[str, tuple[list[str], dict[str, Any]]]] = {}
    for name, item in document.get("webhooks", {}).items():
        operation = item["post"]
        said = {key: one for key, one in operation.items() if key not in {"summary", "operationId"}}
        names, _ = found.setdefault(operation["tags"][0], {}).setdefault(repr(said), ([], operation))
        names.append(name)
    return {tag: list(groups.values()) for tag, groups in found.items()}


class _Document(JsonRenderPlugin):
    def __init__(self, schemas: Mapping[str, Any], *, path: str) -> None:
        super().__init__(path=path)
        self._schemas = schemas

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, complete(openapi_schema, self._schemas))


class _Reference(OpenAPIRenderPlugin):
    """Plain HTML made here: no script, nothing from elsewhere."""

    def __init__(self, schemas: Mapping[str, Any], *, path: str) -> None:
        super().__init__(path=path)
        self._schemas = schemas

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002 - the base's signature
        document = complete(openapi_schema, self._schemas)
        groups: dict[str, list[dict[str, Any]]] = {}
        for path, method, operation in operations(document):
            tag = (operation.get("tags") or [path.split("/")[2] if path.count("/") > 1 else "API"])[0]
            shown = {"path": path, "method": method, **operation}
            groups.setdefault(tag, []).append(shown)
        return (
            _template()
            .render(document=document, groups=groups, events=_events(document), kind=kind, anchor=anchor)
            .encode()
        )

    def receive_router(self, router: Router) -> None:
        router.register(_style)


@get("/reference.css", media_type="text/css; charset=utf-8", sync_to_thread=False)
def _style() -> bytes:
    return files("trunkline.kernel").joinpath("reference/reference.css").read_bytes()


def anchor(name: str) -> str:
    return f"schema-{name}"


def kind(schema: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """A schema in words: pieces of text, each with the name of the schema it links to or ""."""
    if not schema:
        return [("any", "")]
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return [(name, name)]
    for several in ("oneOf", "anyOf", "allOf"):
        if found := schema.get(several):
            return _joined([kind(one) for one in found], " and " if several == "allOf" else " or ")
    if values := schema.get("enum"):
        return [(" | ".join(str(value) for value in values), "")]
    if "const" in schema:
        return [(str(schema["const"]), "")]
    types = schema.get("type", "any")
    if isinstance(types, list):
        return _joined([kind({**schema, "type": one}) for one in types], " or ")
    if types == "array":
        return [("list of ", ""), *kind(schema.get("items"))]
    if types == "object" and isinstance(schema.get("additionalProperties"), dict):
        return [("map of ", ""), *kind(schema["additionalProperties"])]
    return [(f"{types} ({schema['format']})" if "format" in schema else str(types), "")]


def _joined(parts: list[list[tuple[str, str]]], word: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for part in parts:
        found += [(word, ""), *part] if found else part
    return found


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("trunkline.kernel", "reference"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("reference.html")
