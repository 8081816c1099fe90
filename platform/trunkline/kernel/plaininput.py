"""What any request to /v1 may carry: text that can be stored in its address, strict JSON in its body.

Decompressing is not offered, so no small body can become a large one; sizes are the web application's limit.
"""

import re
from typing import Any

import msgspec
from litestar import Request
from litestar.exceptions import ValidationException
from litestar.types import Scope

from trunkline.kernel import strictjson
from trunkline.kernel.errors import BadInputError, UnsupportedMediaError

AnyRequest = Request[Any, Any, Any]

_SHAPE = re.compile(r"(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_ABOUT_A_FIELD = re.compile(r"Object (?:missing required|contains unknown) field `([^`]+)`")
_JSON = re.compile(r"application/(?:[\w.-]+\+)?json")


def check_address(request: AnyRequest) -> None:
    """BadInputError naming the parameter that holds what no text column can: NUL, or bytes beyond UTF-8."""
    if _unstorable(request.scope["path"]):
        raise BadInputError(
            "The path contains a character that cannot be used.", field=_segment(request.scope)
        )
    for name, value in request.query_params.multi_items():
        if _unstorable(name):
            raise BadInputError("The name of a query parameter contains a character that cannot be used.")
        if _unstorable(str(value)):
            raise BadInputError(f"{name} contains a character that cannot be used.", field=name)


async def read_json(request: AnyRequest) -> Any:
    """The body, None without one. UnsupportedMediaError, BadInputError naming the field, 413 by Litestar."""
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        raise UnsupportedMediaError(
            "Send the body as it is, without Content-Encoding.", field="Content-Encoding"
        )
    body = await request.body()
    if not body:
        return None
    kind, options = request.content_type
    if kind and not _JSON.fullmatch(kind):
        raise UnsupportedMediaError(
            "Send JSON, with the header Content-Type: application/json.", field="Content-Type"
        )
    if options.get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise UnsupportedMediaError("Send JSON in UTF-8, as JSON is.", field="Content-Type")
    try:
        value = strictjson.decode(body, unique_keys=True)
    except strictjson.JSONLimitError as error:
        raise BadInputError(str(error), field=error.path or None) from None
    _check_shape(request, value)
    return value


def _check_shape(request: AnyRequest, value: Any) -> None:
    """ValidationException with the path of the field.

    Litestar's own conversion takes "1" for 1, and answers 500 where a wrong field has a service's name.
    """
    field = request.route_handler.parsed_data_field
    if field is None:
        return
    try:
        msgspec.convert(value, field.annotation)
    except msgspec.ValidationError as error:
        found = _SHAPE.fullmatch(str(error))
        what, path = (found["what"], found["path"] or "") if found else (str(error), "")
        path = re.sub(r"\[(\d+|\.\.\.)\]", r".\1", path)
        if about := _ABOUT_A_FIELD.match(what):
            path = f"{path}.{about[1]}"
        one = {"message": what, "key": path.strip(".") or "data", "source": "body"}
        raise ValidationException(extra=[one]) from None


def _unstorable(text: str) -> bool:
    """U+FFFD is what a server makes of bytes that are not UTF-8."""
    return "\x00" in text or "\ufffd" in text


def _segment(scope: Scope) -> str | None:
    found = scope.get("path_params") or {}
    return next((str(name) for name, value in found.items() if _unstorable(str(value))), None)
