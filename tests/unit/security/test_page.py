"""The page of threats: each row names tests, and they are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split("|")]
    for line in (ROOT / "platform" / "SECURITY.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| threat"))
]


def test_the_page_has_its_rows() -> None:
    assert len(ROWS) >= 19
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_each_threat_names_tests_that_exist(row: list[str]) -> None:
    named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row[2])
    assert named, row[0]
    for file, test in named:
        at = ROOT / "tests" / ("" if file.startswith(("unit/", "journeys/")) else "integration") / file
        assert at.is_file(), file
        assert not test or re.search(
            rf"^(?:async def|def|class) {test}\b", at.read_text("utf-8"), re.MULTILINE
        ), test
