"""Records as they are now, by their ids: what is made of an event that brings no document."""

from collections.abc import Sequence
from typing import Any

from trunkline.kernel import strictjson
from trunkline.resilience.failures import failure
from trunkline.runs.calling import Call, Calls, Target, detail_of
from trunkline.runs.documents import MAX_ID, Item, flagged
from trunkline.runs.errors import ProviderError
from trunkline.runs.moments import parse_moment
from trunkline.sdk.manifest import StreamSpec, point
from trunkline.sdk.webhooks import Fetch

GONE = {404, 410}


async def latest(
    calls: Calls,
    target: Target,
    spec: StreamSpec,
    fetch: Fetch,
    ids: Sequence[str],
    fields: Sequence[str],
    *,
    interactive: bool,
) -> dict[str, Item]:
    """By external id; who is not among them is gone. `interactive`: it may use what background work leaves of
    the budgets. Raises ProviderError.
    """
    found: dict[str, Item] = {}
    for start in range(0, len(ids), fetch.batch):
        asked = list(ids[start : start + fetch.batch])
        found |= await _batch(calls, target, spec, fetch, asked, fields, interactive=interactive)
    return found


async def _batch(
    calls: Calls,
    target: Target,
    spec: StreamSpec,
    fetch: Fetch,
    asked: list[str],
    fields: Sequence[str],
    *,
    interactive: bool,
) -> dict[str, Item]:
    given: dict[str, Any] = {
        "ids": [{fetch.id: one} for one in asked] if fetch.id else asked,
        "properties": list(fields),
    }
    if len(asked) == 1:
        given["id"] = asked[0]
    call = Call(
        method=fetch.method,
        path=fetch.path,
        query=fetch.query,
        body=fetch.body,
        given=given,
        bucket=fetch.bucket,
        interactive=interactive,
    )
    try:
        response = (await calls.answer(target, call)).response
    except ProviderError as error:
        if fetch.batch == 1 and error.detail.get("status") in GONE:
            return {}
        raise
    try:
        body = strictjson.decode(response.content, nul="replace", long_integers="text")
    except strictjson.JSONLimitError as error:
        raise ProviderError(failure("malformed_answer"), detail=detail_of(target, response)) from error
    listed = point(body, fetch.records)
    if isinstance(listed, dict) and fetch.batch == 1:
        listed = [listed]
    if not isinstance(listed, list):
        raise ProviderError(failure("malformed_answer"), detail=detail_of(target, response))
    found: dict[str, Item] = {}
    for document in listed:
        if fetch.gone is not None and flagged(fetch.gone, document):
            continue
        identity = point(document, spec.id)
        named = isinstance(identity, str | int) and not isinstance(identity, bool)
        if not named or not 0 < len(str(identity)) <= MAX_ID:
            raise ProviderError(failure("malformed_answer"), detail=detail_of(target, response))
        modified = parse_moment(point(document, spec.modified)) if spec.modified else None
        found[str(identity)] = Item(str(identity), document, modified)
    return {one: found[one] for one in asked if one in found}
