"""`/console/packages`: partners' connectors, taken in, examined, compared."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.params import FromPath

from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.packages import repository
from trunkline.packages.archive import LIMIT
from trunkline.packages.service import PackageService
from trunkline_tenants.directory import Directory
from trunkline_ui.console.actions import unfit
from trunkline_ui.console.common import Frame
from trunkline_ui.console.package_view import context_of, line, named
from trunkline_ui.portal.common import AnyRequest, see_other
from trunkline_ui.rendering import Page, page

HOME = "/console/packages"
MANAGE = {"can": "packages.manage"}
"""`opt` of what only staff administrators may do."""
ROOM = 64 * 1024
"""Bytes that a form may have beside the archive."""
MOST_OTHERS = 50
"""Connections on other versions that a version's page lists."""


class Upload(msgspec.Struct):
    partner: str = ""
    reason: str = ""


class PackagePages(Controller):
    include_in_schema = False
    path = HOME

    @get()
    async def table(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        packages: NamedDependency[PackageService],
    ) -> Page:
        return page("console/packages.html", await _list(framed, db, packages, Upload(), {}))

    @post(status_code=303, opt=MANAGE, request_max_body_size=LIMIT + ROOM)
    async def take_in(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        packages: NamedDependency[PackageService],
    ) -> Response[None] | Page:
        sent = await request.form()
        form = Upload(*(str(sent.get(name, ""))[:2000] for name in ("partner", "reason")))
        given, errors = sent.get("archive"), {}
        raw = await given.read() if isinstance(given, UploadFile) else b""
        if words := unfit(form.reason.strip()):
            errors["reason"] = words
        else:
            try:
                made = await packages.take_in(principal, raw, form.partner, form.reason.strip())
            except (BadInputError, ConflictError) as error:
                errors[error.field or "archive"] = error.message
            else:
                text = f"{made.connector} {made.version} is taken in. Nobody can connect it yet."
                answer = see_other(settings, f"{HOME}/{made.id}", text)
                if request.headers.get("hx-request") == "true":  # a page of its own, with its address
                    answer.status_code = 204
                    answer.headers["hx-redirect"] = answer.headers.pop("location")
                return answer
        context = await _list(framed, db, packages, form, errors)
        return page("console/packages.html", context, status=422)

    @get("/{package_id:uuid}")
    async def show(
        self,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        packages: NamedDependency[PackageService],
        directory: NamedDependency[Directory],
        package_id: FromPath[UUID],
    ) -> Page:
        context = await shown(framed, db, packages, directory, package_id, {}, {})
        return page("console/package.html", context, block="live")

    @get("/{package_id:uuid}/archive", opt=MANAGE)
    async def archive(
        self, packages: NamedDependency[PackageService], package_id: FromPath[UUID]
    ) -> Response[bytes]:
        """For reading and testing elsewhere; nothing in it runs here."""
        kept = await packages.get(package_id)
        return Response(
            await packages.archive(package_id),
            media_type="application/zip",
            headers={
                "content-disposition": f'attachment; filename="{kept.connector}-{kept.version}.zip"',
                "cache-control": "no-store",
            },
        )


async def shown(
    framed: Frame,
    db: Database,
    packages: PackageService,
    directory: Directory,
    package_id: UUID,
    form: dict[str, str],
    errors: dict[str, str],
) -> dict[str, Any]:
    """Everything of a version's page; `form` and `errors` of a step that was refused."""
    kept = await packages.get(package_id)
    everything = await packages.everything()
    approvals = await packages.approvals()
    mine = approvals.get(package_id, [])
    async with db.console() as session:
        context = await framed(session, "/console/connectors")
        used = await repository.in_use(session)
        others = await repository.elsewhere(session, kept.connector, kept.version, MOST_OTHERS + 1)
    tenants = await directory.tenants_of([one.tenant_id for one in others])
    context |= context_of(kept, everything, set(approvals))
    context |= {
        "line": line(kept, mine, used),
        "lines": [
            line(one, approvals.get(one.id, []), used)
            for one in everything
            if one.connector == kept.connector
        ],
        "others": [(one, tenants[one.tenant_id]) for one in others[:MOST_OTHERS] if one.tenant_id in tenants],
        "more_others": len(others) > MOST_OTHERS,
        "approved": named(mine, await directory.tenants_of(mine)),
        "may_manage": framed.may("packages.manage"),
        "form": form,
        "errors": errors,
        "here": f"{HOME}/{package_id}",
    }
    return context


async def _list(
    framed: Frame,
    db: Database,
    packages: PackageService,
    form: Upload,
    errors: dict[str, str],
) -> dict[str, Any]:
    approvals = await packages.approvals()
    async with db.console() as session:
        context = await framed(session, "/console/connectors")
        used = await repository.in_use(session)
    return context | {
        "lines": [line(one, approvals.get(one.id, []), used) for one in await packages.everything()],
        "may_manage": framed.may("packages.manage"),
        "form": form,
        "errors": errors,
        "most": LIMIT,
        "megabytes": LIMIT // (1024 * 1024),
    }
