"""Orders, filters and pages of the list of tenants."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trunkline.health.assessment import LEVELS, Health, Level
from trunkline.health.service import TenantHealth
from trunkline.health.trouble import Trouble
from trunkline_tenants.schemas import TenantInfo
from trunkline_ui.console.tenant_list import (
    FINE,
    LEVEL_WORDS,
    SORTS,
    TenantLine,
    choice,
    group,
    ordered,
    summed,
    tenant_line,
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
    assert order([line("New", "failing", hours=1), line("Old", "failing", hours=9)]) == ["Old", "New"]
    assert order([line("b"), line("A", hours=9), line("c", hours=3)]) == ["A", "b", "c"]


def test_names_either_way() -> None:
    lines = [line("b", "failing"), line("A"), line("c", None)]
    assert order(lines, sort="name") == ["A", "b", "c"]
    assert order(lines, sort="name", dir="desc") == ["c", "b", "A"]


def test_a_tab_for_each_trouble_and_one_for_the_rest() -> None:
    lines = [*EVERY, line("none", None)]
    for level in LEVEL_WORDS:
        assert len(order(lines, level=level)) == (2 if level == FINE else 1)
    assert [group(one.level) for one in lines].count(FINE) == 2
    assert len(order(lines, level="nonsense")) == 6


def test_a_tenant_stands_as_its_worst_connection_does() -> None:
    found = [
        Trouble(UUID(int=tenant), UUID(int=connection), level, NOW)
        for tenant, connection, level in (
            (2, 1, "reconnect_needed"),
            (1, 2, "failing"),
            (2, 3, "failing"),
            (3, 4, "delayed"),
        )
    ]
    standing = summed(found)
    assert [tenant.int for tenant in standing.tenants] == [2, 1, 3]
    assert standing.at("failing") == [UUID(int=1)]
    assert len(standing.at("")) == 3
    assert standing.connections == {"reconnect_needed": 1, "failing": 2, "delayed": 1}


def test_tiles_colour_only_what_is_there() -> None:
    shown = {tile.label: (tile.value, tile.tone) for tile in tiles({"failing": 1}, 0)}
    assert shown["Failing"] == ("1", "danger")
    assert shown["Delayed"] == ("0", "")
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
