"""One write to a provider, and the look whether one was made."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import unescape
from typing import Any, Final

import httpx2
import msgspec

from trunkline.kernel import strictjson
from trunkline.resilience.classify import sign_in_success
from trunkline.resilience.failures import failure
from trunkline.runs.calling import READ, Call, Calls, Target, detail_of
from trunkline.runs.errors import ProviderError
from trunkline.runs.moments import parse_moment
from trunkline.sdk.action_inputs import blamed, call_values
from trunkline.sdk.actions import Action, Batch, Find
from trunkline.sdk.manifest import point
from trunkline.sdk.pointers import equal
from trunkline.sdk.refusals import refusals_in
from trunkline.sdk.templates import fill_body, fill_text

REFUSED: Final = "write_refused"
SKEW: Final = timedelta(minutes=2)
"""By which a provider's clock may be behind ours."""
_MARKUP: Final = re.compile(r"<[^<>]{0,200}>")
_NOT_SENT: Final = frozenset(
    {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "EgressRefusedError"}
    | {"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"}
)


class ItemResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one item. `field`: the input at fault, where the provider named one."""

    id: str | None = None
    """The provider's id of what was written."""
    error: str = ""
    """A code of the failure table; empty: it was written."""
    field: str | None = None
    code: str = ""
    """The provider's own word for what is wrong."""


class Sending(msgspec.Struct, frozen=True):
    """A call as it is sent: the same however often."""

    target: Target
    action: Action
    items: Sequence[Mapping[str, Any]]
    key: str
    asked_at: datetime
    interactive: bool = False
    patience: float = 20.0

    @property
    def values(self) -> dict[str, Any]:
        """Of a batch there are none but the call's own."""
        given = {} if self.action.batch else self.items[0]
        return call_values(self.action, given, self.key, self.asked_at)


def perhaps_written(error: ProviderError) -> bool:
    """Whether the provider may have written although this came back."""
    status, kind = error.detail.get("status"), error.detail.get("error")
    if isinstance(status, int):
        return status >= 500 or status == 408 or status < 300
    return kind is not None and kind not in _NOT_SENT


async def send(calls: Calls, one: Sending) -> list[ItemResult]:
    """What became of each item. Raises ProviderError: of a refusal as `write_refused`."""
    action, values = one.action, one.values
    method, path, body = action.method, action.path, action.body
    if action.change is not None:
        found = await look(calls, one)
        if found is not None:
            values["found"] = found
            method, path = action.change.method, action.change.path
            body = action.body if action.change.body is None else action.change.body
    if action.batch is not None:
        values["items"] = [_item(action, given, one, at) for at, given in enumerate(one.items)]
    call = Call(
        method=method,
        path=path,
        query=action.query,
        body=body,
        form=action.encoding == "form",
        headers=action.headers,
        given=values,
        bucket=action.bucket,
        cost=action.cost,
        interactive=one.interactive,
        patience=one.patience,
    )
    try:
        answer = await calls.answer(one.target, call)
    except ProviderError as error:
        raise _refusal(error) from error
    written = _document(one.target, answer.response)
    if action.batch is not None:
        return _results(one, action.batch, written)
    identity = _id(point(written, action.id)) or _id(values.get("found"))
    return [ItemResult(id=_named(one, identity))]


async def written_before(calls: Calls, one: Sending) -> ItemResult | None:
    """What an earlier sending wrote, by `find`. Raises ProviderError."""
    found = await look(calls, one)
    return None if found is None else ItemResult(id=_named(one, found))


async def look(calls: Calls, one: Sending) -> str | None:
    """The id of what `find` finds: of an action with `change` what is to be changed, else what it wrote.

    Raises ProviderError.
    """
    find = one.action.find
    assert find is not None
    values = one.values
    call = Call(
        method=find.method,
        path=find.path,
        query=find.query,
        body=find.body,
        given=values,
        bucket=find.bucket,
        cost=find.cost,
        interactive=one.interactive,
        patience=one.patience,
    )
    try:
        answer = await calls.answer(one.target, call)
    except ProviderError as error:
        if find.absent and error.detail.get("status") == httpx2.codes.NOT_FOUND:
            return None
        # nothing was written by looking: whatever went wrong, it can be done again
        raise ProviderError(error.failure, retry_at=error.retry_at) from error
    try:
        found = _document(one.target, answer.response)
    except ProviderError as error:
        raise ProviderError(error.failure) from error
    listed = point(found, find.records)
    entries = listed if isinstance(listed, list) else [listed]
    for entry in entries:
        if isinstance(entry, dict) and _matches(find, entry, values, one.asked_at):
            identity = _id(point(entry, find.id))
            if identity is None:  # it is there all the same: to send once more would make a second one
                raise ProviderError(failure("malformed_answer"))
            return identity
    if find.full and len(entries) >= find.full:
        raise ProviderError(failure("unknown_outcome"))
    return None


