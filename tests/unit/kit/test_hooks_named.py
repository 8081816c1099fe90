"""A manifest that names hooks: the connector's own are found, a package has none."""

from pathlib import Path

import pytest

from trunkline.kit.checking import check
from trunkline.kit.scaffolding import scaffold
from trunkline.sdk.hooks import LargeList
from trunkline.sdk.manifest import ManifestError, load_manifest
from trunkline.sdk.registry import Connectors
from trunkline_connectors.catalogue import hooks, manifests

LIST = "[streams.list]\n"
LARGE = 'large = { above = 10, hook = "bulk" }\n'


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    scaffold("acme", tmp_path)
    return tmp_path / "acme"


def name_it(acme: Path, line: str = LARGE, after: str = LIST) -> None:
    path = acme / "manifest.toml"
    text = path.read_text("utf-8")
    assert after in text
    path.write_text(text.replace(after, after + line, 1), "utf-8")


def said(acme: Path, *own: str) -> str:
    return "\n".join(str(one) for one in check(acme, hooks=frozenset(own)))


def test_a_package_that_names_a_hook_is_refused(acme: Path) -> None:
    assert said(acme) == ""
    name_it(acme, LARGE + 'total = "total"\n')
    assert "only connectors that come with the product have hooks" in said(acme)
    assert said(acme, "bulk") == ""
    (acme / "hooks.py").write_text("raise SystemExit\n")
    assert "only connectors that come with the product have hooks" in said(acme)


def test_a_hook_that_is_none_and_a_list_without_a_length_are_found(acme: Path) -> None:
    name_it(acme)
    found = said(acme, "bulks")
    assert "there is no hook bulk" in found
    assert 'Did you mean "bulks"' in found
    assert "nothing says how long the list is" in found


def test_it_is_for_lists_only(acme: Path) -> None:
    name_it(acme, after="[streams.incremental]\n")
    assert "`large` is for lists only" in said(acme, "bulk")


@pytest.mark.parametrize("line", ['large = { above = 0, hook = "bulk" }\n', "large = { above = 5 }\n"])
def test_it_is_whole(acme: Path, line: str) -> None:
    name_it(acme, line)
    with pytest.raises(ManifestError):
        load_manifest(acme / "manifest.toml")


def test_only_the_installations_own_manifest_is_given_its_hook(acme: Path) -> None:
    own = next(one for one in manifests() if one.name == "salesforce")
    connectors = Connectors(manifests(), hooks=hooks())
    found: LargeList | None = connectors.hook(own, "bulk_query")
    assert found is hooks()["salesforce"]["bulk_query"]
    assert connectors.hook(own, "other") is None

    path = acme / "manifest.toml"
    for name in ("acme", "salesforce"):
        path.write_text(path.read_text("utf-8").replace('name = "acme"', f'name = "{name}"', 1), "utf-8")
        assert connectors.hook(load_manifest(path), "bulk_query") is None


def test_every_hook_that_ours_name_is_there() -> None:
    for manifest in manifests():
        for spec in manifest.streams:
            for read in spec.lists:
                assert read.large is None or read.large.hook in hooks()[manifest.name]
