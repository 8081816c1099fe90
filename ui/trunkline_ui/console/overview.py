"""`/console`: every tenant, the worst first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency

from trunkline.health import across
from trunkline.health.service import HealthService
from trunkline.health.trouble import troubled
from trunkline.kernel.db import Database
from trunkline_tenants.directory import Directory
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.console.common import Frame, asked_page
from trunkline_ui.console.tenant_list import (
    FINE,
    FOUND,
    LEVEL_WORDS,
    PAGE,
    Choice,
    Sort,
    Standing,
    TenantLine,
    choice,
    group,
    ordered,
    summed,
    tenant_line,
    tiles,
)
from trunkline_ui.portal.common import AnyRequest, address, asked
from trunkline_ui.rendering import Page, page

HOME = "/console"


class OverviewPages(Controller):
    include_in_schema = False

    @get(HOME)
    async def overview(
        self,
        request: AnyRequest,
        db: NamedDependency[Database],
        framed: NamedDependency[Frame],
        directory: NamedDependency[Directory],
        health: NamedDependency[HealthService],
    ) -> Page:
        search, level, sort, direction = (asked(request, name) for name in ("q", "level", "sort", "dir"))
        wanted = choice(search, level, sort, direction, asked_page(request))
        async with db.console() as session:
            standing = summed(await troubled(session))
            open_issues = await across.count_open(session)
        counts: Mapping[str, int] | None
        if wanted.search:
            lines, counts = await _found(directory, health, db, wanted)
            start = (wanted.page - 1) * PAGE
            rows = lines[start : start + PAGE + 1]
        else:
            counts = Counter(standing.tenants.values())
            rows = await _lines(await _page(directory, standing, wanted), health, db)
        number, more, rows = wanted.page, len(rows) > PAGE, rows[:PAGE]
        start = (number - 1) * PAGE
        context = framed.counted(HOME, open_issues)
        context |= {
            "tiles": tiles(standing.connections, open_issues),
            "lines": rows,
            "wanted": wanted,
            "tabs": _tabs(wanted, counts),
            "columns": _columns(wanted),
            "here": _address(wanted, page=number if number > 1 else ""),
            "previous": _address(wanted, page=number - 1 if number > 2 else "") if number > 1 else "",
            "following": _address(wanted, page=number + 1) if more else "",
            "position": f"{start + 1:,} to {start + len(rows):,}" if rows else "",
        }
        return page("console/overview.html", context, block="live")


async def _page(directory: Directory, standing: Standing, wanted: Choice) -> list[TenantInfo]:
    """One more than a page shows: those in trouble first, then the others by name."""
    start, limit = (wanted.page - 1) * PAGE, PAGE + 1
    if wanted.sort == "name" and not wanted.level:
        return await directory.tenant_page(limit=limit, offset=start, descending=not wanted.ascending)
    worst = [] if wanted.level == FINE else standing.at(wanted.level)
    shown = worst[start : start + limit]
    known = await directory.tenants_of(shown)
    found = [known[tenant_id] for tenant_id in shown if tenant_id in known]
    if wanted.level not in {"", FINE} or len(shown) == limit:
        return found
    others = await directory.tenant_page(
        limit=limit - len(shown), offset=max(0, start - len(worst)), without=list(standing.tenants)
    )
    return found + others


async def _found(
    directory: Directory, health: HealthService, db: Database, wanted: Choice
) -> tuple[list[TenantLine], Mapping[str, int]]:
    """What a search finds, and how many of it stand at each level."""
    lines = await _lines(await directory.tenant_page(limit=FOUND, containing=wanted.search), health, db)
    return ordered(lines, wanted), Counter(group(line.level) for line in lines)


async def _lines(tenants: Sequence[TenantInfo], health: HealthService, db: Database) -> list[TenantLine]:
    async with db.console() as session:
        found = await health.of_tenants(session, [tenant.id for tenant in tenants])
    return [tenant_line(tenant, found[tenant.id]) for tenant in tenants]


def _address(wanted: Choice, **other: Any) -> str:
    """Defaults stay out of it."""
    query: dict[str, Any] = {
        "q": wanted.search,
        "level": wanted.level,
        **_order(wanted.sort, wanted.ascending),
    }
    return address(HOME, **(query | other))


def _order(sort: Sort, ascending: bool) -> dict[str, str]:
    if ascending == (sort == "name"):
        return {"sort": "" if sort == "health" else sort, "dir": ""}
    return {"sort": sort, "dir": "asc" if ascending else "desc"}


def _tabs(wanted: Choice, found: Mapping[str, int]) -> list[tuple[str, str, bool, int | None]]:
    """For `ui.tabs`. Who is in no trouble is not counted, unless a search has found few."""
    every: list[tuple[str, str, bool, int | None]] = [
        ("All", _address(wanted, level=""), not wanted.level, sum(found.values()) if wanted.search else None)
    ]
    for level, word in LEVEL_WORDS.items():
        number = found.get(level, 0) if level != FINE or wanted.search else None
        every.append((word, _address(wanted, level=level), wanted.level == level, number))
    return every


def _columns(wanted: Choice) -> list[dict[str, str]]:
    """For `ui.table`: a column's link turns the order around where it is the order already."""

    def sortable(label: str, sort: Sort, align: str = "") -> dict[str, str]:
        chosen = wanted.sort == sort
        ascending = sort == "name" and not (chosen and wanted.ascending)
        state = ("ascending" if wanted.ascending else "descending") if chosen else "none"
        href = _address(wanted, **_order(sort, ascending))
        return {"label": label, "align": align, "sort": state, "href": href}

    return [
        sortable("Tenant", "name"),
        sortable("Health", "health"),
        {"label": "Cause"},
        {"label": "Behind", "align": "end"},
        {"label": "Records", "align": "end"},
        {"label": "Connections", "align": "end"},
        {"label": "Issues", "align": "end"},
    ]
