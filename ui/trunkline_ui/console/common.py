"""What every page of the console needs: its frame, page numbers, and the words of the failure table."""

from typing import Any

import msgspec

from trunkline.kernel.principal import Principal
from trunkline.resilience.failures import Action, Failure, Owner, failure
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


def frame(request: AnyRequest, principal: Principal, current: str, open_issues: int) -> dict[str, Any]:
    """The part of a page's context that is the same everywhere."""
    return {
        "shell": console_shell(request, principal, current, open_issues=open_issues),
        "may_act": can(principal, "console.act"),
    }


def asked_page(request: AnyRequest) -> int:
    """From 1; the first for what is no number of a page."""
    text = asked(request, "page")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1
    return max(1, min(number, MOST_PAGES))
