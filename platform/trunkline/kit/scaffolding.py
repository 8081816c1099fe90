"""`trunkline connector new`: a folder that passes its tests at once, to be made true step by step."""

import re
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9_]{1,38}[a-z0-9]")


class ScaffoldError(Exception):
    """The folder was not made; says why."""


def scaffold(name: str, into: Path, label: str = "") -> list[Path]:
    """The files made, in `into`/`name`. Raises ScaffoldError; nothing that exists is ever written over."""
    if not NAME.fullmatch(name):
        raise ScaffoldError(f'"{name}" is no name for a connector: small letters, digits and underscores.')
    folder = into / name
    if folder.exists():
        raise ScaffoldError(f"{folder} is there already.")
    label = label.strip() or name.replace("_", " ").title()
    if not label.isprintable() or '"' in label or "\\" in label or len(label) > 60:
        raise ScaffoldError("A label is up to 60 characters without quotation marks.")
    made: list[Path] = []
    _copy(resources.files("trunkline.kit") / "scaffold", folder, {"NAME": name, "LABEL": label}, made)
    return made


def _copy(source: Traversable, target: Path, words: dict[str, str], made: list[Path]) -> None:
    target.mkdir(parents=True)
    for entry in sorted(source.iterdir(), key=lambda one: one.name):
        named = entry.name.replace("NAME", words["NAME"]).removesuffix(".txt")
        if entry.is_dir():
            _copy(entry, target / named, words, made)
            continue
        text = entry.read_text("utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        (target / named).write_text(text, "utf-8")
        made.append(target / named)
