"""What is found of a package in a process of its own, and what never happens to its code."""

from pathlib import Path

import pytest

from trunkline.kit.scaffolding import scaffold
from trunkline.packages.archive import pack, read
from trunkline.packages.examining import NOT_HERE, examine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scaffold("acme", tmp_path)
    return tmp_path / "acme"


async def test_no_code_of_a_package_runs(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    code = f"open({str(mark)!r}, 'w').write('ran')\n"
    for name in ("simulator.py", "test_acme.py", "sitecustomize.py", "msgspec.py", "conftest.py"):
        (folder / name).write_text(code)
    manifest = folder / "manifest.toml"
    manifest.write_text(
        manifest.read_text().replace("fields = [", 'fields = [{ name = "nowhere", label = "Nowhere" },', 1)
        + '\n[quality.done]\njudged = "By our own client."\n'
    )
    found = await examine("acme", read(pack(folder)))
    assert not mark.exists()
    assert found.findings == []
    assert found.graded is not None
    rules = {one.rule: one for one in found.graded.rules}
    assert rules["judged"].detail == "The partner says: By our own client."
    assert rules["authorise"].standing == "done"
    assert rules["read"].detail == NOT_HERE


async def test_what_cannot_be_examined_is_a_finding(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.packages.examining.SECONDS", 0.0)
    found = await examine("acme", read(pack(folder)))
    assert "It could not be examined: it took longer" in found.findings[0].message
    assert found.graded is None


async def test_findings_have_their_lines(folder: Path) -> None:
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace('path = "/api/{api_version}/me"', 'path = "me"'))
    (folder / "fixtures" / "accounts.json").unlink()
    contract = '{\n  "$schema": "https://json-schema.org/draft/2020-12/schema",\n  "events": {"a": {"pattern": "x"}}}'
    (folder / "webhooks.json").write_text(contract)
    raw = manifest.read_text().replace("{cursor}", "{nothing}")
    manifest.write_text(raw)
    found = await examine("acme", read(pack(folder)))
    assert found.findings
    assert all(one.line > 1 for one in found.findings)
    (of_events,) = [one for one in found.findings if one.message.startswith("webhooks.json: ")]
    assert (of_events.line, '"pattern" is not taken' in of_events.message) == (3, True)
    assert found.graded is not None
    assert found.graded.grade == "none"
