"""What `make audit` says, without its network."""

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "audit"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"audit_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answer(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


FINE = {"name": "jinja2", "version": "3.1.6", "vulns": []}
HOLED = {"name": "authlib", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "arq", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("given", "well", "words"),
    [
        (answer(FINE), True, "1 looked up, no known hole"),
        (answer(FINE, HOLED), False, "authlib 1.0: CVE-1, mended in 1.1"),
        (answer(FINE, UNKNOWN), False, "no answer for 1 of them (arq)"),
        (answer(), False, "nothing is known"),
        ("", False, "could not be fetched"),
        ("<html>", False, "could not be fetched"),
    ],
)
def test_only_a_whole_answer_is_good_news(given: str, well: bool, words: str) -> None:
    lines, verdict = load("packages").judge(given)
    assert verdict is well
    assert words in "\n".join(lines)


def test_a_secret_that_was_removed_again_is_found_in_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("detect_secrets", reason="the group audit is not installed here")
    scan = load("secrets_kept")
    key = "AKIA" + "QYLPMN5HHHFPZAM2"
    monkeypatch.setattr(scan, "ROOT", tmp_path)
    (tmp_path / scan.OWN).parent.mkdir(parents=True)
    (tmp_path / scan.OWN).write_text('[known]\n"hush" = "in a test"\n')
    name = ["-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false"]

    def commit(text: str) -> None:
        (tmp_path / "settings.py").write_text(text)
        subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
        subprocess.run(["git", *name, "commit", "-qm", "x"], cwd=tmp_path, check=True)

    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commit('password = "hush"\n')
    assert scan.main() == 0
    commit(f'key = "{key}"\n')
    commit("key = None\n")
    capsys.readouterr()
    assert scan.main() == 1
    said = capsys.readouterr().out
    assert "settings.py in commit" in said
    assert key not in said
