"""What can be proven of a manifest's actions without a call."""

from collections.abc import Iterator

from trunkline.recipes.errors import did_you_mean
from trunkline.sdk.actions import CALL_NAMES, OTHERS, Action, Find
from trunkline.sdk.manifest import Manifest
from trunkline.sdk.templates import holes

Problem = tuple[str, str, str]
"""(path in the manifest, what is wrong, what to do)"""


def check_actions(manifest: Manifest, values: set[str]) -> Iterator[Problem]:
    """`values`: what stands for placeholders of a connection."""
    names = [one.name for one in manifest.actions]
    streams = [one.name for one in manifest.streams]
    for number, action in enumerate(manifest.actions):
        at = f"actions[{number}]"
        if action.name in names[:number]:
            yield at, f'"{action.name}" is there twice.', "Give each a name of its own."
        if action.stream and action.stream not in streams:
            suggestion = did_you_mean(action.stream, streams)
            yield f"{at}.stream", f'{action.name}: There is no stream "{action.stream}".', suggestion
        yield from _inputs(at, action, values)
        yield from _templates(at, action, values)
        yield from _repeat(at, action)
        yield from _scopes(at, action, manifest)
        yield from _bucket(at, action.name, action.bucket, manifest)
        spec = manifest.stream(action.stream)
        if action.find is not None and spec is not None and action.find.id == "id" != spec.id:
            yield (
                f"{at}.find",
                f'{action.name}: an id at "id" is looked for; in {spec.name} it is at "{spec.id}".',
                "Write `id` into `find`: where it is in what is found.",
            )
        if action.find is not None:
            yield from _bucket(f"{at}.find", action.name, action.find.bucket, manifest)


def _inputs(at: str, action: Action, values: set[str]) -> Iterator[Problem]:
    used = holes([*action.templates, *(() if action.find is None else _of_find(action.find))])
    seen: set[str] = set()
    for one in action.input:
        here = f"{at}.input"
        if one.name in seen:
            yield here, f'{action.name}: the input "{one.name}" is there twice.', ""
        seen.add(one.name)
        if one.name in values or one.name in CALL_NAMES | {"found", "items", "item_key", OTHERS}:
            yield (
                here,
                f'{action.name}: "{one.name}" is a value of the connection or call.',
                "Give the input another name.",
            )
        if not {one.name, f"{one.name}_quoted", OTHERS} & used:
            yield (
                here,
                f'{action.name}: the input "{one.name}" is never sent.',
                f"Put {{{one.name}}} somewhere.",
            )
        if (one.type == "enum") != bool(one.options):
            yield here, f'{action.name}: "{one.name}" has options, or is an enum, without the other.', ""
        for option in one.values:
            if option not in one.options:
                suggestion = did_you_mean(option, one.options)
                yield here, f'{action.name}: "{option}" is no option of "{one.name}".', suggestion
        if one.sent_as and (OTHERS not in used or one not in action.others):
            yield here, f'{action.name}: "{one.name}" is not among {{others}}.', "Drop `sent_as`."
        if (one.pairs or one.prefix) and one.type != "map":
            yield here, f'{action.name}: only a map has pairs or a prefix, not "{one.name}".', ""
    for name, target in action.fields.items():
        if action.given(target.partition(".")[0]) is None:
            yield f"{at}.fields", f'{action.name}: "{name}" stands for no input.', did_you_mean(target, seen)


def _templates(at: str, action: Action, values: set[str]) -> Iterator[Problem]:
    given = {name for one in action.input for name in (one.name, f"{one.name}_quoted")}
    known = values | given | CALL_NAMES | {OTHERS}
    own: list[object] = [action.path, action.query, action.headers, action.id if "{" in action.id else ""]
    sent = known | ({"items"} if action.batch else set())
    parts: list[tuple[str, list[object], set[str]]] = [(at, [*own, action.body or {}], sent)]
    if action.batch is not None:
        parts.append((f"{at}.batch", [action.batch.item], known | {"item_key"}))
    if action.change is not None:
        found = known | {"found"}
        parts.append((f"{at}.change", [action.change.path, action.change.body or {}], found))
    if action.find is not None:
        parts.append((f"{at}.find", _of_find(action.find), known))
    for place, template, allowed in parts:
        for name in sorted(holes(template) - allowed):
            yield place, f"{action.name}: {{{name}}} is no value.", did_you_mean(name, allowed)
    needed = values | CALL_NAMES | {"found"}
    needed |= {name for one in action.input if one.required for name in (one.name, f"{one.name}_quoted")}
    for place, path in (
        (f"{at}.path", action.path),
        (f"{at}.change.path", action.change.path if action.change else "/"),
        (f"{at}.find.path", action.find.path if action.find else "/"),
    ):
        if not path.startswith("/"):
            yield place, f"{action.name}: a path begins with a slash.", ""
        for name in sorted((holes(path) & known) - needed):
            yield (
                place,
                f"{action.name}: {{{name}}} stands in a path and may be missing.",
                "Make it required.",
            )


def _repeat(at: str, action: Action) -> Iterator[Problem]:
    keyed = "call_key" in holes(list(action.templates))
    if action.repeat == "key" and not keyed:
        yield (
            f"{at}.repeat",
            f"{action.name}: the provider never gets the key of a call.",
            "Put {call_key} into a header or the body.",
        )
    if action.repeat == "find" and action.find is None:
        yield f"{at}.repeat", f"{action.name}: it does not say how to find what was written.", "Add `find`."
    if action.change is not None and action.find is None:
        yield f"{at}.change", f"{action.name}: nothing finds what is to be changed.", "Add `find`."
    if action.repeat == "never" and action.find is not None:
        yield f"{at}.repeat", f"{action.name}: what can be found need not stay unknown.", 'Write "find".'
    find = action.find
    if find is not None and not find.absent and not (find.match or holes([find.query, find.body or {}])):
        yield (
            f"{at}.find",
            f"{action.name}: anything would be found.",
            "Ask for it by its inputs, or `match`.",
        )
    if action.batch is not None:
        if "items" not in holes(action.body or {}):
            yield f"{at}.batch", f"{action.name}: the items are never sent.", "Put {items} into the body."
        if (action.batch.key or action.batch.error_key) and "item_key" not in holes(action.batch.item):
            yield f"{at}.batch", f"{action.name}: items have no key.", "Put {item_key} into the item."
        if action.repeat != "same":
            yield f"{at}.batch", f"{action.name}: a batch is sent again as it is.", 'Write repeat = "same".'


def _scopes(at: str, action: Action, manifest: Manifest) -> Iterator[Problem]:
    for scope in action.scopes:
        for way in manifest.ways:
            if way.scopes and scope not in way.scope_words:
                yield (
                    f"{at}.scopes",
                    f'{action.name}: the scope "{scope}" has no words.',
                    did_you_mean(scope, list(way.scope_words)) or "Say in `scope_words` what it lets us do.",
                )


def _bucket(at: str, name: str, bucket: str, manifest: Manifest) -> Iterator[Problem]:
    buckets = {rate.bucket for rate in manifest.rates}
    if bucket not in buckets and "*" not in buckets:
        yield at, f'{name}: no rate is declared for the bucket "{bucket}".', did_you_mean(bucket, buckets)


def _of_find(find: Find) -> list[object]:
    return [find.path, find.query, find.body or {}, find.match]
