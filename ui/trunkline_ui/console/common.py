"""What every page of the console needs: its frame, page numbers, and the words of the failure table."""

from typing import Any

import msgspec
from litestar.di import NamedDependency
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.health import across
from trunkline.kernel.principal import Principal
from trunkline.resilience.failures import Action, Failure, Owner, failure
from trunkline_tenants.permissions import Action as Permitted
from trunkline_tenants.permissions import can
from trunkline_ui.console.runbook_text import runbook_text
from trunkline_ui.portal.common import AnyRequest, asked
from trunkline_ui.rendering import Tone
from trunkline_ui.shells import console_shell

MOST_PAGES = 100_000
"""Beyond any list; keeps a number from an address within the database's."""

ACT = {"can": "console.act"}
"""`opt` of what only staff administrators may see or do."""

OWNERS: dict[Owner, tuple[str, Tone, str]] = {
    "us": ("Ours to fix", "info", "wrench"),
    "customer": ("Customer must act", "warning", "user"),
    "provider": ("At the provider", "neutral", "plug"),
}
ACTIONS: dict[Action, str] = {
    "retry": "Tries again by itself",
    "wait": "Waits, then goes on by itself",
    "refresh": "Renews the access token",
    "reconnect": "Stops until the account is reconnected",
    "quarantine": "Sets the records aside",
    "pause": "Pauses the stream",
    "fail": "Ends the run",
    "note": "Stops nothing; is noted once",
}


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the failure table as pages show it."""

    failure: Failure
    title: str
    owner: str
    tone: Tone
    icon: str
    action: str


def cause_of(code: str) -> Cause:
    """That of `unclassified` for a code the table does not have."""
    row = failure(code)
    owner, tone, icon = OWNERS[row.owner]
    return Cause(
        failure=row,
        title=runbook_text(row.code).title,
        owner=owner,
        tone=tone,
        icon=icon,
        action=ACTIONS[row.action],
    )


class Frame:
    """The part of a page's context that is the same everywhere: `await framed(session, current)`."""

    def __init__(self, request: AnyRequest, principal: Principal) -> None:
        self._request = request
        self._principal = principal

    async def __call__(self, session: AsyncSession, current: str) -> dict[str, Any]:
        """`current`: the entry of the navigation that the page belongs to. `session`: the console's."""
        return self.counted(current, await across.count_open(session))

    def counted(self, current: str, open_issues: int) -> dict[str, Any]:
        """For a page that has counted the open issues already."""
        return {
            "shell": console_shell(self._request, self._principal, current, open_issues=open_issues),
            "may_act": self.may("console.act"),
        }

    def may(self, action: Permitted) -> bool:
        return can(self._principal, action)


def provide_frame(request: AnyRequest, principal: NamedDependency[Principal]) -> Frame:
    return Frame(request, principal)


def asked_page(request: AnyRequest) -> int:
    """From 1; the first for what is no number of a page."""
    text = asked(request, "page")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1
    return max(1, min(number, MOST_PAGES))
