"""Fifty faults against a whole installation: the command as anybody runs it, with short leases."""

import subprocess
import sys

import msgspec
import pytest

pytestmark = pytest.mark.timeout(600)


def test_fifty_faults_lose_double_and_cross_nothing() -> None:
    command = [sys.executable, "-m", "trunkline.main", "chaos", "--json", "--shrink", "0"]
    options = ["--seed", "4289", "--faults", "50", "--pace", "0.45", "--lease", "3"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=570)
    assert done.returncode == 0, done.stderr[-40_000:]
    figures = msgspec.json.decode(done.stdout.splitlines()[-1])["figures"]
    assert figures["faults"] == 50
    assert (figures["lost"], figures["doubled"], figures["crossed"]) == (0, 0, 0)
    assert figures["edits"] > 0
    assert figures["pages"] > 0
    assert figures["acknowledged"] == figures["events"] > 0
    assert figures["forged"] > 0
    assert figures["requests_out"] > 0
    assert figures["unclassified_share"] <= 0.01, done.stderr[-4000:]
