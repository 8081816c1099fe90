"""Intercom's token endpoint: a code for a token that does not expire, and the uninstallation."""

from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import bearer, token_form
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import OAuthError, OAuthServer
from trunkline_connectors.intercom.simulator_errors import error


def token_routes(oauth: OAuthServer) -> list[HTTPRouteHandler]:
    @post("/auth/eagle/token", status_code=200)
    async def token(request: AnyRequest) -> Response[Any]:
        form = await token_form(request)
        # Neither a grant type nor a redirect_uri is part of Intercom's request.
        form["grant_type"] = "authorization_code"
        form["redirect_uri"] = oauth.redirect_of(form.get("code", "")) or ""
        try:
            issued = oauth.token(form)
        except OAuthError as refused:
            reply = error(
                400 if refused.error == "invalid_grant" else 401, "unauthorized", refused.description
            )
            return Response(reply.body, status_code=reply.status)
        body = {"token_type": "Bearer", "token": issued.access_token, "access_token": issued.access_token}
        return Response(body, headers={"Cache-Control": "no-store"})

    @post("/auth/uninstall", status_code=200)
    async def uninstall(request: AnyRequest) -> Response[Any]:
        if not oauth.revoke(bearer(request)):
            reply = error(401, "unauthorized", "Access Token Invalid")
            return Response(reply.body, status_code=401)
        return Response({})

    return [token, uninstall]
