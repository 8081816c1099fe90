import re
from datetime import UTC, datetime, timedelta, timezone
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from trunkline_ui import filters

NOW = datetime(2026, 11, 23, 23, 51, 7, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (4.9, "just now"),
        (-4.9, "just now"),
        (5, "5 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (185, "3 min ago"),
        (3600, "1 h ago"),
        (86399, "23 h ago"),
        (86400, "1 d ago"),
        (29 * 86400, "29 d ago"),
        (30 * 86400, "24 Oct 2026"),
        (-300, "in 5 min"),
        (-31 * 86400, "24 Dec 2026"),
    ],
)
def test_ago(seconds, text):
    shown = filters.ago(NOW - timedelta(seconds=seconds), now=NOW)
    assert f">{text}</time>" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (5, "for 5 s"),
        (185, "for 3 min"),
        (29 * 86400, "for 29 d"),
        (-300, "in 5 min"),
        (30 * 86400, "since 24 Oct 2026"),
    ],
)
def test_since_says_how_long_it_lasts(seconds, text):
    shown = filters.since(NOW - timedelta(seconds=seconds), now=NOW)
    assert f'data-ago="since">{text}</time>' in shown


def test_ago_gives_the_exact_utc_moment_whatever_the_zone():
    there = datetime(2026, 11, 24, 1, 50, 7, 123456, tzinfo=timezone(timedelta(hours=2)))
    assert filters.ago(there, now=NOW) == Markup(
        '<time datetime="2026-11-23T23:50:07.123Z" title="23 Nov 2026, 23:50:07 UTC" data-ago>59 s ago</time>'
    )


def test_moments_without_a_zone_are_refused_and_absent_ones_have_words():
    naive = NOW.replace(tzinfo=None)
    for shown in (filters.ago, filters.since, filters.moment, filters.clock):
        with pytest.raises(ValueError, match="time zone"):
            shown(naive)
    assert filters.ago(None, "<never>") == '<span class="muted">&lt;never&gt;</span>'
    assert filters.moment(None) == filters.clock(None) == "–"
    assert ">23:51:07 UTC</time>" in filters.clock(NOW)
    assert ">23 Nov 2026, 23:51:07 UTC</time>" in filters.moment(NOW)


@given(st.integers())
def test_number_groups_and_reads_back(value):
    text = filters.number(value)
    assert int(text.replace(",", "")) == value
    assert all(len(group) == 3 for group in text.lstrip("-").split(",")[1:])


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (12345, "12,345"), (0.5, "0.5"), (12345.678, "12,345.68"), (2.0, "2")]
)
def test_number(value, text):
    assert filters.number(value) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "–"),
        (0, "0%"),
        (1, "100%"),
        (0.125, "12.5%"),
        (0.0001, "<0.1%"),
        (0.9999, ">99.9%"),
        (12, "1,200%"),
    ],
)
def test_percent(ratio, text):
    assert filters.percent(ratio) == text


@given(st.floats(min_value=0, max_value=1, exclude_min=True, exclude_max=True))
def test_percent_never_claims_all_or_nothing(ratio):
    assert filters.percent(ratio) not in {"0%", "100%"}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "–"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1500, "1.5 kB"),
        (999_960, "1 MB"),
        (2 * 10**9, "2 GB"),
    ],
)
def test_filesize(count, text):
    assert filters.filesize(count) == text


@given(st.integers(min_value=0, max_value=10**18))
def test_filesize_is_within_half_a_tenth(count):
    text, unit = filters.filesize(count).split(" ")
    factor = 1000 ** ("B", "kB", "MB", "GB", "TB", "PB").index(unit)
    assert abs(float(text.replace(",", "")) * factor - count) <= 0.051 * factor


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0 ms"),
        (0.85, "850 ms"),
        (0.9999, "1 s"),
        (12.34, "12.3 s"),
        (59.99, "1 min"),
        (185, "3 min 5 s"),
        (3599.7, "1 h"),
        (7800, "2 h 10 min"),
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h"),
        (-12, "-12 s"),
    ],
)
def test_duration(value, text):
    assert filters.duration(value) == text


@given(st.floats(min_value=0, max_value=10**9))
def test_duration_reads_back_within_its_smaller_unit(seconds):
    sizes = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
    parts = filters.duration(seconds).replace(",", "").split(" ")
    back = sum(float(amount) * sizes[unit] for amount, unit in zip(parts[::2], parts[1::2], strict=True))
    smaller = {"ms": 0.001, "s": 0.1, "min": 1, "h": 60, "d": 3600}[parts[1]]
    assert abs(back - seconds) <= smaller + 0.5


def test_pluralize_words_initials():
    assert filters.pluralize(1, "record") == "1 record"
    assert filters.pluralize(12345, "record") == "12,345 records"
    assert filters.pluralize(0, "entity", "entities") == "0 entities"
    assert filters.words("reconnect_needed") == "Reconnect needed"
    assert filters.initials("ada king lovelace") == "AL"
    assert filters.initials("HubSpot") == "H"
    assert filters.initials("!!") == "?"


@given(st.text())
def test_names_of_any_kind_have_a_tile(name):
    assert filters.hue(name) in range(8)
    assert filters.initials(name)


@given(JSON)
def test_json_is_shown_whole_and_escaped(value):
    shown = filters.highlight_json(value)
    assert _text(str(shown)) == filters.pretty_json(value)
    assert set(_tags(str(shown))) <= {
        '<span class="j-k">',
        '<span class="j-s">',
        '<span class="j-v">',
        "</span>",
    }


def test_json_text_is_read_and_other_text_left_alone():
    assert filters.pretty_json('{"a":1}') == '{\n  "a": 1\n}'
    assert filters.pretty_json(b'{"a":') == '{"a":'
    assert filters.pretty_json("<b>") == "<b>"
    assert filters.pretty_json({"at": NOW}) == '{\n  "at": "2026-11-23T23:51:07Z"\n}'


def _tags(html: str) -> list[str]:
    return re.findall(r"<[^>]*>", html)


def _text(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (60, "every minute"),
        (900, "every 15 min"),
        (3600, "every hour"),
        (7200, "every 2 h"),
        (86400, "every day"),
    ],
)
def test_every(seconds, text):
    assert filters.every(seconds) == text


def test_times():
    assert [filters.times(count) for count in (0, 1, 2, 3, 1000)] == [
        "0 times",
        "once",
        "twice",
        "3 times",
        "1,000 times",
    ]
