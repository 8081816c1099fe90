"""`/console/keys`: the API keys of the installation, for staff administrators only."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.audit.service import append
from trunkline.health import across
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline_tenants.directory import Directory
from trunkline_tenants.schemas import ApiKeyInfo
from trunkline_ui.console.common import ACT, frame
from trunkline_ui.portal.common import AnyRequest, see_other, usable
from trunkline_ui.rendering import Page, page

HOME = "/console/keys"


class NewKey(msgspec.Struct):
    name: str = ""
    scope: str = ""
    """all or one."""
    tenant: str = ""
    """A slug, for `one`."""


class KeyLine(msgspec.Struct, frozen=True):
    key: ApiKeyInfo
    tenant: str
    """Name of the one it is bound to; empty for a key for all."""


class KeyPages(Controller):
    include_in_schema = False
    path = HOME
    opt = ACT

    @get()
    async def keys(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
    ) -> Page:
        return page("console/keys.html", await _list(request, db, principal, directory, NewKey(), {}))

    @post(status_code=200)
    async def create(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        data: Annotated[NewKey, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page:
        """The key stands in this answer and nowhere else: no redirect could carry it."""
        errors, tenant_id = {}, None
        if not usable(data.name):
            errors["name"] = "A name needs 1 to 120 printable characters."
        if data.scope not in {"all", "one"}:
            errors["scope"] = "Choose whose data the key opens."
        elif data.scope == "one":
            tenant = await directory.tenant_by_slug(data.tenant.strip())
            tenant_id = tenant.id if tenant else None
            if tenant_id is None:
                errors["tenant"] = "No tenant has this slug. The list of tenants shows it under each name."
        plain = ""
        if not errors:
            try:
                plain, made = await directory.create_api_key(data.name, tenant_id=tenant_id)
            except BadInputError as error:
                errors[error.field or "name"] = error.message
            else:
                await _audit(db, principal, "api_key.created", made)
        kept = data if errors else NewKey()
        context = await _list(request, db, principal, directory, kept, errors)
        return page("console/keys.html", context | {"plain": plain}, status=422 if errors else 200)

    @get("/{key_id:uuid}/revoke")
    async def ask(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        key_id: FromPath[UUID],
    ) -> Page:
        found = await _one(directory, key_id)
        async with db.console() as session:
            context = frame(request, principal, HOME, await across.count_open(session))
        return page("console/revoke.html", context | {"key": found})

    @post("/{key_id:uuid}/revoke", status_code=303)
    async def revoke(
        self,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        key_id: FromPath[UUID],
    ) -> Response[None]:
        found = await _one(directory, key_id)
        await directory.revoke_api_key(key_id, tenant_id=found.tenant_id)
        await _audit(db, principal, "api_key.revoked", found)
        return see_other(
            settings, HOME, f"“{found.name}” is revoked. Whoever uses it is refused from now on."
        )


async def _one(directory: Directory, key_id: UUID) -> ApiKeyInfo:
    """NotFoundError also for one that is revoked already."""
    for key in await directory.every_api_key():
        if key.id == key_id and key.revoked_at is None:
            return key
    raise NotFoundError


async def _audit(db: Database, principal: Principal, action: str, key: ApiKeyInfo) -> None:
    """In the installation's own log: a tenant did not do it."""
    detail = {"name": key.name, "prefix": key.prefix, "tenant_id": str(key.tenant_id or "")}
    async with db.tenant(OPERATOR) as session:
        await append(session, principal, action, "api_key", key.id, detail, tenant_id=OPERATOR)


async def _list(
    request: AnyRequest,
    db: Database,
    principal: Principal,
    directory: Directory,
    form: NewKey,
    errors: dict[str, str],
) -> dict[str, Any]:
    tenants = {tenant.id: tenant.name for tenant in await directory.tenants()}
    keys = await directory.every_api_key()
    # what still opens something first, the newest first
    keys.sort(key=lambda key: (key.revoked_at is not None, -key.created_at.timestamp()))
    async with db.console() as session:
        context = frame(request, principal, HOME, await across.count_open(session))
    lines = [
        KeyLine(key, tenants.get(key.tenant_id, "A removed tenant") if key.tenant_id else "") for key in keys
    ]
    return context | {"lines": lines, "form": form, "errors": errors, "plain": ""}
