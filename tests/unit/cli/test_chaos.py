"""`trunkline chaos`: found beside the tests; a plan is its seed's, and strikes nothing twice at once."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.cli import chaos
from trunkline.main import cli

if str(chaos.RIG.parent) not in sys.path:
    sys.path.insert(0, str(chaos.RIG.parent))

from chaos_kit.plan import REST, WORKERS, Options, plan


def test_help_says_what_it_breaks() -> None:
    result = CliRunner().invoke(cli, ["chaos", "--help"])
    assert result.exit_code == 0
    assert "--seed" in result.output
    assert "1000" in result.output


def test_without_a_checkout_it_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "RIG", tmp_path / "command.py")
    result = CliRunner().invoke(cli, ["chaos"])
    assert result.exit_code == 1
    assert "in a checkout" in result.output


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), disk=st.booleans())
def test_a_plan_is_its_seeds_and_leaves_somebody_at_work(seed: int, disk: bool) -> None:
    options = Options(pace=0.5)
    made = plan(seed, 200, options, disk=disk)
    assert made == plan(seed, 200, options, disk=disk)
    assert len(made) == 200
    assert [fault.at for fault in made] == sorted(fault.at for fault in made)
    assert disk or all(fault.kind != "disk full" for fault in made)
    busy: dict[str, float] = {}
    for fault in made:
        if not fault.place.startswith("script"):
            assert busy.get(fault.place, 0.0) <= fault.at
            busy[fault.place] = fault.at + fault.seconds
        away = [place for place, until in busy.items() if place.startswith("worker") and until > fault.at]
        assert len(away) < WORKERS
    assert set(REST) >= {"worker", "valkey", "postgres", "provider"}
