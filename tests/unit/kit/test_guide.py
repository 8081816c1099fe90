"""The contributor guide, typed in as it stands: files are written, commands run, their words expected."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from trunkline.main import cli

GUIDE = Path(__file__).parents[3] / "docs" / "connectors" / "guide.md"
BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_guide_to_the_letter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    typed = written = 0
    for kind, path, text in BLOCK.findall(GUIDE.read_text("utf-8")):
        if kind != "console":
            assert (tmp_path / path).parent.is_dir(), f"{path}: the scaffold made no such folder"
            (tmp_path / path).write_text(text, "utf-8")
            written += 1
            continue
        command, *expected = text.splitlines()
        if command.startswith("$ rm "):
            (tmp_path / command.removeprefix("$ rm ")).unlink()
            typed += 1
            continue
        assert command.startswith("$ trunkline ")
        answer = CliRunner().invoke(cli, command.removeprefix("$ trunkline ").split())
        assert answer.exit_code == 0, answer.output
        for line in expected:
            assert line in answer.output, f"{command}: {line!r} is not in\n{answer.output}"
        typed += 1
    assert (typed, written) == (7, 3)


def test_it_begins_with_step_0() -> None:
    steps = re.findall(r"^## (.*)$", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert steps[0] == "Step 0: capture fixtures"


def test_its_steps_are_counted() -> None:
    steps = re.findall(r"^## Step (\d+):", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert steps == [str(number) for number in range(len(steps))]
