"""Which versions a connection moves to by itself: each way to break it alone, and harmless ones together."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.kit.scaffolding import scaffold
from trunkline.packages.compatibility import breaking, changes, compatible
from trunkline.sdk.actions import Action, ActionInput
from trunkline.sdk.manifest import Field, Manifest, load_manifest

Edit = Callable[[Manifest], Manifest]
put = msgspec.structs.replace


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    into = tmp_path_factory.mktemp("acme")
    scaffold("acme", into)
    manifest = load_manifest(into / "acme" / "manifest.toml")
    auth = put(manifest.auth, scopes=("read", "write"))
    made = Action(
        name="add_note",
        title="Add a note",
        input=(ActionInput(name="text", label="Text", required=True),),
        path="/notes",
        repeat="same",
    )
    return put(manifest, version="1.0.0", auth=auth, actions=(made,))


def stream(**values: Any) -> Edit:
    return lambda one: put(one, streams=(put(one.streams[0], **values), *one.streams[1:]))


def auth(**values: Any) -> Edit:
    return lambda one: put(one, auth=put(one.auth, **values))


def action(**values: Any) -> Edit:
    return lambda one: put(one, actions=tuple(put(item, **values) for item in one.actions))


BREAKING: dict[str, Edit] = {
    "an action less": lambda one: put(one, actions=()),
    "a scope of an action more": action(scopes=("contacts.write",)),
    "another repetition": action(repeat="never"),
    "an input of an action less": action(input=()),
    "an input of an action needed": lambda one: (
        action(input=(*one.actions[0].input, ActionInput(name="why", label="Why", required=True)))(one)
        if one.actions
        else put(one, base_url="https://other.example")
    ),
    "a host more": lambda one: put(one, hosts=(*one.hosts, "evil.example")),
    "a host less": lambda one: put(one, hosts=("api.acme.example",)),
    "another base": lambda one: put(one, base_url="https://api.acme.example"),
    "another account": lambda one: put(one, account=put(one.account, id="account.name")),
    "a scope more": auth(scopes=("read", "write", "admin")),
    "another key": lambda one: put(one, auth=put(one.auth, headers={"x-key": "{api_key}"})),
    "an input more": lambda one: put(
        one, auth=put(one.auth, inputs=(*one.auth.inputs, put(one.auth.inputs[0], name="region")))
    ),
    "a stream less": lambda one: put(one, streams=()),
    "another primary key": stream(id="key"),
    "another time": stream(modified="changed_at"),
    "another layout": stream(values="properties"),
    "a field less": lambda one: stream(fields=one.streams[0].fields[1:])(one),
    "a field of another type": lambda one: stream(
        fields=(put(one.streams[0].fields[0], type="json"), *one.streams[0].fields[1:])
    )(one),
}
HARMLESS: dict[str, Edit] = {
    "words": lambda one: put(one, label="Acme CRM", description="Better."),
    "a scope less": auth(scopes=("read",)),
    "words of scopes": auth(scope_words={"read": "Look"}),
    "words of inputs": lambda one: put(
        one, auth=put(one.auth, inputs=tuple(put(item, help="There.") for item in one.auth.inputs))
    ),
    "a field more": lambda one: stream(
        fields=(*one.streams[0].fields, Field(name=f"phone_{len(one.streams[0].fields)}", label="Phone"))
    )(one),
    "a stream more": lambda one: put(
        one, streams=(*one.streams, put(one.streams[0], name=f"deals_{len(one.streams)}"))
    ),
    "another path": lambda one: stream(list=put(one.streams[0].list, path="/api/v2/contacts"))(one),
    "another limit": lambda one: put(one, rates=(put(one.rates[0], requests=5),)),
    "another api version": lambda one: put(one, api=put(one.api, version="v2")),  # type: ignore[type-var]
    "an input of an action more": lambda one: (
        action(
            input=(*one.actions[0].input, ActionInput(name=f"note_{len(one.actions[0].input)}", label="Note"))
        )(one)
        if one.actions
        else one
    ),
    "no recipe": lambda one: put(one, recipes=()),
}


@pytest.mark.parametrize("name", BREAKING)
def test_each_breaks_alone_and_is_told(base: Manifest, name: str) -> None:
    new = BREAKING[name](put(base, version="1.1.0"))
    assert not compatible(base, new)
    told = changes(base, new)
    assert told[0].breaks
    assert told[0].words.endswith((".", ")."))


@settings(max_examples=80, deadline=None)
@given(
    names=st.lists(st.sampled_from(sorted(HARMLESS)), unique=True),
    extra=st.one_of(st.none(), st.sampled_from(sorted(BREAKING))),
)
def test_harmless_ones_never_break_and_never_hide_what_does(
    base: Manifest, names: list[str], extra: str | None
) -> None:
    new = put(base, version="1.0.1")
    for name in names:
        new = HARMLESS[name](new)
    assert compatible(base, new)
    if extra is not None:
        assert not compatible(base, BREAKING[extra](new))


_EDITS = sorted({**BREAKING, **HARMLESS})


@settings(max_examples=80, deadline=None)
@given(
    first=st.lists(st.sampled_from(_EDITS), max_size=3), second=st.lists(st.sampled_from(_EDITS), max_size=3)
)
def test_two_steps_are_one(base: Manifest, first: list[str], second: list[str]) -> None:
    """Whether a connection moved through the middle or not, it ends in the same place."""
    edits = {**BREAKING, **HARMLESS}

    def edited(one: Manifest, names: list[str], version: str) -> Manifest:
        for name in names:
            if (one.streams and one.streams[0].fields) or name in {"words", "a host more", "no recipe"}:
                one = edits[name](one)
        return put(one, version=version)

    middle = edited(base, first, "1.1.0")
    last = edited(middle, second, "1.2.0")
    if compatible(base, middle) and compatible(middle, last):
        assert compatible(base, last)
    assert not list(breaking(last, last))


@settings(max_examples=100, deadline=None)
@given(numbers=st.tuples(*[st.integers(0, 3)] * 6))
def test_only_later_versions_of_the_same_major_number(base: Manifest, numbers: tuple[int, ...]) -> None:
    old, new = numbers[:3], numbers[3:]
    before, after = (put(base, version=".".join(map(str, one))) for one in (old, new))
    expected = new > old and new[0] == old[0] and (old[0] > 0 or new[1] == old[1])
    assert compatible(before, after) == expected
    assert not (compatible(before, after) and compatible(after, before))


def test_another_connector_is_never_compatible(base: Manifest) -> None:
    assert not compatible(base, put(base, name="other", version="1.1.0"))


def test_the_two_lists_share_no_edit() -> None:
    assert not list(itertools.filterfalse(lambda name: name not in HARMLESS, BREAKING))
