"""What a version asks for beyond another, and whether a connection may move to it by itself.

Compatible is a later version of the same major number (below 1.0.0: of the same minor number) with which
everything that a connection keeps still means the same, and that asks the customer for nothing more:

- no host, scope, input or address of a sign-in more or other than before; the ways to give access are there;
- the same base address, the account told apart by the same value;
- each stream still there, its records told apart, dated and laid out as before, no field gone or of another
  type;
- each action still there, taking what it took, needing no more of the caller, repeated in the same way;
- webhooks, where there were any, owned, keyed and signed as before.

Each of these is an equality or a subset, so compatibility of two steps is that of both together.
"""

from collections.abc import Iterator

import msgspec

from trunkline.sdk.manifest import Auth, Manifest
from trunkline.sdk.registry import version_key


class Change(msgspec.Struct, frozen=True):
    """A sentence for staff. `breaks`: no connection moves over it by itself."""

    words: str
    breaks: bool


def compatible(old: Manifest, new: Manifest) -> bool:
    """Whether connections of `old` move to `new` by themselves."""
    return old.name == new.name and _follows(old.version, new.version) and not any(breaking(old, new))


def changes(old: Manifest, new: Manifest) -> list[Change]:
    """What is asked for and given besides, the breaking ones first."""
    found = [Change(words, breaks=True) for words in breaking(old, new)]
    if not _follows(old.version, new.version):
        found.insert(0, Change(f"{new.version} is no compatible number after {old.version}.", breaks=True))
    return found + [Change(words, breaks=False) for words in _harmless(old, new)]


def _follows(old: str, new: str) -> bool:
    before, after = version_key(old), version_key(new)
    same = before[0] == after[0] and (before[0] > 0 or before[1] == after[1])
    return same and after > before


def breaking(old: Manifest, new: Manifest) -> Iterator[str]:
    """Why not, in sentences; none where nothing stands against it but perhaps the number."""
    for host in sorted(set(new.hosts) - set(old.hosts)):
        yield f"It wants to call {host}."
    for host in sorted(set(old.hosts) - set(new.hosts)):
        yield f"It no longer calls {host}, where connections may have their data."
    if old.base_url != new.base_url:
        yield "Its base address is another."
    if (old.account.id, old.account.source) != (new.account.id, new.account.source):
        yield "It tells accounts apart by another value."
    yield from _ways(old, new)
    yield from _streams(old, new)
    yield from _actions(old, new)
    if old.webhooks is not None:
        kept = ("owner", "keyed_by", "signatures", "account", "id", "id_header")
        if new.webhooks is None:
            yield "It takes in no webhooks any more."
        elif any(getattr(old.webhooks, name) != getattr(new.webhooks, name) for name in kept):
            yield "Its webhooks are addressed, signed or told apart in another way."


def _ways(old: Manifest, new: Manifest) -> Iterator[str]:
    known = {way.key: way for way in old.ways}
    given = {way.key: way for way in new.ways}
    for key in sorted(known.keys() - given.keys()):
        yield f"A way to give access is gone: {known[key].label or key or 'the usual one'}."
    for key in sorted(known.keys() & given.keys()):
        before, after = known[key], given[key]
        for scope in sorted(set(after.scopes) - set(before.scopes)):
            yield f'It asks for the scope "{scope}".'
        if bare(before) != bare(after):
            yield f"Access is given otherwise than before ({after.label or after.key or 'the usual way'})."


def bare(way: Auth) -> Auth:
    """Without words for people, and without scopes, which are told one by one."""
    inputs = tuple(
        msgspec.structs.replace(one, label="", help="", example="", options=tuple(_wordless(one.options)))
        for one in way.inputs
    )
    return msgspec.structs.replace(way, label="", help_url=None, scopes=(), scope_words={}, inputs=inputs)


def _wordless(options: tuple[msgspec.Struct, ...]) -> Iterator[msgspec.Struct]:
    for option in options:
        yield msgspec.structs.replace(option, label="")


def _streams(old: Manifest, new: Manifest) -> Iterator[str]:
    for before in old.streams:
        after = new.stream(before.name)
        if after is None:
            yield f"The stream {before.name} is gone."
            continue
        if before.id != after.id:
            yield f"{before.name}: records are told apart by {after.id}, no longer by {before.id}."
        if (before.modified, before.values) != (after.modified, after.values):
            yield f"{before.name}: records are dated or laid out in another way."
        types = {field.name: field.type for field in after.fields}
        for field in before.fields:
            if field.name not in types:
                yield f"{before.name}: the field {field.name} is gone."
            elif types[field.name] != field.type:
                yield f"{before.name}: the field {field.name} is of another type."


def _actions(old: Manifest, new: Manifest) -> Iterator[str]:
    for scope in sorted(
        _of_actions(new) - _of_actions(old) - {one for way in old.ways for one in way.scopes}
    ):
        yield f'An action asks for the scope "{scope}".'
    given = {one.name: one for one in new.actions}
    for before in old.actions:
        after = given.get(before.name)
        if after is None:
            yield f"The action {before.name} is gone."
            continue
        if before.repeat != after.repeat:
            yield f"{before.name}: a call whose answer was lost is repeated in another way."
        inputs = {one.name: one for one in after.input}
        for one in before.input:
            kept = inputs.get(one.name)
            if kept is None or kept.type != one.type or (kept.required and not one.required):
                yield f"{before.name}: the input {one.name} is gone, of another type, or needed now."
        known = {one.name for one in before.input}
        if needed := sorted(name for name, one in inputs.items() if one.required and name not in known):
            yield f"{before.name}: new inputs are needed, {', '.join(needed)}."


def _of_actions(manifest: Manifest) -> set[str]:
    return {scope for one in manifest.actions for scope in one.scopes}


def _harmless(old: Manifest, new: Manifest) -> Iterator[str]:
    for before in old.ways:
        gone = sorted(set(before.scopes) - {one for way in new.ways for one in way.scopes})
        if gone:
            yield f"It no longer asks for {', '.join(gone)}."
    for way in new.ways:
        if way.key not in {one.key for one in old.ways}:
            yield f"There is a further way to give access: {way.label or way.key}."
    for action in new.actions:
        if action.name not in {one.name for one in old.actions}:
            yield f"There is a new action, {action.name}."
    for stream in new.streams:
        before_stream = old.stream(stream.name)
        if before_stream is None:
            yield f"There is a new stream, {stream.name}."
        elif more := sorted(set(stream.field_names) - set(before_stream.field_names)):
            yield f"{stream.name}: new fields, {', '.join(more)}."
    if old.api != new.api and new.api is not None:
        yield f"It speaks the API's version {new.api.version}."
