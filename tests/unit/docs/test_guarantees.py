"""The page of guarantees: each names tests, and they are there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
PAGE = (TESTS.parent / "docs" / "guarantees.md").read_text("utf-8")
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| guarantee"))
]


def missing(text: str) -> list[str]:
    """Tests that it names and that are not there."""
    return [
        f"{file}::{test}" if test else file
        for file, test in re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", text)
        if not (TESTS / file).is_file()
        or (
            test
            and not re.search(
                rf"^(?:async def|def|class) {test}\b", (TESTS / file).read_text("utf-8"), re.MULTILINE
            )
        )
    ]


def test_the_page_has_its_rows() -> None:
    assert len(ROWS) >= 38
    assert all(len(row) == 2 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_each_guarantee_names_a_test(row: list[str]) -> None:
    assert re.search(r"`[\w/]+\.py(?:::\w+)?`", row[1]), row[0]
    assert missing(row[1]) == []


def test_the_words_around_them_name_what_is_there() -> None:
    assert missing(PAGE) == []


def test_what_is_not_there_is_found() -> None:
    gone = (
        "`unit/docs/test_guarantees.py::test_of_old`, `unit/docs/test_old.py`, `unit/docs/test_guarantees.py`"
    )
    assert missing(gone) == ["unit/docs/test_guarantees.py::test_of_old", "unit/docs/test_old.py"]
