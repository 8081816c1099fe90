"""Captured documents as they lie in a folder, and what is wrong with one: file, line, what to do."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from trunkline.sdk.pointers import point
from trunkline.sdk.simulator import Account
from trunkline.sdk.streams import Parent, StreamSpec

_PLACE: Final = re.compile(r" - at `\$\[(\d+)\](?:\.([^`]+))?`$")
_BYTE: Final = re.compile(r" \(byte (\d+)\)$")
_STEP_0: Final = "capture it first (step 0 of the guide)"


class FixtureError(Exception):
    """A fixture that cannot be used; the message names the file, and the line where there is one."""


class _Listed(msgspec.Struct, frozen=True):
    """An account; ids of providers are numbers as often as texts."""

    id: str | int
    name: str = ""
    detail: str = ""
    host: str = ""


def accounts(folder: Path) -> tuple[Account, ...]:
    """Of accounts.json. Raises FixtureError."""
    path = folder / "accounts.json"
    raw = read_bytes(path)
    made = tuple(
        Account(str(one.id), one.name or str(one.id), one.detail, one.host)
        for one in decoded(path, raw, list[_Listed])
        if one.id != ""
    )
    if len(made) < 2:
        raise FixtureError(f"{path}: name at least two accounts, the second empty.")
    if len({one.id for one in made}) < len(made):
        raise FixtureError(f"{path}: two accounts have one id. Each account has its own.")
    return made


def documents(folder: Path, spec: StreamSpec) -> list[dict[str, Any]]:
    """Of {stream}.json: the list of them, or an answer as it came, with the list where the manifest says. Of
    a stream that is read for each record of another also an object: by that one's id, a list or an answer.
    There each document has that id under the parent's `field`.

    Raises FixtureError.
    """
    path = folder / f"{spec.name}.json"
    raw = read_bytes(path)
    whole = decoded(path, raw, Any)
    found, wrapped = whole, isinstance(whole, dict)
    if wrapped:
        found = _listed_in(whole, spec)
        if found is None and spec.parent is not None:
            found = _by_parent(path, whole, spec, spec.parent)
        if found is None:
            raise FixtureError(_unwrapped(path, whole, spec))
    if not isinstance(found, list):
        raise FixtureError(f"{path}:1: it is neither a list of records nor an answer with one.")
    if not found:
        raise FixtureError(f"{path}: there is no document in it.")
    seen: dict[str, int] = {}
    for number, document in enumerate(found):
        line = 1 if wrapped else line_of(raw, number)
        if not isinstance(document, dict):
            raise FixtureError(f"{path}:{line}: document {number + 1} is no object.")
        identity = point(document, spec.id)
        if not isinstance(identity, str | int) or isinstance(identity, bool):
            raise FixtureError(
                f"{path}:{line}: document {number + 1} has no id at {spec.id!r}. "
                f"The manifest's `id` of {spec.name} says where it is."
            )
        first = seen.setdefault(str(identity), number)
        if first != number:
            raise FixtureError(
                f"{path}:{line}: documents {first + 1} and {number + 1} have one id, {identity}. Keep one."
            )
        if spec.parent is not None and document.get(spec.parent.field) in {None, ""}:
            raise FixtureError(
                f"{path}:{line}: document {number + 1} has no {spec.parent.field!r}, and so does not say of "
                f'which of {spec.parent.stream} it is. Keep the answers by that id: {{"<id>": [...], ...}}.'
            )
    return found


def all_documents(folder: Path, streams: Sequence[StreamSpec]) -> dict[str, list[dict[str, Any]]]:
    """By stream. Raises FixtureError, also where a document is of a parent that was not captured."""
    found = {spec.name: documents(folder, spec) for spec in streams}
    ids = {spec.name: {str(point(one, spec.id)) for one in found[spec.name]} for spec in streams}
    for spec in streams:
        of = spec.parent
        for document in found[spec.name] if of is not None and of.stream in ids else ():
            assert of is not None
            if str(document[of.field]) not in ids[of.stream]:
                raise FixtureError(
                    f"{folder / spec.name}.json: {point(document, spec.id)} is of {document[of.field]}, and "
                    f"there is no such record in {of.stream}.json. Capture that one too, or leave this out."
                )
    return found


def _listed_in(whole: dict[str, Any], spec: StreamSpec) -> list[Any] | None:
    return next((held for read in spec.lists if isinstance(held := point(whole, read.records), list)), None)


def _by_parent(path: Path, whole: dict[str, Any], spec: StreamSpec, of: Parent) -> list[Any] | None:
    """None: it is something else."""
    found: list[Any] = []
    for parent, answer in whole.items():
        held = _listed_in(answer, spec) if isinstance(answer, dict) else answer
        if not isinstance(held, list):
            return None
        for number, document in enumerate(held):
            if not isinstance(document, dict):
                raise FixtureError(f"{path}:1: document {number + 1} of {parent!r} is no object.")
            found.append({of.field: parent} | document)
    return found


def leftovers(folder: Path, streams: list[str]) -> list[str]:
    """Names of fixtures that belong to no stream: of the scaffold, or of one that was renamed."""
    known = {*streams, "accounts"}
    return [path.name for path in sorted(folder.glob("*.json")) if path.stem not in known]


def line_of(raw: bytes, number: int) -> int:
    """Line, from 1, on which the entry of that number in a list begins."""
    text, decoder = raw.decode("utf-8", "replace"), json.JSONDecoder()
    at = text.find("[") + 1
    try:
        for passed in range(number + 1):
            at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
            if passed == number:
                return text.count("\n", 0, at) + 1
            _, at = decoder.raw_decode(text, at)
    except (ValueError, RecursionError):
        pass
    return 1


def read_bytes(path: Path) -> bytes:
    """Raises FixtureError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise FixtureError(f"{path}: {_STEP_0}: {error.strerror}.") from error


def decoded(path: Path, raw: bytes, shape: Any) -> Any:
    """Raises FixtureError, with the line."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.DecodeError as error:  # a ValidationError is one too
        raise FixtureError(_told(path, raw, str(error))) from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise FixtureError(f"{path}: it is no JSON: {error}.") from error


def _told(path: Path, raw: bytes, words: str) -> str:
    """Msgspec's words with the line in the place of its byte or path."""
    if found := _BYTE.search(words):
        line = raw.count(b"\n", 0, int(found[1])) + 1
        return f"{path}:{line}: {words[: found.start()]}."
    if found := _PLACE.search(words):
        member = f" in `{found[2]}`" if found[2] else ""
        return f"{path}:{line_of(raw, int(found[1]))}: {words[: found.start()]}{member}."
    line = raw.count(b"\n") + 1 if "truncated" in words else 1
    return f"{path}:{line}: {words}."


def _unwrapped(path: Path, whole: dict[str, Any], spec: StreamSpec) -> str:
    """Of an answer whose list is not where the manifest says."""
    where = " or ".join(repr(read.records) for read in spec.lists if read.records) or "the answer itself"
    held = [name for name, value in whole.items() if isinstance(value, list)]
    if spec.parent is not None:
        where += f", or by the ids of {spec.parent.stream}"
    there = f" It has lists at {', '.join(map(repr, held[:5]))}." if held else " It has none."
    return (
        f"{path}:1: it is one object, and the manifest says that the list of {spec.name} is at {where}."
        f"{there} Correct `records`, or keep the list alone, without what the provider wraps around it."
    )
