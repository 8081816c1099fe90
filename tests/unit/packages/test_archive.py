"""Archives of partners: the same bytes of the same folder, and nothing of a hostile one is believed."""

import io
import stat
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.kit.scaffolding import scaffold
from trunkline.packages.archive import LIMIT, MOST_FILES, ArchiveError, pack, read

MANIFEST = 'name = "acme"\n'


def zipped(
    *entries: tuple[str, bytes], mode: int = stat.S_IFREG | 0o644, how: int = zipfile.ZIP_STORED
) -> bytes:
    """As `pack` makes it but for what is asked for."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", how) as archive:
        for name, body in entries:
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.compress_type = how
            entry.external_attr = mode << 16
            archive.writestr(entry, body)
    return target.getvalue()


OURS = ("manifest.toml", MANIFEST.encode())


def test_a_folder_is_packed_alike_and_read_back(tmp_path: Path) -> None:
    scaffold("acme", tmp_path)
    folder = tmp_path / "acme"
    made = pack(folder)
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "x.pyc").write_bytes(b"\0")
    (folder / "acme-0.1.0.zip").write_bytes(made)
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_bytes(b"\0")
    (folder / "manifest.toml").touch()
    assert pack(folder) == made
    found = read(made)
    assert found.files["manifest.toml"] == (folder / "manifest.toml").read_text()
    assert found.code == ("test_acme.py",)
    assert set(found.data()) == {"manifest.toml", "fixtures/accounts.json", "fixtures/contacts.json"}


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "Choose a package"),
        (b"no zip", "cannot be read as a zip"),
        (b"x" * (LIMIT + 1), "are allowed"),
        (zipped(("fixtures/a.json", b"[]")), "no manifest.toml"),
        (zipped(OURS, ("../evil.json", b"")), "leads out of the package"),
        (zipped(OURS, ("fixtures/../../evil.json", b"")), "leads out of the package"),
        (zipped(OURS, ("/etc/passwd.txt", b"")), "no name of a file below"),
        (zipped(OURS, ("C:/windows.txt", b"")), "no name of a file below"),
        (zipped(OURS, ("fixtures\\a.json", b"")), "no name of a file below"),
        (zipped(OURS, (".hidden.json", b"")), "is no name for a file"),
        (zipped(OURS, ("a/b/c/d/e/f/g.json", b"")), "is no name for a file"),
        (zipped(OURS, ("x" * 200 + ".json", b"")), "is no name for a file"),
        (zipped(OURS, ("fixtures/", b"")), "is no name for a file"),
        (zipped(OURS, ("lib.so", b"")), "has no place in a package"),
        (zipped(OURS, ("a.json", b"[]"), ("A.json", b"[]")), "by capitals alone"),
        (zipped(OURS, ("a.json", b""), ("a.json/b.json", b"")), "a file and a folder at once"),
        (zipped(OURS, ("link.json", b"/etc/passwd"), mode=stat.S_IFLNK | 0o777), "a link or no plain file"),
        (zipped(OURS, how=zipfile.ZIP_DEFLATED), "is compressed"),
        (zipped(OURS, ("big.json", b"0" * 10_000_000), how=zipfile.ZIP_DEFLATED), "is compressed"),
        (zipped(OURS, *((f"a{n}.json", b"") for n in range(MOST_FILES))), f"{MOST_FILES} are allowed"),
        (zipped(OURS, ("a.json", b"\xff\xfe")), "no UTF-8 text"),
        (zipped(OURS, ("a.json", b"a\0b")), "NUL character"),
        (zipped(("manifest.toml", b"#" * 300_000)), "larger than"),
        (b"#!/bin/sh\n" + zipped(OURS), "something beside its files"),
        (zipped(OURS) + b"trailing", "something beside its files"),
        (zipped(OURS, mode=stat.S_IFREG | 0o6755), "something beside its files"),
    ],
)
def test_what_is_no_package_is_refused_in_words(raw: bytes, words: str) -> None:
    with pytest.raises(ArchiveError, match=words) as refused:
        read(raw)
    assert refused.value.field == "archive"


def test_a_name_twice_is_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        raw = zipped(OURS, ("a.json", b"1"), ("a.json", b"2"))
    with pytest.raises(ArchiveError, match="is there twice"):
        read(raw)


def test_many_entries_over_the_same_bytes_are_refused() -> None:
    """Each entry may be as large as the archive, all of them together may not be larger."""
    raw = bytearray(zipped(OURS, ("a.json", b"x" * 1000), ("b.json", b"y" * 1000)))
    for place in (raw.rfind(b"PK\x01\x02"), raw.rfind(b"PK\x01\x02", 0, raw.rfind(b"PK\x01\x02"))):
        for offset in (20, 24):
            raw[place + offset : place + offset + 4] = (len(raw) - 100).to_bytes(4, "little")
    with pytest.raises(ArchiveError, match=r"claim to be larger|cannot be read"):
        read(bytes(raw))


def test_links_and_strange_files_are_not_packed(tmp_path: Path) -> None:
    scaffold("acme", tmp_path)
    (tmp_path / "acme" / "secret.txt").symlink_to("/etc/passwd")
    with pytest.raises(ArchiveError, match=r"secret\.txt is a link"):
        pack(tmp_path / "acme")
    (tmp_path / "acme" / "secret.txt").unlink()
    (tmp_path / "acme" / "tool.exe").write_bytes(b"MZ")
    with pytest.raises(ArchiveError, match="has no place in a package"):
        pack(tmp_path / "acme")


@settings(max_examples=150, deadline=None)
@given(
    place=st.integers(min_value=0, max_value=10_000),
    given_=st.binary(min_size=1, max_size=8),
    cut=st.integers(min_value=0, max_value=40),
)
def test_any_damage_is_a_sentence_or_no_damage(place: int, given_: bytes, cut: int) -> None:
    good = zipped(("fixtures/a.json", b"[1]"), OURS)
    raw = bytearray(good)
    at = place % len(raw)
    raw[at : at + len(given_)] = given_
    damaged = bytes(raw[: len(raw) - cut])
    try:
        found = read(damaged)
    except ArchiveError as error:
        sentence = error.message
        assert sentence.endswith(".")
    else:
        assert zipped(*((name, text.encode()) for name, text in found.files.items())) == damaged


_NAMES = st.from_regex(r"[a-z]{1,6}(/[a-z]{1,6}){0,2}\.(json|md|py|txt)", fullmatch=True)


@settings(max_examples=25, deadline=None)
@given(
    files=st.dictionaries(
        _NAMES,
        st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8"), max_size=20),
        max_size=5,
    )
)
def test_what_was_packed_is_what_is_read(files: dict[str, str]) -> None:
    files = {"manifest.toml": MANIFEST, **files}
    raw = zipped(*((name, files[name].encode()) for name in sorted(files)))
    assert read(raw).files == files


@settings(max_examples=100, deadline=None)
@given(name=st.text(min_size=1, max_size=40), body=st.binary(max_size=40))
def test_no_name_leads_anywhere_else(name: str, body: bytes) -> None:
    try:
        raw = zipped(OURS, (name, body))
    except (ValueError, UnicodeEncodeError):
        return
    try:
        found = read(raw)
    except ArchiveError:
        return
    for inner in found.files:
        home = Path("/home/package")
        assert (home / inner).resolve().is_relative_to(home)
        assert inner.isascii()
