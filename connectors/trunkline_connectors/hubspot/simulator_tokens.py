"""HTTP of the simulated HubSpot's token endpoints: v1, v3 and dated."""

from collections.abc import Mapping, Sequence
from uuid import uuid4

from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import Grant, OAuthError, OAuthServer, Token
from trunkline_connectors.hubspot.simulator_crm import Body
from trunkline_connectors.hubspot.simulator_errors import not_found
from trunkline_connectors.hubspot.simulator_seed import Portal

_TOKEN = ("/oauth/v1/token", "/oauth/v3/token", "/oauth/2026-03/token")
_STATUS = {
    "client_id": "BAD_CLIENT_ID",
    "client_secret": "BAD_CLIENT_SECRET",
    "code": "BAD_AUTH_CODE",
    "code_verifier": "BAD_AUTH_CODE",
    "redirect_uri": "BAD_REDIRECT_URI",
    "refresh_token": "BAD_REFRESH_TOKEN",
    "grant_type": "BAD_GRANT_TYPE",
}
"""The old names beside RFC 6749's; only BAD_REFRESH_TOKEN is confirmed (provider-facts)."""
APP_ID = 3_812_001


def token_routes(oauth: OAuthServer, portals: Sequence[Portal], now: Now) -> list[HTTPRouteHandler]:
    by_id = {portal.id: portal for portal in portals}

    @post(list(_TOKEN), status_code=200)
    async def token(request: AnyRequest) -> Response[Body]:
        try:
            issued = oauth.token(await _form(request))
        except OAuthError as error:
            return _oauth_error(error)
        body: Body = {
            "token_type": "bearer",
            "refresh_token": issued.refresh_token,
            "access_token": issued.access_token,
            "expires_in": issued.expires_in,
        }
        if "/v1/" not in request.scope["path"]:
            portal = by_id[issued.grant.account]
            body |= {
                "token_use": "access_token",
                "hub_id": int(portal.id),
                "user_id": portal.user_id,
                "scopes": list(issued.grant.scopes),
            }
        return Response(body, headers={"Cache-Control": "no-store"})

    @post([f"{path}/introspect" for path in _TOKEN[1:]], status_code=200)
    async def introspect(request: AnyRequest) -> Response[Body]:
        form = await _form(request)
        try:
            client = oauth.check_client(form.get("client_id", ""), form.get("client_secret", ""))
        except OAuthError as error:
            return _oauth_error(error)
        value = form.get("token", "")
        found = oauth.find(value, client.client_id)
        if found is None:
            return Response({"active": False})
        kind, held, grant = found
        body = {"active": True, "token_use": f"{kind}_token", **described(value, held, grant)}
        return Response(body, headers={"Cache-Control": "no-store"})

    @post([f"{path}/revoke" for path in _TOKEN[1:]], status_code=200)
    async def revoke(request: AnyRequest) -> Response[Body]:
        form = await _form(request)
        try:
            client = oauth.check_client(form.get("client_id", ""), form.get("client_secret", ""))
        except OAuthError as error:
            return _oauth_error(error)
        # RFC 7009: an unknown token is answered like a known one.
        oauth.revoke(form.get("token", ""), client.client_id)
        return Response({})

    @get("/oauth/v1/access-tokens/{value:str}")
    async def access_token(value: FromPath[str]) -> Body:
        found = oauth.find(value)
        if found is None or found[0] != "access":
            not_found("The access token is unknown or has expired")
        return described(value, found[1], found[2])

    @get("/oauth/v1/refresh-tokens/{value:str}")
    async def refresh_token(value: FromPath[str]) -> Body:
        found = oauth.find(value)
        if found is None or found[0] != "refresh":
            not_found("The refresh token is unknown")
        return described(value, found[1], found[2])

    @delete("/oauth/v1/refresh-tokens/{value:str}")
    async def delete_refresh_token(value: FromPath[str]) -> None:
        found = oauth.find(value)
        if found is None or found[0] != "refresh":
            not_found("The refresh token is unknown")
        oauth.revoke(value)

    def described(value: str, held: Token, grant: Grant) -> Body:
        portal = by_id[grant.account]
        body: Body = {
            "token": value,
            "user": portal.user,
            "hub_domain": portal.domain,
            "scopes": list(grant.scopes),
            "hub_id": int(portal.id),
            "user_id": portal.user_id,
            "client_id": grant.client_id,
            "token_type": "access" if held.expires_at else "refresh",
        }
        if held.expires_at:
            body |= {
                "app_id": APP_ID,
                "expires_in": max(0, int((held.expires_at - now()).total_seconds())),
            }
        return body

    return [token, introspect, revoke, access_token, refresh_token, delete_refresh_token]


async def _form(request: AnyRequest) -> Mapping[str, str]:
    return {name: str(value) for name, value in (await request.form()).items()}


def _oauth_error(error: OAuthError) -> Response[Body]:
    """RFC 6749's fields beside the older ones."""
    return Response(
        {
            "status": _STATUS.get(error.reason, "BAD_REQUEST"),
            "message": error.description,
            "correlationId": str(uuid4()),
            "category": "VALIDATION_ERROR",
            "error": error.error,
            "error_description": error.description,
        },
        status_code=400,
        headers={"Cache-Control": "no-store"},
    )
