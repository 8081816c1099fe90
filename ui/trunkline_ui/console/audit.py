"""`/console/audit` and `/console/tenants/{tenant}/audit`: the installation's own log, and a tenant's.

Who may see people reads in the tenant's scope; anybody else in the console's role, which the database lets
read neither names nor reasons nor addresses.
"""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit import repository
from trunkline.audit.repository import Entry
from trunkline.audit.service import history
from trunkline.health import across
from trunkline.kernel.db import OPERATOR, Database
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline_tenants.directory import Directory
from trunkline_tenants.errors import UnknownTenantError
from trunkline_tenants.permissions import can
from trunkline_ui import audit_log
from trunkline_ui.audit_log import Question
from trunkline_ui.console.common import Frame
from trunkline_ui.portal.changed import Difference
from trunkline_ui.portal.common import AnyRequest, address, asked, see_other
from trunkline_ui.portal.deeds import changes
from trunkline_ui.rendering import Page, page

HOME = "/console/audit"
FILE = {"can": "console.people"}
UUID_LENGTH = 36


class Line(msgspec.Struct, frozen=True, kw_only=True):
    entry: Entry
    who: str
    what: str
    about: str
    """Address of the same list with the entries about this target only."""
    short: str
    """Of the target's id: the end, which tells UUIDs of one day apart."""
    changes: list[Difference]


class AuditPages(Controller):
    include_in_schema = False

    @get(HOME)
    async def of_installation(
        self,
        request: AnyRequest,
        framed: NamedDependency[Frame],
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
    ) -> Page:
        return await _page(framed, request, db, principal, OPERATOR, HOME, {"name": "", "slug": ""})

    @get(f"{HOME}.csv", opt=FILE)
    async def file_of_installation(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
    ) -> Stream | Response[None]:
        return await _file(request, db, settings, principal, OPERATOR, HOME, "audit-operator")

    @get("/console/tenants/{tenant:str}/audit")
    async def of_tenant(
        self,
        request: AnyRequest,
        framed: NamedDependency[Frame],
        db: NamedDependency[Database],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
    ) -> Page:
        known = await directory.tenant_by_slug(tenant)
        if known is None:
            raise UnknownTenantError
        shown = {"name": known.name, "slug": known.slug}
        return await _page(
            framed, request, db, principal, tenant_id, f"/console/tenants/{known.slug}/audit", shown
        )

    @get("/console/tenants/{tenant:str}/audit.csv", opt=FILE)
    async def file_of_tenant(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
        tenant: FromPath[str],
    ) -> Stream | Response[None]:
        here = f"/console/tenants/{tenant}/audit"
        return await _file(request, db, settings, principal, tenant_id, here, f"audit-{tenant}")


async def _page(
    framed: Frame,
    request: AnyRequest,
    db: Database,
    principal: Principal,
    tenant_id: UUID,
    here: str,
    tenant: dict[str, str],
) -> Page:
    people = can(principal, "console.people")
    question = _question(request, people=people)
    async with db.console() as session:
        open_issues = await across.count_open(session)
        if not people:
            entries, actions, actors = await _read(session, tenant_id, question, people=False)
    if people:
        async with db.tenant(tenant_id) as session:
            entries, actions, actors = await _read(session, tenant_id, question, people=True)
    shown, previous, following = audit_log.paged(question, here, entries)
    context = framed.counted("/console" if tenant["slug"] else HOME, open_issues)
    context |= {
        "tenant": tenant,
        "here": here,
        "people": people,
        "question": question,
        "lines": [_line(entry, here) for entry in shown],
        "previous": previous,
        "following": following,
        "actors": audit_log.actor_choices(actors),
        "actions": audit_log.action_choices(actions),
        "targets": _targets(actions, question),
        "file": audit_log.file_address(question, f"{here}.csv") if people else "",
    }
    return page("console/audit.html", context)


async def _read(
    session: AsyncSession, tenant_id: UUID, question: Question, *, people: bool
) -> tuple[list[Entry], list[str], list[tuple[str, str, str]]]:
    entries = await history(session, tenant_id, question.wanted, limit=audit_log.SHOWN + 1, people=people)
    actions = await repository.actions(session, tenant_id)
    if not people:
        return entries, actions, []
    return entries, actions, await repository.actors(session, tenant_id, audit_log.PEOPLE_OFFERED)


async def _file(
    request: AnyRequest,
    db: Database,
    settings: Settings,
    principal: Principal,
    tenant_id: UUID,
    here: str,
    name: str,
) -> Stream | Response[None]:
    question = _question(request, people=True)
    if await audit_log.too_many(db, tenant_id, question):
        return see_other(settings, address(here, **question.query), audit_log.TOO_MANY, "warning")
    return await audit_log.csv_file(db, principal, tenant_id, question, name)


def _question(request: AnyRequest, *, people: bool) -> Question:
    actor = asked(request, "actor")
    return Question(
        actor=actor if people else actor.partition(":")[0],
        action=asked(request, "action"),
        target=asked(request, "target"),
        since=asked(request, "from"),
        until=asked(request, "to"),
        after=asked(request, "after"),
        before=asked(request, "before"),
    )


def _line(entry: Entry, here: str) -> Line:
    kind = {"member": "A member", "staff": "Staff", "api_key": "An API key", "end_user": "An end user"}
    return Line(
        entry=entry,
        who=entry.actor
        or kind.get(entry.actor_kind, audit_log.KINDS.get(entry.actor_kind, entry.actor_kind)),
        what=audit_log.action_words(entry.action),
        about=address(here, target=f"{entry.target_kind}:{entry.target_id}"),
        short=f"…{entry.target_id[-8:]}" if len(entry.target_id) == UUID_LENGTH else entry.target_id,
        changes=changes(entry),
    )


def _targets(actions: list[str], question: Question) -> list[Any]:
    """The nouns of the log's actions; with an id, what is shown now."""
    nouns = sorted({action.partition(".")[0] for action in actions})
    options: list[Any] = [(noun, noun.replace("_", " ").capitalize()) for noun in nouns]
    if question.target and question.target not in nouns:
        kind, _, one = question.target.partition(":")
        options.append((question.target, f"{kind.replace('_', ' ').capitalize()} {one}"))
    return options
