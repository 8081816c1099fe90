"""HTTP of the simulated Pipedrive's token endpoints."""

from collections.abc import Sequence

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import basic, token_form
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import OAuthError, OAuthServer
from trunkline_connectors.pipedrive.simulator_crm import Body
from trunkline_connectors.pipedrive.simulator_seed import Company


def token_routes(oauth: OAuthServer, companies: Sequence[Company]) -> list[HTTPRouteHandler]:
    by_id = {company.id: company for company in companies}

    @post("/oauth/token", status_code=200)
    async def token(request: AnyRequest) -> Response[Body]:
        try:
            _must_be_basic(request)
            issued = oauth.token(await token_form(request))
        except OAuthError as error:
            return _refused(error)
        body = {
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "refresh_token": issued.refresh_token,
            "scope": ",".join(issued.grant.scopes),
            "expires_in": issued.expires_in,
            "api_domain": f"https://{by_id[issued.grant.account].account.host}",
        }
        return Response(body, headers={"Cache-Control": "no-store"})

    @post("/oauth/revoke", status_code=200)
    async def revoke(request: AnyRequest) -> Response[Body]:
        form = await token_form(request)
        try:
            _must_be_basic(request)
            client = oauth.check_client(form.get("client_id", ""), form.get("client_secret", ""))
        except OAuthError as error:
            return _refused(error)
        found = oauth.find(form.get("token", ""), client.client_id)
        if found is not None:
            # Either token ends the app's installation.
            oauth.revoke_grant(found[2].id)
        return Response({"success": True})

    return [token, revoke]


def _must_be_basic(request: AnyRequest) -> None:
    if not basic(request)[0]:
        raise OAuthError("invalid_client", "Client authentication by HTTP Basic is required")


def _refused(error: OAuthError) -> Response[Body]:
    status = 401 if error.error == "invalid_client" else 400
    body = {"success": False, "error": error.error, "message": error.description}
    return Response(body, status_code=status, headers={"Cache-Control": "no-store"})
