"""An audit log on a page, the portal's or the console's: what is asked for, choices, pages, the file."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar.response import Stream

from trunkline.audit import repository
from trunkline.audit.export import MOST, csv_lines
from trunkline.audit.repository import Entry, Wanted
from trunkline.audit.service import append
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline_ui.portal.common import address, pages

SHOWN = 50
PEOPLE_OFFERED = 50
"""In the choice of who; somebody else is found by the kind, or by the file."""

KINDS = {
    "member": "Members",
    "staff": "Support",
    "api_key": "API keys",
    "end_user": "End users",
    "system": "Trunkline itself",
}
TOO_MANY = (
    f"More than {MOST:,} entries match, which is too many for one file. Choose a shorter time and try again."
)

Choices = list[Any]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks of a log, as it stands in the address; what cannot be meant is as if not asked."""

    actor: str = ""
    """A kind, or kind:id."""
    action: str = ""
    target: str = ""
    """A kind, or kind:id."""
    since: str = ""
    until: str = ""
    """Days, the last included, in UTC."""
    after: str = ""
    before: str = ""

    @property
    def query(self) -> dict[str, object]:
        """Without the place in the list."""
        return {
            "actor": self.actor,
            "action": self.action,
            "target": self.target,
            "from": self.since if _day(self.since) else "",
            "to": self.until if _day(self.until) else "",
        }

    @property
    def narrows(self) -> bool:
        return any(self.query.values())

    @property
    def wanted(self) -> Wanted:
        actor_kind, _, actor_id = self.actor.partition(":")
        target_kind, _, target_id = self.target.partition(":")
        since, until = _day(self.since), _day(self.until)
        return Wanted(
            actor_kind=actor_kind or None,
            actor_id=actor_id or None,
            action=self.action or None,
            target_kind=target_kind or None,
            target_id=target_id or None,
            since=since,
            until=until and until + timedelta(days=1),
            older_than=_number(self.after),
            newer_than=None if _number(self.after) is not None else _number(self.before),
        )


def _day(text: str) -> datetime | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    # what the database's calendar and a day more can hold
    return datetime.combine(found, time(), UTC) if 1970 <= found.year < 9999 else None


def _number(text: str) -> int | None:
    """None for what we did not make: the first page is a better answer than an error."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def paged(question: Question, path: str, found: list[Entry]) -> tuple[list[Entry], str, str]:
    """Of SHOWN + 1 entries asked for: those to show, and the addresses of the pages before and after."""
    wanted = question.wanted
    return pages(
        path,
        found,
        SHOWN,
        lambda entry: entry.sequence,
        question.query,
        at_start=wanted.older_than is None and wanted.newer_than is None,
        back=wanted.newer_than is not None,
    )


def file_address(question: Question, path: str) -> str:
    return address(path, **question.query)


def action_words(action: str) -> str:
    """connection.sync_requested -> Connection: sync requested."""
    noun, _, verb = action.replace("_", " ").partition(".")
    return f"{noun.capitalize().replace('Api', 'API').replace('Oauth', 'OAuth')}: {verb}"


def action_choices(actions: Iterable[str]) -> Choices:
    return [(action, action_words(action)) for action in actions]


def actor_choices(actors: Sequence[tuple[str, str, str]]) -> Choices:
    """`actors`: (kind, id, name), empty where nobody may be named."""
    people = [(f"{kind}:{identity}", name) for kind, identity, name in actors if kind != "system"]
    groups: Choices = [{"label": "Kinds", "options": list(KINDS.items())}]
    if people:
        groups.append({"label": "Who", "options": sorted(people, key=lambda one: one[1].casefold())})
    return groups


async def too_many(db: Database, tenant_id: UUID, question: Question) -> bool:
    async with db.tenant(tenant_id) as session:
        return await repository.count(session, tenant_id, question.wanted, MOST + 1) > MOST


async def csv_file(
    db: Database,
    principal: Principal,
    tenant_id: UUID,
    question: Question,
    name: str,
    shown: Callable[[Entry], Entry] = lambda entry: entry,
) -> Stream:
    """Sent while it is read, after an entry of its own. `name`: of the file, letters and hyphens."""
    asked = {word: value for word, value in question.query.items() if value}
    async with db.tenant(tenant_id) as session:
        await append(session, principal, "audit.exported", "audit", name, asked, tenant_id=tenant_id)
    wanted = msgspec.structs.replace(question.wanted, older_than=None, newer_than=None)

    return Stream(
        csv_lines(db, tenant_id, wanted, shown),
        media_type="text/csv",
        headers={"content-disposition": f'attachment; filename="{name}-{now():%Y-%m-%d}.csv"'},
    )
