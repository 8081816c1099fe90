"""Salesforce's OAuth endpoints. The token answer has no `expires_in`, and names the org's own host."""

import base64
import hashlib
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import bearer, token_form
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_oauth import OAuthError, TokenExpiredError, TokenInvalidError
from trunkline_connectors.salesforce.simulator_org import Records

OAUTH = "/services/oauth2"
_WORDS = {"refresh_token": "expired access/refresh token", "code": "authentication failure - Invalid code"}


def token_routes(records: Records) -> list[HTTPRouteHandler]:
    oauth = records.oauth

    @post(f"{OAUTH}/token", status_code=200)
    async def token(request: AnyRequest) -> Response[Any]:
        form = await token_form(request)
        try:
            issued = oauth.token(form)
        except OAuthError as refused:
            description = _WORDS.get(refused.reason, refused.description)
            return Response({"error": refused.error, "error_description": description}, status_code=400)
        org = records.orgs[issued.grant.account]
        made = str(int(records.now().timestamp() * 1000))
        identity = f"https://login.salesforce.com/id/{org.id}/{org.user}"
        digest = hashlib.sha256(f"{identity}{made}".encode()).digest()
        body = {
            "access_token": issued.access_token,
            "signature": base64.b64encode(digest).decode(),
            "scope": " ".join(issued.grant.scopes),
            "instance_url": f"https://{org.host}",
            "id": identity,
            "token_type": "Bearer",
            "issued_at": made,
        }
        fresh = issued.refresh_token != form.get("refresh_token")
        if fresh and "refresh_token" in issued.grant.scopes:
            body["refresh_token"] = issued.refresh_token
        return Response(body, headers={"Cache-Control": "no-store"})

    @post(f"{OAUTH}/revoke", status_code=200)
    async def revoke(request: AnyRequest) -> Response[Any]:
        if not oauth.revoke((await token_form(request)).get("token", "")):
            body = {
                "error": "unsupported_token_type",
                "error_description": "this token type is not supported",
            }
            return Response(body, status_code=400)
        return Response(None)

    @get([f"{OAUTH}/userinfo", "/id/{org_id:str}/{user_id:str}"])
    async def userinfo(request: AnyRequest) -> Response[Any]:
        try:
            grant = oauth.authenticate(bearer(request))
        except (TokenInvalidError, TokenExpiredError):
            return Response("Bad_OAuth_Token", status_code=403, media_type="text/plain")
        org = records.orgs[grant.account]
        base = f"https://{org.host}"
        return Response(
            {
                "sub": f"https://login.salesforce.com/id/{org.id}/{org.user}",
                "user_id": org.user,
                "organization_id": org.id,
                "preferred_username": f"owner@{org.host.partition('.')[0]}.example",
                "name": f"{org.name} Owner",
                "email": f"owner@{org.host.partition('.')[0]}.example",
                "active": True,
                "urls": {"rest": f"{base}/services/data/v{{version}}/", "custom_domain": base},
            }
        )

    return [token, revoke, userinfo]
