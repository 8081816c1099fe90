"""What a manifest says once for many parts, or shortly, written out before it is read.

`[each_stream]` and `[each_action]` hold members that every stream or action has unless it says otherwise:
tables are merged member by member, anything else is replaced, `false` takes a table or list away, and a
table with `anew = true` takes the other's place whole. In their texts {stream} is the stream's name, or that
of the stream that the action writes to. Of `find`, `change` and `batch` an action has those that it names
itself, completed. `input` of `[each_action]` are inputs that an action has where it names them: "fields".

Further reads of a stream (`incremental`, `also`, `deletions`) go where its `list` goes, and turn pages as it
does (`_WAY`), unless they say otherwise. `auth.scopes` are by default those that the parts need.

What has a name may be the name alone, and without a label it is called by its name in words. A field may be
["createdate", "Created", "datetime"], its name, label and kind; an input ["first_name", "firstname"], the
second what it is sent as. A recipe's fields may be a list of names, and of pairs: the model's, the
provider's. Where the provider lists an account's fields (`discovery`), those are fields of the stream
without being named there.

In `[webhooks]`, one of `kinds` may have several types. `objects` are the provider's words for what is in
streams: of `kinds` and `fetches`, what names no stream stands for one of each, {object} is the word and
{stream} the stream.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec

from trunkline.sdk.bounds import LONGEST_NAME, MOST, check_common

EACH_STREAM: Final = "each_stream"
EACH_ACTION: Final = "each_action"
OBJECTS: Final = "objects"
_COMPLETED: Final = ("find", "change", "batch")
_WAY: Final = ("path", "headers", "records", "paginator", "page_size", "bucket", "cost")
_FURTHER: Final = ("incremental", "also", "also_incremental", "deletions")
_FIELD: Final = ("name", "label", "type")
_INPUT: Final = ("name", "sent_as")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

Table = dict[str, Any]


def spread(raw: Table) -> Table:
    """The manifest with nothing left to be said once. What does not fit is left for msgspec to refuse.

    Raises msgspec.ValidationError where a recipe names a target twice, ValueError where it would be too much.
    """
    made = dict(raw)
    for each, kind in ((EACH_STREAM, "streams"), (EACH_ACTION, "actions")):
        if isinstance(made.get(kind), list):
            check_common(made.get(each), made[kind], each, kind)
    of_streams, of_actions = _common(made, EACH_STREAM), _common(made, EACH_ACTION)
    shared = {one["name"]: one for one in _tables(of_actions, "input") if _is_text(one.get("name"))}
    _each(made, "recipes", _recipe)
    recipes = list(_tables(made, "recipes"))
    _each(made, "streams", lambda own: _stream(of_streams, own, recipes))
    streams = list(_tables(made, "streams"))
    _each(made, "actions", lambda own: _action(of_actions, shared, own))
    _each(made, "recipes", lambda own: _called(own, streams))
    if isinstance(made.get("webhooks"), dict):
        made["webhooks"] = _webhooks(made["webhooks"])
    if isinstance(made.get("auth"), dict):
        made["auth"] = _auth(made, made["auth"])
    return made


def words(name: str) -> str:
    """`first_name` and `FirstName` as "First name"."""
    plain = " ".join(_CAMEL.sub(" ", name).replace("_", " ").split())
    return plain[:1].upper() + plain[1:].lower()


# -- parts ------------------------------------------------------------------------------------


def _stream(common: Table, own: Table, recipes: list[Table]) -> Table:
    made: Table = _labelled(_merged(_filled(common, {"stream": own.get("name")}), own))
    if isinstance(made.get("discovery"), dict):
        made["fields"] = _with_mapped(made, recipes)
    if isinstance(made.get("fields"), list):
        made["fields"] = [_labelled(_table(one, _FIELD)) for one in made["fields"]]
    listed = made.get("list")
    way = {name: listed[name] for name in _WAY if name in listed} if isinstance(listed, dict) else {}
    for name in _FURTHER:
        if isinstance(made.get(name), dict):
            made[name] = {**way, **made[name]}
        else:
            _each(made, name, lambda read: {**way, **read})
    return made


def _with_mapped(stream: Table, recipes: list[Table]) -> Any:
    """The stream's fields, and those that its recipes map besides."""
    given = stream.get("fields", [])
    if not isinstance(given, list):
        return given
    known = {one.get("name") for one in (_table(each, _FIELD) for each in given) if isinstance(one, dict)}
    fields = [one.get("fields") for one in recipes if one.get("stream") == stream.get("name")]
    listed = [field for one in fields if isinstance(one, dict) for field in one.values() if _is_text(field)]
    return [*given, *(field for field in dict.fromkeys(listed) if field not in known)]


def _action(common: Table, shared: dict[str, Table], own: Table) -> Table:
    base = {
        name: value
        for name, value in common.items()
        if name != "input" and (name not in _COMPLETED or isinstance(own.get(name), dict))
    }
    made = _merged(_filled(base, {"stream": own.get("stream")}), own)
    if isinstance(made.get("input"), list):
        inputs = [_table(one, _INPUT) for one in made["input"]]
        made["input"] = [
            _labelled({**shared.get(one["name"], {}), **one}) if _has_name(one) else one for one in inputs
        ]
    return made


