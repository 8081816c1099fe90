"""`/portal/activity`: who did what, newest first, with filters and as a file."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.response import Stream

from trunkline.audit import repository
from trunkline.audit.repository import Entry
from trunkline.audit.service import history
from trunkline.connections.service import ConnectionService
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline.kernel.settings import Settings
from trunkline.recipes import repository as recipes_repository
from trunkline_tenants.directory import Directory
from trunkline_tenants.permissions import can
from trunkline_ui import audit_log
from trunkline_ui.audit_log import Question
from trunkline_ui.portal.common import AnyRequest, Frame, address, asked, see_other
from trunkline_ui.portal.deeds import deed
from trunkline_ui.rendering import Page, page

HOME = "/portal/activity"


class ActivityPages(Controller):
    include_in_schema = False

    @get(HOME)
    async def activity(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        framed: NamedDependency[Frame],
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        connections: NamedDependency[ConnectionService],
    ) -> Page:
        question = _question(request)
        members = {str(one.user_id): one.name for one in await directory.members(tenant_id)}
        async with db.tenant(tenant_id) as session:
            found = await history(session, tenant_id, question.wanted, limit=audit_log.SHOWN + 1)
            accounts = {str(one.id): one.name for one in await connections.list(session, tenant_id)}
            ids = [one for entry in found if (one := _recipe(entry)) is not None]
            recipes = await recipes_repository.names(session, tenant_id, ids)
            actions = await repository.actions(session, tenant_id)
            actors = await repository.actors(session, tenant_id, audit_log.PEOPLE_OFFERED)
            context = await framed(session, HOME)
        names = members | accounts | {str(recipe_id): name for recipe_id, name in recipes.items()}
        export = can(principal, "audit.export")
        shown, previous, following = audit_log.paged(question, HOME, found)
        context |= {
            "deeds": [
                deed(
                    _for_members(entry),
                    names.get(entry.target_id, ""),
                    _address(entry, names),
                    with_address=export,
                )
                for entry in shown
            ],
            "question": question,
            "previous": previous,
            "following": following,
            "actors": audit_log.actor_choices(actors),
            "actions": audit_log.action_choices(actions),
            "targets": _targets(accounts, question, names),
            "file": audit_log.file_address(question, f"{HOME}.csv") if export else "",
        }
        return page("portal/activity.html", context)

    @get(f"{HOME}.csv", opt={"can": "audit.export"})
    async def file(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        settings: NamedDependency[Settings],
        principal: NamedDependency[Principal],
        tenant_id: NamedDependency[UUID],
    ) -> Stream | Response[None]:
        question = _question(request)
        if await audit_log.too_many(db, tenant_id, question):
            return see_other(settings, address(HOME, **question.query), audit_log.TOO_MANY, "warning")
        return await audit_log.csv_file(db, principal, tenant_id, question, "activity", _for_members)


def _question(request: AnyRequest) -> Question:
    return Question(
        actor=asked(request, "actor"),
        action=asked(request, "action"),
        target=asked(request, "target"),
        since=asked(request, "from"),
        until=asked(request, "to"),
        after=asked(request, "after"),
        before=asked(request, "before"),
    )


def _for_members(entry: Entry) -> Entry:
    """Who of the operator's staff acted is said; where they sat is no business of a customer's."""
    return msgspec.structs.replace(entry, address=None) if entry.actor_kind == "staff" else entry


def _targets(accounts: Mapping[str, str], question: Question, names: Mapping[str, str]) -> list[Any]:
    groups: list[Any] = [
        {"label": "Kinds", "options": [("connection", "Connections"), ("recipe", "Recipes")]},
    ]
    if accounts:
        options = [(f"connection:{one}", name) for one, name in accounts.items()]
        groups.append({"label": "Connections", "options": options})
    kind, _, one = question.target.partition(":")
    if one and (kind != "connection" or one not in accounts):
        groups.append({"label": "Now shown", "options": [(question.target, names.get(one, one))]})
    return groups


def _recipe(entry: Entry) -> UUID | None:
    if entry.target_kind != "recipe":
        return None
    try:
        return UUID(entry.target_id)
    except ValueError:
        return None


def _address(entry: Entry, names: Mapping[str, str]) -> str:
    if entry.target_id not in names or entry.action == "recipe.archived":
        return ""
    places = {"connection": "/portal/connections/", "recipe": "/portal/recipes/"}
    place = places.get(entry.target_kind)
    return f"{place}{entry.target_id}" if place else ""
