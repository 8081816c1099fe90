"""How a simulator made of a manifest and fixtures plays its actions: as the manifest describes them."""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from litestar import Response

from trunkline.sdk.actions import Action, Find
from trunkline.sdk.manifest import StreamSpec, point
from trunkline.sdk.simulator_fixture_forms import matched, put, recognised
from trunkline.sdk.simulator_fixture_played import Played
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_store import UnknownObjectError
from trunkline.sdk.templates import holes


class FixtureWrites:
    """Only actions that name the stream of what they write are played."""

    def __init__(self, played: Played) -> None:
        self._played = played
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}

    def answer(self, request: AnyRequest, path: str, account: str, body: Any) -> Response[Any] | None:
        """None: it is neither an action nor the search for what one wrote."""
        for action in self._played.manifest.actions:
            spec = self._played.manifest.stream(action.stream)
            if spec is None:
                continue
            found = self._found(request, path, account, body, action, spec)
            if found is None:
                found = self._written(request, path, account, body, action, spec)
            if found is not None:
                return Response(found)
        return None

    def _written(
        self, request: AnyRequest, path: str, account: str, body: Any, action: Action, spec: StreamSpec
    ) -> Any:
        change = action.change
        if change is not None and request.method == change.method:
            at = recognised(self._played.filled(change.path), path)
            if at is not None:
                return self._changed(account, action, spec, body, at["found"])
        at = recognised(self._played.filled(action.path), path)
        if request.method != action.method or at is None:
            return None
        parent = self._parent(spec, path, body)
        if at and parent is None:
            return self._changed(account, action, spec, body, next(iter(at.values())))
        key = self._key(request, action)
        if key and (account, key) in self._answers:
            return self._answers[account, key]
        made = self._put_into(copy.deepcopy(self._played.example_of(spec.name)), spec, body)
        if spec.parent is not None and parent is not None:
            made[spec.parent.field] = self._played.own_id(spec.parent.stream, parent)
        item = self._played.store.create(account, spec.name, made)
        answer = self._said(action, self._played.public_id(spec.name, item.id))
        if key:
            self._answers[account, key] = answer
        return answer

    def _parent(self, spec: StreamSpec, path: str, body: Any) -> str | None:
        """Of which other record it is made: the one in whose list it then is, or that the body names."""
        if spec.parent is None:
            return None
        under = recognised(self._played.filled(spec.list.path), path) or {}
        named = under.get(spec.parent.field) or dict(_members(body)).get(spec.parent.field)
        return None if named is None else str(named)

    def _changed(self, account: str, action: Action, spec: StreamSpec, body: Any, public: str) -> Any:
        own, store = self._played.own_id(spec.name, public), self._played.store
        try:
            held = store.get(account, spec.name, own)
        except UnknownObjectError:
            return None
        store.update(account, spec.name, own, self._put_into(copy.deepcopy(held.values), spec, body))
        return self._said(action, public)

    def _found(
        self, request: AnyRequest, path: str, account: str, body: Any, action: Action, spec: StreamSpec
    ) -> Any:
        find = action.find
        if find is None or request.method != find.method:
            return None
        at = recognised(self._played.filled(find.path), path)
        if at is None or (not find.query and not find.body and self._listed(path)):
            return None  # a list as it is read has everything that could be found
        query = {name: str(value) for name, value in request.query_params.items()}
        if not set(find.query) <= set(query):
            return None
        asked = matched(find.query, query), matched(find.body, body) if find.body else {}
        if asked[0] is None or asked[1] is None:
            return None
        return self._entries(find, spec, account, {**at, **asked[0], **asked[1]})

    def _listed(self, path: str) -> bool:
        lists = (read for spec in self._played.manifest.streams for read in spec.lists)
        return any(recognised(self._played.filled(read.path), path) is not None for read in lists)

    def _entries(self, find: Find, spec: StreamSpec, account: str, asked: Mapping[str, Any]) -> Any:
        entries = [
            one
            for one in self._played.documents_of(spec.name, account)
            if all(str(value) in set(_leaves(one)) for value in asked.values())
        ]
        if not find.records:
            return entries
        answer: dict[str, Any] = {}
        put(answer, find.records, entries)
        return answer

    def _key(self, request: AnyRequest, action: Action) -> str:
        return next(
            (
                request.headers.get(name, "")
                for name, template in action.headers.items()
                if holes(template) == {"call_key"}
            ),
            "",
        )

    def _put_into(self, document: dict[str, Any], spec: StreamSpec, body: Any) -> dict[str, Any]:
        """What the body says of fields that the stream has."""
        whole = point(document, spec.values) if spec.values else document
        for name, value in _members(body):
            if isinstance(whole, dict) and (name in whole or name in spec.field_names):
                whole[name] = value
        return document

    def _said(self, action: Action, public: str) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        if not action.id.startswith("{"):
            parts = [part for part in re.split(r"\.", action.id) if part]
            put(answer, ".".join(parts), int(public) if public.isdecimal() else public)
        return answer


def _members(body: Any) -> Iterator[tuple[str, Any]]:
    """Names and plain values, at whatever depth."""
    if isinstance(body, Mapping):
        for name, value in body.items():
            if isinstance(value, Mapping):
                yield from _members(value)
            else:
                yield name, value


def _leaves(document: Any) -> Iterator[str]:
    if isinstance(document, Mapping):
        for value in document.values():
            yield from _leaves(value)
    elif isinstance(document, list):
        for value in document:
            yield from _leaves(value)
    else:
        yield str(document)
