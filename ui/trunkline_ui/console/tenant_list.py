"""The list of tenants: a line for each, filters, orders, pages. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.health.assessment import LEVELS, Health, Level
from trunkline.health.service import TenantHealth
from trunkline.health.trouble import Trouble
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.console.common import Cause, cause_of

PAGE = 25
FOUND = 200
"""Tenants that a search shows at most."""
Sort = Literal["name", "health"]
SORTS: tuple[Sort, ...] = ("name", "health")
FINE = "fine"
"""In place of a level: whoever is in no trouble."""
NONE = "none"
"""Stands where there is no level: nothing is connected, or nothing of it is meant to sync."""
LEVEL_WORDS: dict[str, str] = {
    "reconnect_needed": "Reconnect needed",
    "failing": "Failing",
    "degraded": "Degraded",
    "delayed": "Delayed",
    FINE: "No trouble",
}


class TenantLine(msgspec.Struct, frozen=True, kw_only=True):
    tenant: TenantInfo
    health: TenantHealth
    level: str
    """A level, or NONE."""
    word: str
    cause: Cause | None
    words: str
    """What is wrong, or that nothing is."""
    where: str
    """Connection and stream of what is wrong; empty where nothing is."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader wants to see."""

    search: str = ""
    level: str = ""
    sort: Sort = "health"
    ascending: bool = False
    """Of names; the worst are always first."""
    page: int = 1


def choice(search: str, level: str, sort: str, direction: str, page: int) -> Choice:
    """From a query; what is not known becomes the default: worst first."""
    known: Sort = next((name for name in SORTS if name == sort), "health")
    ascending = known == "name" and direction != "desc"
    return Choice(
        search=search,
        level=level if level in LEVEL_WORDS else "",
        sort=known,
        ascending=ascending,
        page=page,
    )


def tenant_line(tenant: TenantInfo, health: TenantHealth) -> TenantLine:
    worst = health.worst
    cause = cause_of(worst.cause) if worst and worst.cause else None
    if worst is None:
        word = "Not syncing" if health.connections else "Not connected"
        unfinished = "Every connection is paused or unfinished."
        words = unfinished if health.connections else "No account is connected yet."
    else:
        word, words = "", cause.title if cause else _short(worst)
    where = ""
    if worst is not None and worst.level != "healthy" and health.worst_connection is not None:
        where = " · ".join(part for part in (health.worst_connection.name, worst.stream) if part)
    return TenantLine(
        tenant=tenant,
        health=health,
        level=health.level or NONE,
        word=word,
        cause=cause,
        words=words,
        where=where,
    )


def _short(health: Health) -> str:
    """A cell's worth of what has no cause in the failure table."""
    if health.level == "delayed":
        late = "A pass takes too long"
        return "The first sync has not begun" if health.lag_seconds is None else late
    return health.support


def group(level: str) -> str:
    """The tab of a level."""
    return level if level in LEVEL_WORDS else FINE


def ordered(lines: Sequence[TenantLine], wanted: Choice) -> list[TenantLine]:
    """Of a search: filtered and sorted, ties by name."""
    kept = [line for line in lines if wanted.level in {"", group(line.level)}]
    kept.sort(key=lambda line: (line.tenant.name.casefold(), line.tenant.slug))
    if wanted.sort == "name":
        return kept if wanted.ascending else kept[::-1]
    return sorted(kept, key=_severity)


def _severity(line: TenantLine) -> tuple[int, float]:
    """What has lasted longer is worse; of those in no trouble none is."""
    level, since = line.health.level, line.health.since
    if level is None or since is None or level == "healthy":
        return len(LEVELS), 0.0
    return LEVELS.index(level), since.timestamp()


class Standing(msgspec.Struct, frozen=True):
    """What is known of all tenants without reading those in no trouble."""

    tenants: dict[UUID, Level]
    """Each one in trouble with its worst level; the worst first."""
    connections: Counter[Level]

    def at(self, level: str) -> list[UUID]:
        return [tenant_id for tenant_id, found in self.tenants.items() if level in {"", found}]


def summed(found: Sequence[Trouble]) -> Standing:
    """`found`: the worst first."""
    tenants: dict[UUID, Level] = {}
    for one in found:
        tenants.setdefault(one.tenant_id, one.level)
    return Standing(tenants, Counter(one.level for one in found))


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """For `ui.stats`."""

    label: str
    value: str
    tone: str = ""
    hint: str = ""


_TONES: dict[Level, str] = {
    "healthy": "success",
    "delayed": "warning",
    "degraded": "warning",
    "failing": "danger",
    "reconnect_needed": "danger",
}


def tiles(levels: Mapping[Level, int], open_issues: int) -> list[Tile]:
    """Of the whole installation, whatever is filtered; colour only where there is something."""
    worst = [level for level in LEVELS if level != "healthy"]
    return [
        *(
            Tile(
                label=LEVEL_WORDS[level] if level != "reconnect_needed" else "To reconnect",
                value=f"{levels.get(level, 0):,}",
                tone=_TONES[level] if levels.get(level) else "",
                hint="connections" if levels.get(level, 0) != 1 else "connection",
            )
            for level in worst
        ),
        Tile(label="Open issues", value=f"{open_issues:,}", tone="danger" if open_issues else ""),
    ]
