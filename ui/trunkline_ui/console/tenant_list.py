"""The list of tenants: a line for each, filters, orders, pages. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from trunkline.health.assessment import LEVELS, Health, Level
from trunkline.health.service import TenantHealth
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.console.common import Cause, cause_of

PAGE = 25
Sort = Literal["name", "health", "freshness", "issues"]
SORTS: tuple[Sort, ...] = ("name", "health", "freshness", "issues")
NONE = "none"
"""Stands where there is no level: nothing is connected, or nothing of it is meant to sync."""
LEVEL_WORDS: dict[str, str] = {
    "reconnect_needed": "Reconnect needed",
    "failing": "Failing",
    "degraded": "Degraded",
    "delayed": "Delayed",
    "healthy": "Healthy",
    NONE: "Not syncing",
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
    """For health, the healthiest first."""
    page: int = 1


def choice(search: str, level: str, sort: str, direction: str, page: int) -> Choice:
    """From a query; what is not known becomes the default: worst first."""
    known: Sort = next((name for name in SORTS if name == sort), "health")
    ascending = direction == "asc" if direction in {"asc", "desc"} else known == "name"
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


def tenant_lines(
    tenants: Sequence[TenantInfo], health: Mapping[UUID, TenantHealth], search: str
) -> list[TenantLine]:
    """Those whose name or slug contains `search`, whatever its case."""
    wanted = search.casefold()
    return [
        tenant_line(tenant, health[tenant.id])
        for tenant in tenants
        if wanted in tenant.name.casefold() or wanted in tenant.slug
    ]


def counts(lines: Sequence[TenantLine]) -> Mapping[str, int]:
    """How many tenants stand at each level."""
    return Counter(line.level for line in lines)


def ordered(lines: Sequence[TenantLine], wanted: Choice) -> list[TenantLine]:
    """Filtered and sorted; ties by name. What has no value comes last in either direction."""
    kept = [line for line in lines if wanted.level in {"", line.level}]
    kept.sort(key=lambda line: (line.tenant.name.casefold(), line.tenant.slug))
    if wanted.sort == "name":
        return kept if wanted.ascending else kept[::-1]
    valued = [line for line in kept if _value(line, wanted.sort) is not None]
    without = [line for line in kept if _value(line, wanted.sort) is None]
    valued.sort(key=lambda line: _value(line, wanted.sort) or (0.0, 0.0), reverse=not wanted.ascending)
    return valued + without


def _value(line: TenantLine, sort: Sort) -> tuple[float, float] | None:
    """Higher is worse."""
    if sort == "issues":
        return float(line.health.open_issues), 0.0
    if sort == "freshness":
        return None if line.health.lag_seconds is None else (float(line.health.lag_seconds), 0.0)
    level, since = line.health.level, line.health.since
    if level is None or since is None:
        return None
    # what has lasted longer is worse; a healthy one's age means nothing
    lasted = 0.0 if level == "healthy" else -since.timestamp()
    return -float(LEVELS.index(level)), lasted


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


def tiles(health: Mapping[UUID, TenantHealth]) -> list[Tile]:
    """Of the whole installation, whatever is filtered; colour only where there is something."""
    levels: Counter[Level] = Counter()
    for one in health.values():
        levels.update(one.levels)
    issues = sum(one.open_issues for one in health.values())
    return [
        Tile(label="Tenants", value=f"{len(health):,}"),
        *(
            Tile(
                label="To reconnect" if level == "reconnect_needed" else LEVEL_WORDS[level],
                value=f"{levels[level]:,}",
                tone=_TONES[level] if levels[level] else "",
                hint="connections" if levels[level] != 1 else "connection",
            )
            for level in reversed(LEVELS)
        ),
        Tile(label="Open issues", value=f"{issues:,}", tone="danger" if issues else ""),
    ]
