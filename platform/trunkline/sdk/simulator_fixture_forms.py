"""Templates of a manifest read backwards: what a request was given, and values in the captured form. Pure."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from trunkline.runs.moments import parse_moment
from trunkline.sdk.manifest import Field, StreamSpec
from trunkline.sdk.templates import holes


def listed_fields(spec: StreamSpec) -> dict[str, Any]:
    discovery = spec.discovery
    assert discovery is not None
    words = {meaning: word for word, meaning in discovery.types.items()}

    def entry(field: Field) -> dict[str, Any]:
        made: dict[str, Any] = {}
        put(made, discovery.name, field.name)
        put(made, discovery.label, field.label)
        put(made, discovery.type, words.get(field.type, field.type))
        return made

    made: dict[str, Any] = {}
    put(made, discovery.records, [entry(field) for field in spec.fields])
    return made


def path_of(url: str) -> str:
    return "/" + url.partition("://")[2].partition("/")[2]


def put(document: dict[str, Any], pointer: str, value: Any) -> None:
    *parents, last = pointer.split(".")
    for part in parents:
        below = document.get(part)
        if not isinstance(below, dict):
            below = document[part] = {}
        document = below
    document[last] = value


def unform(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A form as the object that `templates.form_pairs` made it of; lists by number, and all values texts."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        parts = [part for part in re.split(r"[\[\]]+", name) if part] or [name]
        *parents, last = [*parts, ""] if name.endswith("[]") else parts
        below = made
        for part in parents:
            held = below.get(part)
            if not isinstance(held, dict):
                held = below[part] = {}
            below = held
        last = last or str(len(below))
        below[last] = str(value)
    return {name: _listed(value) for name, value in made.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    whole = {name: _listed(one) for name, one in value.items()}
    numbered = list(whole) == [str(at) for at in range(len(whole))] and whole
    return list(whole.values()) if numbered else whole


def like(before: Any, text: str) -> Any:
    return int(text) if isinstance(before, int) and text.isdecimal() else text


def moment(before: Any, at: datetime) -> Any:
    """In the form that the captured document has it in."""
    if isinstance(before, int):
        return int(at.timestamp() * 1000) if before > 10**11 else int(at.timestamp())
    if isinstance(before, str) and before.isdecimal():
        return str(moment(int(before), at))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def since_of(given: Mapping[str, str]) -> datetime | None:
    for name in ("since_iso", "since_ms", "since_s", "since_date"):
        if name in given:
            return parse_moment(given[name])
    return None


def pattern(template: str) -> str:
    parts = re.split(r"\{([a-z][a-z0-9_]*)\}", template)
    return "".join(f"(?P<{part}>.*)" if number % 2 else re.escape(part) for number, part in enumerate(parts))


def recognised(template: str, path: str) -> dict[str, str] | None:
    found = re.fullmatch(pattern(template), path)
    return None if found is None else found.groupdict()


def matched(template: Any, given: Any) -> dict[str, Any] | None:
    """What the holes of a template hold in a request; None: it is no request of this template."""
    if isinstance(template, str):
        if given is None:
            return {} if holes(template) else None
        if not holes(template):
            return {} if str(given) == template else None
        if isinstance(given, list):
            return {}
        found = re.fullmatch(pattern(template), str(given), re.DOTALL)
        return None if found is None else found.groupdict()
    if isinstance(template, Mapping):
        if not isinstance(given, Mapping):
            return {} if given is None and holes(template) else None
        made: dict[str, Any] = {}
        for name, part in template.items():
            said = matched(part, given.get(name))
            if said is None:
                return None
            made |= said
        return made
    if isinstance(template, list):
        if not isinstance(given, list) or len(given) != len(template):
            return None
        return matched(dict(enumerate(template)), dict(enumerate(given)))
    return {} if template == given or str(template).lower() == str(given).lower() else None
