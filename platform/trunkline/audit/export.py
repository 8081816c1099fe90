"""An audit log as CSV. A cell never begins with what a spreadsheet would take for a formula."""

import csv
import io
import re
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import msgspec

from trunkline.audit import repository
from trunkline.audit.repository import Entry, Wanted
from trunkline.kernel.db import Database

MOST = 100_000
"""Entries in one file from a page; more are refused, so that no file is silently short."""
BATCH = 1000

HEADING = (
    "number",
    "time (UTC)",
    "by (kind)",
    "by (id)",
    "by",
    "action",
    "target (kind)",
    "target (id)",
    "before",
    "after",
    "detail",
    "reason",
    "address",
)

_FORMULA = re.compile(r"(?:^|(?<=[;,\t\r\n]))(?=[\s\"]*[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r\n])")
"""The beginning of a cell, or what a spreadsheet with another separator takes for it, before a sign that
begins a formula; full-width signs too. Source: OWASP, CSV Injection."""


def cell(text: str) -> str:
    """With an apostrophe wherever a formula could begin; otherwise as it is."""
    return _FORMULA.sub("'", text)


def row(entry: Entry) -> list[str]:
    fields = (entry.before, entry.after, entry.detail or None)
    before, after, detail = (
        "" if one is None else msgspec.json.encode(one, order="deterministic").decode() for one in fields
    )
    return [
        cell(text)
        for text in (
            str(entry.sequence),
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.actor_kind,
            entry.actor_id,
            entry.actor,
            entry.action,
            entry.target_kind,
            entry.target_id,
            before,
            after,
            detail,
            entry.reason or "",
            entry.address or "",
        )
    ]


async def csv_lines(
    db: Database, tenant_id: UUID, wanted: Wanted, shown: Callable[[Entry], Entry] = lambda entry: entry
) -> AsyncIterator[str]:
    """Newest first, each entry as `shown` makes it.

    A batch is a transaction of its own: a slow reader holds none open.
    """
    yield _written([list(HEADING)])
    while True:
        async with db.tenant(tenant_id) as session:
            found = await repository.entries(session, tenant_id, wanted, limit=BATCH)
        if found:
            yield _written([row(shown(entry)) for entry in found])
        if len(found) < BATCH:
            return
        wanted = msgspec.structs.replace(wanted, older_than=found[-1].sequence)


def _written(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n").writerows(rows)
    return out.getvalue()
