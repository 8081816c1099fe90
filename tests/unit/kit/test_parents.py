"""Streams that are read for each record of another: what is wrong with one is found in its line."""

from pathlib import Path

import pytest

from trunkline.kit.checking import check
from trunkline.kit.scaffolding import scaffold
from trunkline.sdk.manifest import load_manifest

NOTES = """
[[streams]]
name = "notes"
parent = { stream = "contacts", field = "contact_id" }
fields = ["contact_id", "text"]

[streams.list]
path = "/api/{api_version}/contacts/{contact_id}/notes"
query = { limit = "{page_size}", cursor = "{cursor}" }
records = "data"
paginator = { kind = "cursor", next = "next_cursor" }

"""
BEFORE = "# what may be written;"


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    scaffold("acme", tmp_path)
    path = tmp_path / "acme" / "manifest.toml"
    text = path.read_text("utf-8")
    path.write_text(text.replace(BEFORE, NOTES + BEFORE, 1), "utf-8")
    return tmp_path / "acme"


def test_a_sound_one_has_no_finding(acme: Path) -> None:
    assert [str(one) for one in check(acme)] == []
    manifest = load_manifest(acme / "manifest.toml")
    assert manifest.children("contacts") == ("notes",)
    assert manifest.lineage("notes") == ("notes", "contacts")
    assert manifest.dependents("contacts") == ("contacts", "notes")


@pytest.mark.parametrize(
    ("old", "new", "at", "words"),
    [
        ('stream = "contacts", field', 'stream = "contact", field', "parent =", 'Did you mean "contacts"'),
        ('stream = "contacts", field', 'stream = "notes", field', "parent =", "leads in a circle"),
        ("contacts/{contact_id}/notes", "notes", "[streams.list]", "Put {contact_id} into the path"),
        (
            "contacts/{contact_id}/notes",
            "contacts/{contactid}/notes",
            "[streams.list]",
            'Did you mean "contact_id"',
        ),
        ('field = "contact_id"', 'field = "cursor"', "parent =", "stands for something else already"),
        ('field = "contact_id"', 'field = "Contact"', "parent =", "is no name"),
        (
            NOTES.rstrip(),
            NOTES.rstrip()
            + '\n\n[streams.incremental]\nquery = { since = "{since_iso}", cursor = "{cursor}" }',
            "[streams.incremental]",
            "is not used where a stream has a parent",
        ),
    ],
)
def test_a_mistake_is_found_in_its_line(acme: Path, old: str, new: str, at: str, words: str) -> None:
    path = acme / "manifest.toml"
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    found = next(one for one in check(acme) if words in str(one))
    lines = path.read_text("utf-8").splitlines()
    begins = lines.index('name = "notes"')
    assert found.line > begins
    assert lines[found.line - 1].startswith(at)
