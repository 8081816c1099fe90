"""A connector's grade and what it rests on, as `trunkline connector grade` found it."""

from pathlib import Path
from typing import Literal

import msgspec

Standing = Literal["done", "todo", "exempt"]


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    grade: str
    title: str
    standing: Standing
    detail: str


class Graded(msgspec.Struct, frozen=True, kw_only=True):
    connector: str
    version: str
    grade: str
    """"none" below bronze."""
    missing: list[str]
    """Rules not met, lowest grade first."""
    rules: list[Judged]


def kept_grades(path: Path) -> tuple[Graded, ...]:
    """As the command wrote them with --json; none where nobody did."""
    try:
        return tuple(msgspec.json.decode(path.read_bytes(), type=list[Graded]))
    except (OSError, msgspec.DecodeError):
        return ()
