"""The archive that a partner's connector travels in, and what is refused of one.

A zip whose entries are stored, never compressed, in the order of their names, with the oldest date and one
set of rights: so a folder makes the same bytes everywhere, a digest names its content, and nothing in it can
be larger than the archive is. Whatever else a zip could say (links, comments, a prefix, encryption, other
rights) is not what we would have made of its files, and is refused.

Python in it is inert: text that reviewers read. Nothing here writes a file or imports one.
"""

import hashlib
import io
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from trunkline.kernel.errors import BadInputError
from trunkline.sdk.contracts import FILE
from trunkline.sdk.manifest import MANIFEST_LIMIT

LIMIT: Final = 4 * 1024 * 1024
"""Bytes of an archive; the scaffold's has 8,000."""
MOST_FILES: Final = 400
LONGEST_NAME: Final = 160
DEEPEST: Final = 6
"""Parts of a name."""
KINDS: Final = (".json", ".md", ".py", ".toml", ".txt")
MANIFEST: Final = "manifest.toml"

_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_LEFT_OUT: Final = frozenset({"__pycache__", "node_modules"})
_NOT_OURS: Final = frozenset({".pyc", ".zip"})
"""What is made of a folder lies in it now and then, a package that was made before too."""
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)
_PLAIN: Final = stat.S_IFREG | 0o644
_BY_UNIX: Final = 3


class ArchiveError(BadInputError):
    """Not a package; says which file and what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(message, field="archive")


class Archive(msgspec.Struct, frozen=True):
    files: dict[str, str]
    """Path in the package -> its text, in the order of the paths."""
    digest: str
    """SHA-256 of the archive, in hexadecimal."""

    @property
    def manifest(self) -> bytes:
        return self.files[MANIFEST].encode()

    @property
    def code(self) -> tuple[str, ...]:
        """Files of Python, which are never run."""
        return tuple(name for name in self.files if name.endswith(".py"))

    def data(self) -> dict[str, str]:
        """What the platform reads: manifest, contract of events, and fixtures."""
        return {
            name: text
            for name, text in self.files.items()
            if name in {MANIFEST, FILE} or (name.startswith("fixtures/") and name.endswith(".json"))
        }


def pack(folder: Path) -> bytes:
    """Of a connector's folder; hidden files and caches stay out. Raises ArchiveError."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder)
        if any(part.startswith(".") or part in _LEFT_OUT for part in inner.parts) or path.suffix in _NOT_OURS:
            continue
        name = inner.as_posix()
        if path.is_symlink():
            raise ArchiveError(f"{name} is a link. Put the file itself there.")
        if not path.is_file():
            continue
        if path.stat().st_size > LIMIT:
            raise ArchiveError(f"{name} is larger than {LIMIT:,} bytes.")
        found[name] = path.read_bytes()
        if len(found) > MOST_FILES:
            raise ArchiveError(f"There are more than {MOST_FILES} files. Leave out what is not needed.")
    _check(found)
    made = _made(found)
    if len(made) > LIMIT:
        raise ArchiveError(
            f"The package has {len(made):,} bytes; {LIMIT:,} are allowed. Take fewer fixtures."
        )
    return made


def read(raw: bytes) -> Archive:
    """Of an archive from outside. Raises ArchiveError, whatever it holds."""
    if not raw:
        raise ArchiveError("Choose a package: the file that `trunkline connector pack` made.")
    if len(raw) > LIMIT:
        raise ArchiveError(f"The package has {len(raw):,} bytes; {LIMIT:,} are allowed.")
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            files = _files(archive, len(raw))
    except ArchiveError:
        raise
    except Exception as error:  # zipfile raises nearly anything on bytes that were made to confuse it
        raise ArchiveError(
            "This is no package: it cannot be read as a zip. Make it with `trunkline connector pack`."
        ) from error
    texts = _check(files)
    if _made(files) != raw:
        raise ArchiveError(
            "The archive holds something beside its files, or was made by another program. "
            "Make it with `trunkline connector pack`."
        )
    return Archive(texts, hashlib.sha256(raw).hexdigest())


def _files(archive: zipfile.ZipFile, size: int) -> dict[str, bytes]:
    entries = archive.infolist()
    if len(entries) > MOST_FILES:
        raise ArchiveError(f"It has {len(entries)} entries; {MOST_FILES} are allowed.")
    found: dict[str, bytes] = {}
    total = 0
    for entry in entries:
        name = entry.filename
        shown = repr(name[:80])
        _check_name(name)
        if name in found:
            raise ArchiveError(f"{shown} is there twice.")
        if entry.flag_bits & 0x1:
            raise ArchiveError(f"{shown} is encrypted. A package is open to everybody who reviews it.")
        if not stat.S_ISREG(entry.external_attr >> 16):
            raise ArchiveError(f"{shown} is a link or no plain file. Put the file itself there.")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ArchiveError(f"{shown} is compressed. Make the archive with `trunkline connector pack`.")
        total += entry.file_size
        if total > size:
            raise ArchiveError("Its files claim to be larger than the archive is.")
        found[name] = archive.read(entry)
    return found


def _check_name(name: str) -> None:
    shown = repr(name[:80])
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or "\\" in name:
        raise ArchiveError(f"{shown} is no name of a file below the package's folder.")
    parts = name.split("/")
    if ".." in parts:
        raise ArchiveError(f"{shown} leads out of the package.")
    if len(name) > LONGEST_NAME or len(parts) > DEEPEST or not all(map(_PART.fullmatch, parts)):
        raise ArchiveError(
            f"{shown} is no name for a file: letters, digits, points, hyphens and underscores, at most "
            f"{LONGEST_NAME} characters and {DEEPEST} folders deep."
        )
    if not name.endswith(KINDS):
        raise ArchiveError(f"{shown} has no place in a package: it holds {', '.join(KINDS)} files.")


def _check(files: Mapping[str, bytes]) -> dict[str, str]:
    """Their texts. ArchiveError naming a file."""
    texts: dict[str, str] = {}
    lower: set[str] = set()
    for name in sorted(files):
        _check_name(name)
        if name.lower() in lower:
            raise ArchiveError(f"{name!r} differs from another name by capitals alone.")
        lower.add(name.lower())
        try:
            texts[name] = files[name].decode("utf-8")
        except UnicodeDecodeError as error:
            raise ArchiveError(f"{name} is no UTF-8 text, at byte {error.start}.") from error
        if "\0" in texts[name]:
            raise ArchiveError(f"{name} holds a NUL character, which no text has.")
    folders = {name[: place.start()].lower() for name in files for place in re.finditer("/", name)}
    if both := sorted(folders & lower):
        raise ArchiveError(f"{both[0]!r} is a file and a folder at once.")
    if MANIFEST not in texts:
        raise ArchiveError("There is no manifest.toml at the top of the package.")
    if len(files[MANIFEST]) > MANIFEST_LIMIT:
        raise ArchiveError(f"manifest.toml is larger than {MANIFEST_LIMIT:,} bytes.")
    return texts


def _made(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _OLDEST)
            entry.create_system = _BY_UNIX
            entry.external_attr = _PLAIN << 16
            archive.writestr(entry, files[name])
    return target.getvalue()
