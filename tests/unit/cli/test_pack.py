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
    (tmp_path / "acme" / "fixtures" / "contacts.json").write_text('{"data": []}')
    answer = runner.invoke(cli, ["connector", "test", "acme"])
    assert answer.exit_code == 1
    assert "without what the provider wraps around it" in answer.output
