"""HTTP of the simulated Zendesk's token endpoints."""

from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator import bearer, token_form
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_gate import HOST, AnyRequest
from trunkline.sdk.simulator_oauth import Issued, OAuthError, OAuthServer
from trunkline_connectors.zendesk.simulator_desk import Body, Desk, stamp
from trunkline_connectors.zendesk.simulator_errors import not_found, unauthorized

ACCESS_SECONDS = (300, 172_800)
REFRESH_SECONDS = (604_800, 7_776_000)
"""Lowest and highest that may be asked for, both included."""


def token_routes(oauth: OAuthServer, desk: Desk, now: Now) -> list[HTTPRouteHandler]:
    @post("/oauth/tokens")
    async def token(request: AnyRequest) -> Response[Body]:
        form = await token_form(request)
        try:
            access = _lifetime(form, "expires_in", ACCESS_SECONDS, oauth.access_seconds)
            refresh = _lifetime(form, "refresh_token_expires_in", REFRESH_SECONDS, oauth.refresh_seconds or 0)
            issued = oauth.token(form)
            _must_be_here(request, desk, oauth, issued)
        except OAuthError as error:
            status = 401 if error.error == "invalid_client" else 400
            body: Body = {"error": error.error, "error_description": error.description}
            return Response(body, status_code=status, headers={"Cache-Control": "no-store"})
        issued = oauth.lasting(issued, access, refresh)
        body = {
            "access_token": issued.access_token,
            "refresh_token": issued.refresh_token,
            "token_type": "bearer",
            "scope": " ".join(issued.grant.scopes),
            "expires_in": issued.expires_in,
            "refresh_token_expires_in": refresh,
        }
        return Response(body, status_code=201, headers={"Cache-Control": "no-store"})

    @get("/api/v2/oauth/tokens/current")
    async def current(request: AnyRequest) -> Response[Body]:
        found = oauth.find(bearer(request))
        if found is None:
            unauthorized(token=True)
        _, held, grant = found
        body: Body = {
            "id": int(grant.id.rpartition("-")[2]),
            "client_id": 1,
            "scopes": list(grant.scopes),
            "expires_at": stamp(held.expires_at) if held.expires_at else None,
            "created_at": stamp(grant.created_at),
            "used_at": stamp(now()),
        }
        return Response({"token": body})

    @delete("/api/v2/oauth/tokens/{token_id:str}")
    async def revoke(request: AnyRequest, token_id: FromPath[str]) -> None:
        """A token's own end: nothing that came of the same permission works any more."""
        found = oauth.find(bearer(request))
        if found is None:
            unauthorized(token=True)
        if token_id.removesuffix(".json") != "current":
            not_found()
        oauth.revoke_grant(found[2].id)

    return [token, current, revoke]


def _lifetime(form: dict[str, str], name: str, bounds: tuple[int, int], otherwise: int) -> int:
    text = form.get(name, "")
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and bounds[0] <= int(text) <= bounds[1]):
        raise OAuthError("invalid_request", f"{name} must be between {bounds[0]} and {bounds[1]}")
    return int(text)


def _must_be_here(request: AnyRequest, desk: Desk, oauth: OAuthServer, issued: Issued) -> None:
    """A code of another account's is unknown on this account's host."""
    host = request.scope.get(HOST)
    if host and host != desk.hosts[issued.grant.account]:
        oauth.revoke(issued.access_token)
        raise OAuthError("invalid_grant", "The provided authorization grant is invalid")
