"""Captured documents: as they came or as a list, and what is wrong with one has its file and line."""

import json
from pathlib import Path

import msgspec
import pytest

from trunkline.kit.scaffolding import scaffold
from trunkline.sdk.fixture_files import FixtureError, accounts, documents, leftovers
from trunkline.sdk.manifest import StreamSpec, load_manifest

LINES = '[\n  {"id": "1", "email": "a@example"},\n  {"id": "2", "email": "b@example"}\n]\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scaffold("acme", tmp_path)
    return tmp_path / "acme" / "fixtures"


@pytest.fixture
def contacts(folder: Path) -> StreamSpec:
    (found,) = load_manifest(folder.parent / "manifest.toml").streams
    return found


def test_a_list_of_documents(folder: Path, contacts: StreamSpec) -> None:
    (folder / "contacts.json").write_text(LINES)
    assert [one["id"] for one in documents(folder, contacts)] == ["1", "2"]


def test_an_answer_as_it_came(folder: Path, contacts: StreamSpec) -> None:
    """With what the provider wraps around the list, which the manifest names."""
    (folder / "contacts.json").write_text(f'{{"data": {LINES}, "next_cursor": null}}')
    assert [one["id"] for one in documents(folder, contacts)] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[\n  {"id": "1"},\n  {"id": "2",}\n]\n', 3, "malformed"),
        ('[\n  {"id": "1"},\n', 3, "truncated"),
        ("", 1, "truncated"),
        ('{"items": [{"id": "1"}]}', 1, "It has lists at 'items'"),
        ('{"error": "nope"}', 1, "It has none"),
        ('"text"', 1, "neither a list of records"),
        ('[\n  {"id": "1"},\n  7\n]', 3, "document 2 is no object"),
        ('[\n  {"id": "1"},\n\n  {"key": "2"}\n]', 4, "document 2 has no id at 'id'"),
        ('[\n  {"id": "1"},\n  {"id": true}\n]', 3, "document 2 has no id"),
        ('[\n  {"id": 1},\n  {"id": 2},\n  {"id": "1"}\n]', 4, "documents 1 and 3 have one id, 1"),
    ],
)
def test_what_is_wrong_has_its_line(
    folder: Path, contacts: StreamSpec, text: str, line: int, words: str
) -> None:
    (folder / "contacts.json").write_text(text)
    with pytest.raises(FixtureError) as refused:
        documents(folder, contacts)
    assert str(refused.value).startswith(f"{folder / 'contacts.json'}:{line}: ")
    assert words in str(refused.value)


def test_what_is_no_text_or_not_there_is_said(folder: Path, contacts: StreamSpec) -> None:
    (folder / "contacts.json").write_bytes(b'[{"id": "\xff"}]')
    with pytest.raises(FixtureError, match=r"contacts\.json"):
        documents(folder, contacts)
    (folder / "contacts.json").write_text("[]")
    with pytest.raises(FixtureError, match="no document in it"):
        documents(folder, contacts)
    (folder / "contacts.json").unlink()
    with pytest.raises(FixtureError, match="step 0 of the guide"):
        documents(folder, contacts)


def test_ids_of_accounts_may_be_numbers(folder: Path) -> None:
    listed = [{"id": 9001, "name": "Globex"}, {"id": "9002"}]
    (folder / "accounts.json").write_text(json.dumps(listed))
    assert [(one.id, one.name) for one in accounts(folder)] == [("9001", "Globex"), ("9002", "9002")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[\n  {"id": "1"},\n  {"name": "x"}\n]', r"accounts\.json:3: .*`id`"),
        ('[{"id": "1"}]', "at least two accounts"),
        ('[{"id": "1"}, {"id": 1}]', "two accounts have one id"),
    ],
)
def test_what_is_wrong_with_accounts(folder: Path, text: str, words: str) -> None:
    (folder / "accounts.json").write_text(text)
    with pytest.raises(FixtureError, match=words):
        accounts(folder)


def test_leftovers_are_named(folder: Path) -> None:
    assert leftovers(folder, ["contacts"]) == []
    assert leftovers(folder, ["letters"]) == ["contacts.json"]


def test_the_record_may_lie_deeper(folder: Path, contacts: StreamSpec) -> None:
    spec = msgspec.structs.replace(contacts, id="contact.key")
    (folder / "contacts.json").write_text('[{"contact": {"key": 7}}]')
    assert documents(folder, spec) == [{"contact": {"key": 7}}]