def problems_of(action: Action, error: ProviderError) -> ItemResult:
    """The refusal of a call that was one item; the field in the caller's words."""
    for refused in error.refused:
        field = blamed(action, refused.field)
        if field is not None:
            return ItemResult(error=error.failure.code, field=field, code=refused.code)
    code = error.refused[0].code if error.refused else ""
    return ItemResult(error=error.failure.code, code=code)


# -- inside -----------------------------------------------------------------------------------


def _named(one: Sending, identity: str | None) -> str | None:
    """The id as the action gives it: its template where it has one."""
    return fill_text(one.action.id, one.values) if one.action.id.startswith("{") else identity


def _item(action: Action, given: Mapping[str, Any], one: Sending, at: int) -> Any:
    assert action.batch is not None
    values = call_values(action, given, one.key, one.asked_at)
    return fill_body(action.batch.item, {**values, "item_key": str(at)})


def _results(one: Sending, batch: Batch, written: Any) -> list[ItemResult]:
    """Of each item, in their order. Raises ProviderError where the answer does not tell of every one."""
    found: dict[str, ItemResult] = {}
    listed = point(written, batch.results)
    entries = listed if isinstance(listed, list) else []
    for at, entry in enumerate(entries):
        own = str(at) if batch.key is None else str(point(entry, batch.key))
        if batch.ok is not None and point(entry, batch.ok) is False:
            found[own] = _refused_item(one, point(entry, batch.why))
        else:
            found[own] = ItemResult(id=_id(point(entry, one.action.id)))
    refusals = point(written, batch.errors) if batch.errors else None
    for entry in refusals if isinstance(refusals, list) else ():
        keys = point(entry, batch.error_key) if batch.error_key else None
        for key in keys if isinstance(keys, list) else [keys]:
            found[str(key)] = _refused_item(one, entry)
    if len(one.items) == 1 and found:  # of one there is no doubt which it was
        return [next(iter(found.values()))]
    results = [found.get(str(at)) for at in range(len(one.items))]
    if any(result is None for result in results):
        raise ProviderError(failure("malformed_answer"), detail={"status": 200})
    return [result for result in results if result is not None]


def _refused_item(one: Sending, entry: Any) -> ItemResult:
    signs = one.target.manifest.refusals
    told = refusals_in(signs, entry) if signs is not None else ()
    for refused in told:
        field = blamed(one.action, refused.field)
        if field is not None:
            return ItemResult(error=REFUSED, field=field, code=refused.code)
    return ItemResult(error=REFUSED, code=told[0].code if told else "")


def _refusal(error: ProviderError) -> ProviderError:
    """The provider's no to what was to be written, told from its troubles and from those of access."""
    status = error.detail.get("status")
    plain = error.failure.action not in {"wait", "refresh", "reconnect"}
    if isinstance(status, int) and 300 <= status < 500 and status != 408 and plain:
        return ProviderError(failure(REFUSED), detail=error.detail, refused=error.refused)
    return error


def _document(target: Target, response: httpx2.Response) -> Any:
    """What a success holds; None of one without a body. Raises ProviderError, of an error in it too."""
    if not response.content.strip():
        return None
    detail = detail_of(target, response)
    try:
        body = response.extensions.get(READ)
        if body is None:
            body = strictjson.decode(response.content, nul="replace", long_integers="text")
    except strictjson.JSONLimitError as error:
        raise ProviderError(failure("malformed_answer"), detail=detail) from error
    told = sign_in_success(target.manifest, response.status_code, body, response.headers)
    if told is not None:
        raise ProviderError(failure(told), detail=detail)
    return body


def _matches(find: Find, entry: Any, values: Mapping[str, Any], asked_at: datetime) -> bool:
    for pointer, template in find.match.items():
        wanted = fill_text(template, values)
        there = point(entry, pointer)
        same = isinstance(there, str) and wanted is not None and _folded(there) == _folded(wanted)
        if not same and (wanted is None or not equal(there, wanted)):
            return False
    if find.since is None:
        return True
    at = parse_moment(point(entry, find.since))
    return at is not None and at >= asked_at - SKEW


def _folded(text: str) -> str:
    return " ".join(unescape(_MARKUP.sub(" ", text)).split()).casefold()


def _id(found: Any) -> str | None:
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return str(found)[:512] or None
