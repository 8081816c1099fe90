"""Where providers send the browser back to: the end of the portal's and the widget's flow."""

from collections.abc import Mapping
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.connections.cookies import digest, spent_cookie
from trunkline.connections.errors import FlowRefusedError
from trunkline.connections.service import ConnectionService
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.sdk.registry import Connectors
from trunkline_ui.rendering import Page
from trunkline_ui.widget.endings import finished, label_for, refused


@get(
    ["/oauth/callback/{connector:str}", "/oauth/callback/{connector:str}/{owner:str}"],
    include_in_schema=False,
    opt={"public": True, "session": True, "popup": True},
)
async def oauth_callback(
    request: Request[Any, Any, Any],
    settings: NamedDependency[Settings],
    connections: NamedDependency[ConnectionService],
    connectors: NamedDependency[Connectors],
    connector: FromPath[str],
) -> Page | Response[None]:
    label = label_for(connectors, connector)
    query = _single(request)
    signed_in = request.scope.get("user")
    principal = signed_in if isinstance(signed_in, Principal) else None
    spent = spent_cookie(digest(query.get("state", "")), secure=settings.secure)
    try:
        done = await connections.finish(connector, _path(request), query, request.cookies, principal)
    except FlowRefusedError as error:
        return refused(label, error, spent, principal)
    label = (await connectors.find(done.connector)).label
    return finished(settings, label, done, spent)


def _path(request: Request[Any, Any, Any]) -> str:
    """As it was asked for: the router takes "x/" for "x", and an exact match must not."""
    return request.scope["raw_path"].decode("latin-1")


def _single(request: Request[Any, Any, Any]) -> Mapping[str, str]:
    """A parameter given twice is no parameter (RFC 6749, 3.1)."""
    given = request.query_params
    return {name: values[0] for name in given if len(values := given.getall(name)) == 1}
