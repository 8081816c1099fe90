"""What handlers may ask for by name; `AccessGuard` has run before."""

from typing import Any
from uuid import UUID

from litestar import Request
from litestar.di import Provide

from trunkline.kernel.errors import BadInputError, UnauthenticatedError
from trunkline.kernel.principal import Principal
from trunkline_tenants.schemas import Login


def provide_principal(request: Request[Any, Any, Any]) -> Principal:
    found = request.scope.get("user")
    if not isinstance(found, Principal):
        raise UnauthenticatedError("Sign in first.")
    return found


def provide_tenant_id(request: Request[Any, Any, Any]) -> UUID:
    found = request.scope["state"].get("tenant_id")
    if not isinstance(found, UUID):
        raise BadInputError(
            "Name the tenant: `tenant` in the query or the JSON body, or the header Trunkline-Tenant.",
            field="tenant",
            code="tenant_required",
        )
    return found


def provide_login(request: Request[Any, Any, Any]) -> Login:
    found = request.scope.get("auth")
    if not isinstance(found, Login):
        raise UnauthenticatedError("Sign in first.")
    return found


def provide_csrf_token(request: Request[Any, Any, Any]) -> str:
    return str(request.scope["state"].get("csrf_token", ""))


DEPENDENCIES = {
    "principal": Provide(provide_principal, sync_to_thread=False),
    "tenant_id": Provide(provide_tenant_id, sync_to_thread=False),
    "login": Provide(provide_login, sync_to_thread=False),
    "csrf_token": Provide(provide_csrf_token, sync_to_thread=False),
}
"""For `create_app(dependencies=...)`: principal, tenant_id, login (browser only), csrf_token."""
