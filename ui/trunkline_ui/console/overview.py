"""`/console`: every tenant, the worst first."""

from typing import Any

from litestar import Controller, get
from litestar.di import NamedDependency

from trunkline.health.service import HealthService
from trunkline.kernel.db import Database
from trunkline.kernel.principal import Principal
from trunkline_tenants.directory import Directory
from trunkline_ui.console.common import asked_page, frame
from trunkline_ui.console.tenant_list import (
    LEVEL_WORDS,
    PAGE,
    Choice,
    Sort,
    choice,
    counts,
    ordered,
    tenant_lines,
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
        principal: NamedDependency[Principal],
        directory: NamedDependency[Directory],
        health: NamedDependency[HealthService],
    ) -> Page:
        search, level, sort, direction = (asked(request, name) for name in ("q", "level", "sort", "dir"))
        wanted = choice(search, level, sort, direction, asked_page(request))
        tenants = await directory.tenants()
        async with db.console() as session:
            found = await health.of_tenants(session, [tenant.id for tenant in tenants])
        lines = tenant_lines(tenants, found, wanted.search)
        shown = ordered(lines, wanted)
        last = max(1, -(-len(shown) // PAGE))
        number = min(wanted.page, last)
        start = (number - 1) * PAGE
        rows = shown[start : start + PAGE]
        context = frame(request, principal, HOME, sum(one.open_issues for one in found.values()))
        context |= {
            "tiles": tiles(found),
            "tenants": len(tenants),
            "lines": rows,
            "wanted": wanted,
            "tabs": _tabs(wanted, counts(lines), len(lines)),
            "columns": _columns(wanted),
            "here": _address(wanted, page=number if number > 1 else ""),
            "previous": _address(wanted, page=number - 1 if number > 2 else "") if number > 1 else "",
            "following": _address(wanted, page=number + 1) if number < last else "",
            "position": f"{start + 1:,} to {start + len(rows):,} of {len(shown):,}" if rows else "",
        }
        return page("console/overview.html", context, block="live")


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


def _tabs(wanted: Choice, found: Any, total: int) -> list[tuple[str, str, bool, int]]:
    """For `ui.tabs`."""
    every = [("All", _address(wanted, level=""), not wanted.level, total)]
    return every + [
        (word, _address(wanted, level=level), wanted.level == level, found.get(level, 0))
        for level, word in LEVEL_WORDS.items()
    ]


def _columns(wanted: Choice) -> list[dict[str, str]]:
    """For `ui.table`: a column's link turns the order around where it is the order already."""

    def sortable(label: str, sort: Sort, align: str = "") -> dict[str, str]:
        chosen = wanted.sort == sort
        ascending = not wanted.ascending if chosen else sort == "name"
        state = ("ascending" if wanted.ascending else "descending") if chosen else "none"
        href = _address(wanted, **_order(sort, ascending))
        return {"label": label, "align": align, "sort": state, "href": href}

    return [
        sortable("Tenant", "name"),
        sortable("Health", "health"),
        {"label": "Cause"},
        sortable("Behind", "freshness", "end"),
        {"label": "Records", "align": "end"},
        {"label": "Connections", "align": "end"},
        sortable("Issues", "issues", "end"),
    ]
