"""Steps of a partner's connector: approve, take back, withdraw, restore; each only with a reason."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Controller, Response, post
from litestar.di import NamedDependency, Provide
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath

from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.packages.service import PackageService
from trunkline_tenants.directory import Directory
from trunkline_ui.console.actions import unfit
from trunkline_ui.console.common import Frame
from trunkline_ui.console.packages import HOME, MANAGE, shown
from trunkline_ui.portal.common import see_other
from trunkline_ui.rendering import Page, page

MOST_TENANTS = 200
"""Of one approval; more than that are all."""


class Step(msgspec.Struct):
    """One form each; `reason` in all of them."""

    reason: str = ""
    whom: str = ""
    """all or some."""
    tenants: str = ""
    """Slugs."""
    tenant: str = ""
    """A slug, or all."""
    effect: str = ""
    """keep or pause."""


Form = Annotated[Step, Body(media_type=RequestEncodingType.URL_ENCODED)]


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """The version that a step is about, and what a step takes."""

    id: UUID
    framed: Frame
    db: Database
    settings: Settings
    principal: Principal
    packages: PackageService
    directory: Directory

    async def done(
        self, name: str, data: Step, step: Callable[[str], Awaitable[str]]
    ) -> Response[None] | Page:
        """The same for each: a reason, the step, back to the page; or the page with what is wrong."""
        reason = data.reason.strip()
        wrong = unfit(reason)
        if wrong:
            errors = {f"{name}-reason": wrong}
        else:
            try:
                return see_other(self.settings, f"{HOME}/{self.id}", await step(reason))
            except BadInputError as error:
                errors = {f"{name}-{error.field}": error.message}
            except ConflictError as error:
                errors = {f"{name}-reason": error.message}
        form = {f"{name}-{field}": value for field, value in msgspec.structs.asdict(data).items()}
        context = await shown(self.framed, self.db, self.packages, self.directory, self.id, form, errors)
        return page("console/package.html", context, status=422)


def provide_package(
    framed: NamedDependency[Frame],
    db: NamedDependency[Database],
    settings: NamedDependency[Settings],
    principal: NamedDependency[Principal],
    packages: NamedDependency[PackageService],
    directory: NamedDependency[Directory],
    package_id: FromPath[UUID],
) -> Package:
    return Package(
        id=package_id,
        framed=framed,
        db=db,
        settings=settings,
        principal=principal,
        packages=packages,
        directory=directory,
    )


class PackageSteps(Controller):
    include_in_schema = False
    path = f"{HOME}/{{package_id:uuid}}"
    opt = MANAGE
    dependencies = {"one": Provide(provide_package, sync_to_thread=False)}  # noqa: RUF012  Litestar's way

    @post("/approve", status_code=303)
    async def approve(self, one: NamedDependency[Package], data: Form) -> Response[None] | Page:
        async def step(reason: str) -> str:
            if data.whom not in {"all", "some"}:
                raise BadInputError("Choose who may connect it.", field="whom")
            chosen = None if data.whom == "all" else await _tenants(one.directory, data.tenants)
            count = await one.packages.approve(one.principal, one.id, chosen, reason)
            if chosen is None:
                return "Every tenant may connect it now." if count else "Every tenant may connect it already."
            return f"{count} more {'tenant' if count == 1 else 'tenants'} may connect it now."

        return await one.done("approve", data, step)

    @post("/disapprove", status_code=303)
    async def disapprove(self, one: NamedDependency[Package], data: Form) -> Response[None] | Page:
        async def step(reason: str) -> str:
            if data.tenant == "all":
                tenant_id = OPERATOR
            else:
                [tenant_id] = await _tenants(one.directory, data.tenant, field="tenant")
            await one.packages.disapprove(one.principal, one.id, tenant_id, reason)
            return "No new accounts are connected through it there. What is connected keeps on."

        return await one.done("disapprove", data, step)

    @post("/withdraw", status_code=303)
    async def withdraw(self, one: NamedDependency[Package], data: Form) -> Response[None] | Page:
        async def step(reason: str) -> str:
            if data.effect not in {"keep", "pause"}:
                raise BadInputError("Choose what becomes of its connections.", field="effect")
            await one.packages.withdraw(one.principal, one.id, reason, pausing=data.effect == "pause")
            return "It is withdrawn: nobody can connect it any more."

        return await one.done("withdraw", data, step)

    @post("/restore", status_code=303)
    async def restore(self, one: NamedDependency[Package], data: Form) -> Response[None] | Page:
        async def step(reason: str) -> str:
            await one.packages.undo(one.principal, one.id, reason)
            return "The withdrawal is undone. What it paused goes on by itself."

        return await one.done("restore", data, step)


async def _tenants(directory: Directory, text: str, *, field: str = "tenants") -> list[UUID]:
    """By their slugs. Raises BadInputError naming the first that is none."""
    slugs = list(dict.fromkeys(re.split(r"[\s,;]+", text.strip())))[: MOST_TENANTS + 1]
    if slugs == [""]:
        raise BadInputError("Name at least one tenant by its slug.", field=field)
    if len(slugs) > MOST_TENANTS:
        raise BadInputError(f"Name at most {MOST_TENANTS} tenants at a time.", field=field)
    found = []
    for slug in slugs:
        tenant = await directory.tenant_by_slug(slug[:100])
        if tenant is None:
            raise BadInputError(
                f'No tenant has the slug "{slug[:60]}". The list of tenants shows it under each name.',
                field=field,
            )
        found.append(tenant.id)
    return found