def _recipe(own: Table) -> Table:
    """With its fields as a table."""
    listed = own.get("fields")
    if not isinstance(listed, list):
        return own
    found: dict[str, str] = {}
    for one in listed:
        pair = [one, one] if isinstance(one, str) else one
        if not isinstance(pair, list) or len(pair) != 2 or not all(_is_text(each) for each in pair):
            return own
        if pair[0] in found:
            raise msgspec.ValidationError(f'"{pair[0]}" is there twice - at `$.recipes`')
        found[pair[0]] = pair[1]
    return {**own, "fields": found}


def _called(own: Table, streams: list[Table]) -> Table:
    """By its stream's name and label, where it has none of its own."""
    stream = next((one for one in streams if one.get("name") == own.get("stream")), None)
    if stream is None or not _has_name(stream):
        return own
    return {"key": stream["name"], "name": stream.get("label"), **own}


def _webhooks(own: Table) -> Table:
    made = dict(own)
    objects = made.pop(OBJECTS) if isinstance(made.get(OBJECTS), dict) else {}
    if any(len(str(one)) > LONGEST_NAME for pair in objects.items() for one in pair):
        raise ValueError(f"a name has at most {LONGEST_NAME} characters - at `$.webhooks.{OBJECTS}`")
    if isinstance(made.get("kinds"), list):
        made["kinds"] = (each for one in made["kinds"] for each in _of_each_type(one))
    for name in ("kinds", "fetches"):
        if isinstance(made.get(name), Iterable) and not isinstance(made[name], str | dict):
            written_out = (each for one in made[name] for each in _of_each(one, objects))
            made[name] = list(islice(written_out, MOST + 1))
            if len(made[name]) > MOST:
                raise ValueError(f"more than {MOST} entries, written out - at `$.webhooks.{name}`")
    return made


def _of_each_type(one: Any) -> Iterator[Any]:
    if isinstance(one, dict) and isinstance(one.get("type"), list):
        yield from ({**one, "type": each} for each in one["type"])
    else:
        yield one


def _of_each(one: Any, objects: Table) -> Iterator[Any]:
    if not isinstance(one, dict) or "stream" in one or not objects:
        yield one
        return
    for word, stream in objects.items():
        yield {"stream": stream, **_filled(one, {"object": word, "stream": stream})}


def _auth(made: Table, own: Table) -> Table:
    if "scopes" in own or own.get("kind") != "oauth2":
        return own
    hooks = made.get("webhooks")
    needy = [made.get("account"), *_tables(made, "streams")]
    needy.append(hooks.get("registration") if isinstance(hooks, dict) else None)
    listed = [one.get("scopes") for one in needy if isinstance(one, dict)]
    scopes = [scope for one in listed if isinstance(one, list) for scope in one if _is_text(scope)]
    return {**own, "scopes": list(dict.fromkeys(scopes))} if scopes else own


# -- tools ------------------------------------------------------------------------------------


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _has_name(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("name"), str)


def _common(made: Table, each: str) -> Table:
    if not isinstance(made.get(each), dict):
        return {}
    common: Table = made.pop(each)
    return common


def _tables(made: Table, name: str) -> Iterator[Table]:
    listed = made.get(name)
    return (one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else iter(())


def _each(made: Table, name: str, written_out: Callable[[Table], Table]) -> None:
    if isinstance(made.get(name), list):
        made[name] = [written_out(one) if isinstance(one, dict) else one for one in made[name]]


def _table(one: Any, names: tuple[str, ...]) -> Any:
    """A table of what may be a name alone, or a list of values for `names`."""
    if isinstance(one, str):
        one = [one]
    if isinstance(one, list) and 1 <= len(one) <= len(names):
        return dict(zip(names, one, strict=False))
    return one


def _labelled(one: Any) -> Any:
    return {"label": words(one["name"]), **one} if _has_name(one) else one


def _filled(value: Any, words_of: dict[str, Any]) -> Any:
    """With {stream} and the like in all its texts; one that is no text is left as it stands."""
    if isinstance(value, str):
        for name, word in words_of.items():
            value = value.replace(f"{{{name}}}", word) if isinstance(word, str) else value
        return value
    if isinstance(value, dict):
        return {key: _filled(item, words_of) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, words_of) for item in value]
    return value


def _merged(common: Table, own: Table) -> Table:
    made = dict(common)
    for key, value in own.items():
        before = common.get(key)
        if value is False and isinstance(before, dict | list):
            made.pop(key, None)
        elif isinstance(value, dict) and value.get("anew") is True:
            made[key] = {name: item for name, item in value.items() if name != "anew"}
        else:
            mergeable = isinstance(value, dict) and isinstance(before, dict)
            made[key] = _merged(before or {}, value) if mergeable else value
    return made
