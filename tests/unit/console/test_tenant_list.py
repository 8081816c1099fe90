"""Orders, filters and pages of the list of tenants."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.health.assessment import LEVELS, Health, Level
from trunkline.health.service import TenantHealth
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.console.tenant_list import (
    LEVEL_WORDS,
    SORTS,
    TenantLine,
    choice,
    counts,
    ordered,
    tenant_line,
    tenant_lines,
    tiles,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def line(
    name: str, level: Level | None = "healthy", *, hours: float = 1, lag: int | None = 5, issues: int = 0
) -> TenantLine:
    since = NOW - timedelta(hours=hours)
    worst = Health(level=level, since=since, customer="c.", support="s.") if level else None
    health = TenantHealth(
        tenant_id=UUID(int=1),
        connections=1,
        level=level,
        worst=worst,
        worst_connection=None,
        levels={level: 1} if level else {},
        lag_seconds=lag,
        records=0,
        open_issues=issues,
        since=since if level else None,
    )
    return tenant_line(TenantInfo(UUID(int=1), name.lower(), name, NOW), health)


def order(lines: list[TenantLine], **query: str) -> list[str]:
    wanted = choice("", query.get("level", ""), query.get("sort", ""), query.get("dir", ""), 1)
    return [found.tenant.name for found in ordered(lines, wanted)]


EVERY = [line(level.upper(), level) for level in reversed(LEVELS)]


def test_worst_first_and_of_equals_what_has_lasted_longest() -> None:
    assert order(EVERY) == [level.upper() for level in LEVELS]
    assert order(EVERY, dir="asc") == [level.upper() for level in reversed(LEVELS)]
    assert order([line("New", "failing", hours=1), line("Old", "failing", hours=9)]) == ["Old", "New"]
    assert order([line("b"), line("A", hours=9), line("c", hours=3)]) == ["A", "b", "c"]


@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_what_has_no_value_comes_last_in_either_direction(direction: str) -> None:
    lines = [line("none", None, lag=None), *EVERY]
    assert order(lines, sort="health", dir=direction)[-1] == "none"
    assert order(lines, sort="freshness", dir=direction)[-1] == "none"


def test_other_orders() -> None:
    lines = [line("b", lag=10, issues=2), line("A", lag=99, issues=0), line("c", lag=1, issues=7)]
    assert order(lines, sort="name") == ["A", "b", "c"]
    assert order(lines, sort="name", dir="desc") == ["c", "b", "A"]
    assert order(lines, sort="freshness") == ["A", "b", "c"]
    assert order(lines, sort="issues") == ["c", "b", "A"]
    assert order(lines, sort="issues", dir="asc") == ["A", "b", "c"]


def test_filters_and_counts() -> None:
    lines = [*EVERY, line("none", None)]
    for level in LEVEL_WORDS:
        assert len(order(lines, level=level)) == 1
        assert counts(lines)[level] == 1
    assert len(order(lines, level="nonsense")) == 6


def test_search_knows_names_and_slugs() -> None:
    tenants = [
        TenantInfo(UUID(int=n), f"slug-{n}", name, NOW) for n, name in enumerate(["Straße", "Ölmühle"])
    ]
    health = {tenant.id: line("x").health for tenant in tenants}
    assert [one.tenant.name for one in tenant_lines(tenants, health, "STRASSE")] == ["Straße"]
    assert [one.tenant.name for one in tenant_lines(tenants, health, "ölmü")] == ["Ölmühle"]
    assert [one.tenant.name for one in tenant_lines(tenants, health, "Slug-1")] == ["Ölmühle"]


def test_tiles_colour_only_what_is_there() -> None:
    found = {UUID(int=n): one.health for n, one in enumerate(EVERY[:1])}
    shown = {tile.label: (tile.value, tile.tone) for tile in tiles(found)}
    assert shown["Healthy"] == ("1", "success")
    assert shown["Failing"] == ("0", "")
    assert shown["Tenants"] == ("1", "")
    assert list(shown)[-1] == "Open issues"


made = st.builds(
    line,
    st.text("abcXYZ", min_size=1, max_size=4),
    st.none() | st.sampled_from(LEVELS),
    hours=st.floats(0, 1000),
    lag=st.none() | st.integers(0, 10**6),
    issues=st.integers(0, 50),
)


@given(st.lists(made, max_size=30), st.sampled_from(SORTS), st.sampled_from(["asc", "desc"]))
def test_no_order_loses_anybody(lines: list[TenantLine], sort: str, direction: str) -> None:
    shown = ordered(lines, choice("", "", sort, direction, 1))
    assert sorted(map(id, shown)) == sorted(map(id, lines))
