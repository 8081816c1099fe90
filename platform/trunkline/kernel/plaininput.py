"""What any request to /v1 may carry: text that can be stored in its address, strict JSON in its body.

Decompressing is not offered, so no small body can become a large one; sizes are the web application's limit.
"""

import re
from typing import Any

from litestar import Request
from litestar.types import Scope

from trunkline.kernel import strictjson
from trunkline.kernel.errors import BadInputError, UnsupportedMediaError

AnyRequest = Request[Any, Any, Any]

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
        return strictjson.decode(body, unique_keys=True)
    except strictjson.JSONLimitError as error:
        raise BadInputError(str(error), field=error.path or None) from None


def _unstorable(text: str) -> bool:
    """U+FFFD is what a server makes of bytes that are not UTF-8."""
    return "\x00" in text or "\ufffd" in text


def _segment(scope: Scope) -> str | None:
    found = scope.get("path_params") or {}
    return next((str(name) for name, value in found.items() if _unstorable(str(value))), None)
