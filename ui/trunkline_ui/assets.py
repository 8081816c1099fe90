"""Style sheets and scripts, held in memory, addressed by the hash of their content.

Only names found at start are served: a request's path is a key of a dict, never a path on disk.
"""

import gzip
import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_YEAR = "public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    name: str
    hash: str
    body: bytes
    zipped: bytes
    media_type: str

    @property
    def url(self) -> str:
        return f"/static/{self.hash}/{self.name}"


def load(sources: dict[str, Traversable]) -> dict[str, Asset]:
    found: dict[str, Asset] = {}
    for name, source in sources.items():
        media_type = TYPES.get(f".{name.rpartition('.')[2]}")
        if media_type is None:
            raise ValueError(f"static file {name} has a kind without a content type in assets.TYPES")
        body = source.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:16]
        found[name] = Asset(name, digest, body, gzip.compress(body, mtime=0), media_type)
    return found


def sources() -> dict[str, Traversable]:
    """Our own files, and htmx from the package that carries it."""
    own = {
        entry.name: entry for entry in files("trunkline_ui").joinpath("static").iterdir() if entry.is_file()
    }
    return {**own, "htmx.min.js": files("js_lib_htmx").joinpath("static/htmx/htmx.min.js")}


@cache
def _kept() -> dict[str, Asset]:
    return load(sources())


class Assets:
    """`reload` reads the files again at each use: for development only."""

    def __init__(self, *, reload: bool = False) -> None:
        self.reload = reload

    def all(self) -> dict[str, Asset]:
        return load(sources()) if self.reload else _kept()

    def url(self, name: str) -> str:
        """Address to put into a page; KeyError for a name that is not a static file."""
        return self.all()[name].url


@get(
    "/static/{path:path}", include_in_schema=False, sync_to_thread=False, opt={"public": True}, name="static"
)
def static_file(request: Request[Any, Any, Any], path: FromPath[str]) -> Response[bytes]:
    """`/static/<hash>/<name>` is kept for ever; another hash or none gives today's file, revalidated."""
    given, _, name = path.strip("/").rpartition("/")
    engine = request.app.template_engine
    assets: Assets = engine.engine.globals["assets"] if engine else Assets()
    asset = assets.all().get(name)
    if asset is None or "/" in given:
        raise NotFoundException(f"There is no static file {name!r}.")
    headers = {
        "cache-control": _YEAR if given == asset.hash else "no-cache",
        "etag": f'"{asset.hash}"',
        "cross-origin-resource-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "vary": "Accept-Encoding",
    }
    if asset.hash in request.headers.get("if-none-match", ""):
        return Response(b"", status_code=304, headers=headers, media_type=asset.media_type)
    body = asset.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        body = asset.zipped
    return Response(body, headers=headers, media_type=asset.media_type)
