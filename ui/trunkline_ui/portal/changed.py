"""What a mapped record is known by, and what a change of it changed. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from trunkline.recipes.definition import RecipeDefinition
from trunkline.recipes.document import laid_out, lookup
from trunkline.runs.schemas import ChangeView
from trunkline_ui.rendering import Tone


def headline(data: Mapping[str, Any]) -> tuple[str, str]:
    """What people know a mapped record by: a name, and a second line; either may be empty."""
    texts = {name: value.strip() for name, value in data.items() if isinstance(value, str) and value.strip()}
    person = " ".join(texts[part] for part in ("first_name", "last_name") if part in texts)
    named = [texts[name] for name in ("full_name", "name", "title", "subject") if name in texts]
    seconds = [
        texts[name]
        for name in (
            "email",
            "requester_email",
            "domain",
            "website",
            "stage",
            "status",
            "company_name",
            "phone",
        )
        if name in texts
    ]
    first = person or next(iter(named), "") or next(iter(seconds), "") or next(iter(texts.values()), "")
    second = next((text for text in seconds if text != first), "")
    return first[:160], second[:160]


def known_as(document: dict[str, Any], values: str, definitions: Sequence[RecipeDefinition]) -> str:
    """What people know a record by of which nothing could be made; empty: nobody knows.

    By the fields that the first of the recipes takes over which finds any. `values`: where they lie in it.
    """
    get = lookup(laid_out(document, values))
    for definition in definitions:
        taken = {one.target: get(one.source) for one in definition.mappings if one.kind == "field"}
        if title := headline(taken)[0]:
            return title
    return ""


class Difference(msgspec.Struct, frozen=True):
    """A row of `ui.diff`."""

    field: str
    before: str | None
    after: str | None
    change: Literal["added", "removed", "changed", "same"]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Only what differs, in the order of `after`; null and absent are the same."""
    rows = []
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        change: Literal["added", "removed", "changed"] = (
            "added" if old is None else "removed" if new is None else "changed"
        )
        rows.append(Difference(name, shown(old), shown(new), change))
    return rows


def shown(value: Any) -> str | None:
    """A mapped value as text; None for no value."""
    if value is None:
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode()


class ChangeStep(msgspec.Struct, frozen=True, kw_only=True):
    """A change with what it changed."""

    change: ChangeView
    title: str
    tone: Tone
    icon: str
    differences: list[Difference]


def change_steps(changes: Sequence[ChangeView], limit: int) -> list[ChangeStep]:
    """`changes`: newest first, one more than `limit` where there is one, as the base of the last shown."""
    steps = []
    for index, change in enumerate(changes[:limit]):
        older = changes[index + 1].data if index + 1 < len(changes) else {}
        if change.operation == "created":
            older = {}
        title, tone, icon = {
            "created": ("Created", "success", "plus"),
            "deleted": ("Deleted", "danger", "trash"),
        }.get(change.operation, ("Changed", "info", "refresh"))
        rows = [] if change.operation == "deleted" else differences(older, change.data)
        steps.append(ChangeStep(change=change, title=title, tone=tone, icon=icon, differences=rows))  # type: ignore[arg-type]
    return steps
