"""`/console/keys`: the API keys of the installation, for staff administrators only."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.naming import fault
from trunkline.kernel.principal import Principal
from trunkline.kernel.scopes import SCOPES
from trunkline.kernel.settings import Settings
from trunkline_tenants.directory import Directory
from trunkline_tenants.schemas import ApiKeyInfo
from trunkline_ui.console.common import ACT, Frame
from trunkline_ui.portal.common import see_other
from trunkline_ui.rendering import Page, page

HOME = "/console/keys"

LIVES: dict[str, tuple[str, timedelta | None]] = {
    "30": ("In 30 days", timedelta(days=30)),
    "90": ("In 90 days", timedelta(days=90)),
    "365": ("In a year", timedelta(days=365)),
    "never": ("Never", None),
}
OVERLAPS: dict[str, tuple[str, timedelta]] = {
    "0": ("At once", timedelta(0)),
    "1": ("In an hour", timedelta(hours=1)),
    "24": ("In a day", timedelta(days=1)),
    "168": ("In a week", timedelta(days=7)),
}
"""When the old key stops working after a rotation."""


class NewKey(msgspec.Struct):
    name: str = ""
    scope: str = ""
    """all or one."""
    tenant: str = ""
    """A slug, for `one`."""
    scopes: list[str] | str = []
    """A form sends one box as text, several as a list."""
    expires: str = "365"

    @property
    def chosen(self) -> list[str]:
        return [self.scopes] if isinstance(self.scopes, str) else self.scopes


class Rotation(msgspec.Struct):
    overlap: str = "24"
    expires: str = "365"


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
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        directory: NamedDependency[Directory],
    ) -> Page:
        return page("console/keys.html", await _list(framed, db, directory, NewKey(), {}))

    @post(status_code=200)
    async def create(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        data: Annotated[NewKey, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page:
        """The key stands in this answer and nowhere else: no redirect could carry it."""
        errors, tenant_id = {}, None
        if wrong := fault(" ".join(data.name.split()), 120):
            errors["name"] = wrong
        if data.scope not in {"all", "one"}:
            errors["scope"] = "Choose whose data the key opens."
        elif data.scope == "one":
            tenant = await directory.tenant_by_slug(data.tenant.strip())
            tenant_id = tenant.id if tenant else None
            if tenant_id is None:
                errors["tenant"] = "No tenant has this slug. The list of tenants shows it under each name."
        if not set(data.chosen) & set(SCOPES):
            errors["scopes"] = "Choose at least one thing that the key may do."
        if data.expires not in LIVES:
            errors["expires"] = "Choose when the key expires."
        plain = ""
        if not errors:
            try:
                plain, _ = await directory.create_api_key(
                    data.name,
                    tenant_id=tenant_id,
                    scopes=data.chosen,
                    expires_at=_expiry(data.expires),
                    by=principal,
                )
            except BadInputError as error:
                errors[error.field or "name"] = error.message
        kept = data if errors else NewKey()
        context = await _list(framed, db, directory, kept, errors)
        return page("console/keys.html", context | {"plain": plain}, status=422 if errors else 200)

    @get("/{key_id:uuid}/rotate")
    async def ask_rotation(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        directory: NamedDependency[Directory],
        key_id: FromPath[UUID],
    ) -> Page:
        found = await _one(directory, key_id)
        return page("console/rotate.html", await _rotation(framed, db, found, Rotation(), {}))

    @post("/{key_id:uuid}/rotate", status_code=200)
    async def rotate(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        key_id: FromPath[UUID],
        data: Annotated[Rotation, Body(media_type=RequestEncodingType.URL_ENCODED)],
    ) -> Page:
        """The new key stands in this answer and nowhere else."""
        found, errors = await _one(directory, key_id), {}
        if data.overlap not in OVERLAPS:
            errors["overlap"] = "Choose when the old key stops working."
        if data.expires not in LIVES:
            errors["expires"] = "Choose when the new key expires."
        if errors:
            context = await _rotation(framed, db, found, data, errors)
            return page("console/rotate.html", context, status=422)
        plain, _ = await directory.rotate_api_key(
            key_id, overlap=OVERLAPS[data.overlap][1], expires_at=_expiry(data.expires), by=principal
        )
        context = await _list(framed, db, directory, NewKey(), {})
        return page("console/keys.html", context | {"plain": plain})

    @get("/{key_id:uuid}/revoke")
    async def ask(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        directory: NamedDependency[Directory],
        key_id: FromPath[UUID],
    ) -> Page:
        found = await _one(directory, key_id)
        async with db.console() as session:
            context = await framed(session, HOME)
        return page("console/revoke.html", context | {"key": found})

    @post("/{key_id:uuid}/revoke", status_code=303)
    async def revoke(
        self,
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        key_id: FromPath[UUID],
    ) -> Response[None]:
        found = await _one(directory, key_id)
        await directory.revoke_api_key(key_id, tenant_id=found.tenant_id, by=principal)
        return see_other(
            settings, HOME, f"“{found.name}” is revoked. Whoever uses it is refused from now on."
        )


async def _one(directory: Directory, key_id: UUID) -> ApiKeyInfo:
    """NotFoundError also for one that is revoked already."""
    for key in await directory.every_api_key():
        if key.id == key_id and key.revoked_at is None:
            return key
    raise NotFoundError


def _expiry(choice: str) -> datetime | None:
    life = LIVES[choice][1]
    return None if life is None else now() + life


def _options(choices: Mapping[str, tuple[str, Any]]) -> list[tuple[str, str]]:
    return [(value, words) for value, (words, _) in choices.items()]


async def _rotation(
    framed: Frame,
    db: Database,
    key: ApiKeyInfo,
    form: Rotation,
    errors: dict[str, str],
) -> dict[str, Any]:
    async with db.console() as session:
        context = await framed(session, HOME)
    choices = {"lives": _options(LIVES), "overlaps": _options(OVERLAPS)}
    return context | choices | {"key": key, "form": form, "errors": errors}


async def _list(
    framed: Frame,
    db: Database,
    directory: Directory,
    form: NewKey,
    errors: dict[str, str],
) -> dict[str, Any]:
    tenants = {tenant.id: tenant.name for tenant in await directory.tenants()}
    keys = await directory.every_api_key()
    # what still opens something first, the newest first
    keys.sort(key=lambda key: (key.revoked_at is not None, -key.created_at.timestamp()))
    async with db.console() as session:
        context = await framed(session, HOME)
    lines = [
        KeyLine(key, tenants.get(key.tenant_id, "A removed tenant") if key.tenant_id else "") for key in keys
    ]
    return context | {
        "lines": lines,
        "form": form,
        "errors": errors,
        "plain": "",
        "scopes": SCOPES,
        "lives": _options(LIVES),
        "moment": now(),
    }
