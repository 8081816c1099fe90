"""`trunkline bench`: found by file, repeated, reported as medians."""

from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from trunkline.cli import bench
from trunkline.main import cli

MEASUREMENT = '''"""Count to something."""
import itertools
from trunkline.cli.bench import Figures
numbers = itertools.count(1)
def run(say):
    number = next(numbers)
    say(f"counted to {number}")
    return Figures(figures={"number": number}, ratios={"vs_peer": number / 2})
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    (tmp_path / "counting.py").write_text(MEASUREMENT)
    return tmp_path


def test_medians_of_all_runs_are_the_last_line(folder: Path) -> None:
    result = CliRunner().invoke(cli, ["bench", "counting", "--runs", "5", "--json"])
    assert result.exit_code == 0, result.output
    assert msgspec.json.decode(result.stdout.splitlines()[-1]) == {
        "bench": "counting",
        "runs": 5,
        "figures": {"number": 3},
        "ratios": {"vs_peer": 1.5},
    }
    assert "counted to 5" in result.stderr


def test_help_lists_what_there_is(folder: Path) -> None:
    assert "Count to something." in CliRunner().invoke(cli, ["bench", "--help"]).output


def test_a_missing_tool_is_a_sentence(folder: Path) -> None:
    (folder / "lame.py").write_text("import nothing_of_this_name\n")
    result = CliRunner().invoke(cli, ["bench", "lame"])
    assert result.exit_code == 1
    assert "needs nothing_of_this_name" in result.output


def test_every_measurement_of_the_checkout_has_help_and_a_run() -> None:
    for path in bench.FOLDER.glob("[a-z]*.py"):
        module = bench._load(path.stem)
        assert module.__doc__, path
        assert callable(module.run), path
