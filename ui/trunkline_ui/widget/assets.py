"""The widget's own static files; the loader has an address that never changes."""

from functools import cache
from importlib.resources import files
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from trunkline_ui.assets import Asset, load

LOADER = "v1.js"
LOADER_SECONDS = 300
"""How long a browser may use a copy of the loader: a correction arrives as fast."""
_PATH = "/widget/static"


@cache
def _all() -> dict[str, Asset]:
    folder = files("trunkline_ui").joinpath("static/widget")
    return load({entry.name: entry for entry in folder.iterdir() if entry.is_file()})


def widget_asset(name: str) -> str:
    """Address to put into a page; KeyError for a name that is not a file."""
    asset = _all()[name]
    return f"{_PATH}/{asset.hash}/{asset.name}"


@get("/widget/v1.js", include_in_schema=False, sync_to_thread=False, opt={"public": True})
def loader(request: Request[Any, Any, Any]) -> Response[bytes]:
    """For the product's page, so readable from other origins."""
    headers = {
        "cache-control": f"public, max-age={LOADER_SECONDS}",
        "cross-origin-resource-policy": "cross-origin",
    }
    return _answer(request, _all()[LOADER], headers)


@get(_PATH + "/{digest:str}/{name:str}", include_in_schema=False, sync_to_thread=False, opt={"public": True})
def widget_file(
    request: Request[Any, Any, Any], digest: FromPath[str], name: FromPath[str]
) -> Response[bytes]:
    asset = _all().get(name)
    if asset is None:
        raise NotFoundException
    kept = "public, max-age=31536000, immutable" if digest == asset.hash else "no-cache"
    return _answer(request, asset, {"cache-control": kept, "cross-origin-resource-policy": "same-origin"})


def _answer(request: Request[Any, Any, Any], asset: Asset, headers: dict[str, str]) -> Response[bytes]:
    headers |= {
        "etag": f'"{asset.hash}"',
        "vary": "Accept-Encoding",
        "x-content-type-options": "nosniff",
    }
    if asset.hash in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    body = asset.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        body = asset.zipped
    return Response(body, headers=headers, media_type=asset.media_type)
