from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.runs.checkpoint import (
    MAX_EMPTY,
    Checkpoint,
    Settled,
    advance,
    after_remap,
    aside,
    begin,
    reader,
    watermark_of,
)
from trunkline.runs.moments import milliseconds, parse_moment
from trunkline.runs.provider import Item, Page
from trunkline_connectors.catalogue import manifests

SPEC = next(m for m in manifests() if m.name == "hubspot").streams[0]
T = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SETTLED = Settled(fields=["a", "b"], recipes={"r": 1})


def start(**more: Any) -> Checkpoint:
    values: dict[str, Any] = {
        "settled": SETTLED,
        "watermark": T,
        "fields": ["a"],
        "recipes": {"r": 1},
        "forced": None,
        "started": T,
    }
    return begin(SPEC, **(values | more))


def page(*times: datetime, next_: str | None = None, at: datetime | None = None) -> Page:
    return Page([Item(str(number), {}, time) for number, time in enumerate(times)], next_, None, at)


@pytest.mark.parametrize(
    ("given_", "mode", "phase", "map_all"),
    [
        ({"settled": None, "watermark": None}, "first", "list", False),
        ({}, "incremental", "incremental", False),
        ({"forced": "full"}, "full", "list", False),
        ({"fields": ["a", "c"]}, "incremental", "incremental", False),
        ({"recipes": {"r": 2}}, "incremental", "incremental", False),
        ({"watermark": None}, "full", "list", False),
        ({"watermark": None, "fields": ["a", "c"]}, "full", "list", True),
    ],
)
def test_how_a_pass_begins(given_: dict[str, Any], mode: str, phase: str, map_all: bool) -> None:
    made = start(**given_)
    assert (made.mode, made.phase, made.map_all) == (mode, phase, map_all)


def test_an_incremental_read_goes_back_by_the_overlap() -> None:
    made = start()
    assert made.since_ms == milliseconds(T - timedelta(seconds=60))
    assert made.values(SPEC)["since_iso"] == "2026-11-01T11:59:00.000Z"
    assert reader(made, SPEC) is SPEC.incremental


def test_every_page_is_a_new_anchor() -> None:
    made = advance(start(), SPEC, page(T, T + timedelta(seconds=5), next_="200"))
    assert (made.since_ms, made.cursor) == (milliseconds(T + timedelta(seconds=5)), None)
    again = advance(made, SPEC, page(T + timedelta(seconds=5), next_="200"))
    assert (again.since_ms, again.cursor) == (made.since_ms, "200")
    last = advance(again, SPEC, page(T + timedelta(seconds=6)))
    assert (last.phase, last.cursor, last.since_ms) == ("deletions", None, None)
    assert advance(last, SPEC, page()).phase == "weigh"


def test_one_moment_with_more_than_the_cap_becomes_a_list() -> None:
    moment = T + timedelta(seconds=5)
    made = advance(start(), SPEC, page(*[moment] * 200, next_="200"))
    for number in range(2, 60):
        made = advance(made, SPEC, page(*[moment] * 200, next_=str(200 * number)))
        if made.phase == "list":
            break
        assert made.read + 200 <= 10_000
    assert (made.mode, made.phase, made.cursor) == ("full", "list", None)


def test_a_page_that_leads_nowhere_is_no_page() -> None:
    made = start(settled=None)
    made = advance(made, SPEC, page(T, next_="7"))
    with pytest.raises(ValueError, match="next"):
        advance(made, SPEC, page(T, next_="7"))
    for number in range(MAX_EMPTY):
        made = advance(made, SPEC, page(next_=f"x{number}"))
    with pytest.raises(ValueError, match="next"):
        advance(made, SPEC, page(next_="one too many"))


def test_a_remap_is_a_pass_of_its_own() -> None:
    made = aside("remap", fields=["a"], recipes={"r": 2}, started=T, map_all=True)
    made = after_remap(made, "500")
    assert (made.mode, made.phase, made.cursor) == ("remap", "remap", "500")
    made = after_remap(made, None)
    assert (made.phase, made.cursor) == ("end", None)


def test_a_backfill_goes_through_the_list_and_the_deletions() -> None:
    made = aside("backfill", fields=["a"], recipes={"r": 2}, started=T, map_all=False)
    assert (made.mode, made.phase, made.since_ms) == ("full", "list", None)
    made = advance(made, SPEC, page(T))
    assert made.phase == "deletions"
    assert advance(made, SPEC, page()).phase == "weigh"


@given(
    st.lists(st.integers(-1000, 1000), max_size=5),
    st.integers(-1000, 1000),
    st.one_of(st.none(), st.integers(-1000, 1000)),
)
def test_the_watermark_never_passes_what_was_read(times: list[int], at: int, before: int | None) -> None:
    def moment(seconds: int) -> datetime:
        return T + timedelta(seconds=seconds)

    made = start(settled=None, watermark=None)
    made = advance(made, SPEC, page(*map(moment, times), at=moment(at)))
    earlier = None if before is None else moment(before)
    found = watermark_of(made, earlier)
    if not times:
        assert found == earlier
    elif earlier is None:
        assert found == min(moment(max(times)), moment(at))
    else:
        assert found is not None
        assert earlier <= found <= max(earlier, moment(at))


def test_a_checkpoint_survives_the_database() -> None:
    made = advance(start(), SPEC, page(T, next_="200", at=T))
    raw = msgspec.json.decode(msgspec.json.encode(made))
    assert msgspec.convert(raw, Checkpoint) == made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-11-01T12:00:00.000Z", T),
        ("2026-11-01T14:00:00+02:00", T),
        ("2026-11-01T12:00:00", T),
        (1_793_534_400_000, T),
        ("1793534400000", T),
        (1_793_534_400, T),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
        (1e300, None),
        ("9" * 40, None),
    ],
)
def test_times_as_providers_write_them(value: Any, expected: datetime | None) -> None:
    assert parse_moment(value) == expected
