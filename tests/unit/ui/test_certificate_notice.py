"""When somebody is told that a client certificate ends: 30 days before, urgently 7 days before, and after."""

from datetime import UTC, datetime, timedelta

import pytest

from trunkline_ui.webhooks.words import certificate_notice

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "tone", "words"),
    [
        (timedelta(days=30), "warning", "expires in 30 days"),
        (timedelta(days=7, seconds=1), "warning", "expires in 7 days"),
        (timedelta(days=7), "danger", "expires in 7 days"),
        (timedelta(days=1), "danger", "expires in 1 day."),
        (timedelta(hours=3), "danger", "expires in less than a day"),
        (timedelta(0), "danger", "has expired"),
        (timedelta(days=-90), "danger", "has expired"),
    ],
)
def test_it_is_told_of_in_time(left: timedelta, tone: str, words: str) -> None:
    found = certificate_notice(NOW + left, NOW)
    assert found
    assert found.tone == tone
    assert words in found.title


def test_nobody_is_bothered_before_or_without_one() -> None:
    assert certificate_notice(None, NOW) is None
    assert certificate_notice(NOW + timedelta(days=30, seconds=1), NOW) is None
