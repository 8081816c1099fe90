"""Connect's OAuth endpoints: a platform exchanges codes with its secret, and deauthorises accounts."""

import secrets

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import basic, bearer, token_form
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthError, OAuthServer
from trunkline_connectors.stripe.simulator_versions import Doc

_WORDS = {
    "code": "Authorization code does not exist or was already used",
    "refresh_token": "Refresh token does not exist or was revoked",
}


def connect_routes(oauth: OAuthServer) -> list[HTTPRouteHandler]:
    def platform(request: AnyRequest, form: dict[str, str]) -> OAuthClient:
        """By the secret, in the body or as a key in the header; a client id need not be sent."""
        secret = form.get("client_secret") or bearer(request) or basic(request)[0]
        for client in oauth.clients.values():
            if secret and secrets.compare_digest(client.client_secret.encode(), secret.encode()):
                return client
        raise OAuthError("invalid_client", "No application matches the supplied client identifier or secret")

    @post(["/oauth/token", "/v1/oauth/token"], status_code=200)
    async def token(request: AnyRequest) -> Response[Doc]:
        form = await token_form(request)
        try:
            client = platform(request, form)
            form |= {"client_id": client.client_id, "client_secret": client.client_secret}
            if form.get("grant_type") == "authorization_code":
                # Stripe takes the code alone; a redirect_uri that is sent anyway changes nothing.
                form["redirect_uri"] = oauth.redirect_of(form.get("code", "")) or ""
            issued = oauth.token(form)
        except OAuthError as error:
            return _refused(error)
        return Response(
            {
                "access_token": issued.access_token,
                "livemode": True,
                "refresh_token": issued.refresh_token,
                "token_type": "bearer",
                "stripe_publishable_key": f"pk_live_{secrets.token_hex(12)}",
                "stripe_user_id": issued.grant.account,
                "scope": " ".join(issued.grant.scopes),
            },
            headers={"Cache-Control": "no-store"},
        )

    @post("/oauth/deauthorize", status_code=200)
    async def deauthorize(request: AnyRequest) -> Response[Doc]:
        form = await token_form(request)
        account = form.get("stripe_user_id", "")
        try:
            client = platform(request, form)
        except OAuthError as error:
            return _refused(error)
        if form.get("client_id", "") != client.client_id:
            return _refused(OAuthError("invalid_client", "No such application"))
        live = [
            grant
            for grant in oauth.grants.values()
            if (grant.client_id, grant.account) == (client.client_id, account) and not grant.revoked_at
        ]
        if not live:
            message = f"This application is not connected to stripe account {account[:50]}"
            return _refused(OAuthError("invalid_client", message))
        for grant in live:
            oauth.revoke_grant(grant.id)
        return Response({"stripe_user_id": account})

    return [token, deauthorize]


def _refused(error: OAuthError) -> Response[Doc]:
    status = 401 if error.error == "invalid_client" else 400
    description = _WORDS.get(error.reason, error.description)
    return Response({"error": error.error, "error_description": description}, status_code=status)
