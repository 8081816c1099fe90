"""`trunkline connector pack`: what is handed in."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from trunkline.main import cli
from trunkline.packages.archive import read


def test_it_packs_again_and_says_what_belongs_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(cli, ["connector", "new", "acme"]).exit_code == 0
    monkeypatch.chdir(tmp_path / "acme")
    (tmp_path / "acme" / "fixtures" / "left.json").write_text("[]")
    first = runner.invoke(cli, ["connector", "pack"])
    assert first.exit_code == 0, first.output
    assert "fixtures/left.json belongs to no stream" in first.output
    assert runner.invoke(cli, ["connector", "pack"]).output == first.output
    found = read((tmp_path / "acme" / "acme-0.1.0.zip").read_bytes())
    assert found.digest in first.output
    refused = runner.invoke(cli, ["connector", "pack", str(tmp_path)])
    assert refused.exit_code == 1
    assert "neither a connector of ours nor a folder" in refused.output


def test_a_captured_envelope_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    runner.invoke(cli, ["connector", "new", "acme"])
    (tmp_path / "acme" / "fixtures" / "contacts.json").write_text('{"rows": [{"id": 1}]}')
    answer = runner.invoke(cli, ["connector", "test", "acme"])
    assert answer.exit_code == 1
    assert "contacts.json:1: it is one object" in answer.output
    assert "It has lists at 'rows'" in answer.output
    assert "without what the provider wraps around it" in answer.output


def test_a_broken_fixture_and_simulator_have_file_and_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every command that reads them, and never as a traceback."""
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    runner.invoke(cli, ["connector", "new", "acme"])
    fixture = tmp_path / "acme" / "fixtures" / "contacts.json"
    fixture.write_text('[\n  {"id": 1},\n  {"id": 2,}\n]\n')
    for command in (["connector", "test", "acme"], ["sandbox", "--connector", "acme"]):
        answer = runner.invoke(cli, command)
        assert answer.exit_code == 1
        assert isinstance(answer.exception, SystemExit)
        assert f"{fixture}:3: " in answer.output
    assert f"{fixture}:3: " in runner.invoke(cli, ["connector", "grade", "acme"]).output
    simulator = tmp_path / "acme" / "simulator.py"
    for text, words in (("x = 1\n\ny = (\n", "SyntaxError"), ("x = 1\n\nraise KeyError(x)\n", "KeyError")):
        simulator.write_text(text)
        answer = runner.invoke(cli, ["connector", "test", "acme"])
        assert answer.exit_code == 1
        assert isinstance(answer.exception, SystemExit)
        assert f"{simulator}:3: {words}" in answer.output


def test_what_is_left_of_the_scaffold_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    runner.invoke(cli, ["connector", "new", "acme"])
    (tmp_path / "acme" / "fixtures" / "left.json").write_text("[]")
    answer = runner.invoke(cli, ["connector", "check", "acme"])
    assert answer.exit_code == 0
    assert "left.json belongs to no stream; delete it" in answer.output


def test_a_connector_is_simulated_only_beside_a_demo(tmp_path: Path) -> None:
    answer = CliRunner().invoke(cli, ["up", "--connector", str(tmp_path)])
    assert answer.exit_code == 1
    assert "add --demo" in answer.output
    answer = CliRunner().invoke(cli, ["up", "--demo", "--connector", str(tmp_path)])
    assert answer.exit_code == 1
    assert "manifest.toml" in answer.output
