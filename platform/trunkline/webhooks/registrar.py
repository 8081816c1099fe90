"""The calls by which a provider is made to deliver to an address, asked what it has, and stopped."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from trunkline.kernel import strictjson
from trunkline.resilience.failures import failure
from trunkline.runs.calling import Call, Calls, Target, detail_of
from trunkline.runs.documents import flagged
from trunkline.runs.errors import ProviderError
from trunkline.sdk.manifest import point
from trunkline.sdk.registration import RegistrationCall
from trunkline.sdk.webhooks import Webhooks

PAGES: Final = 20
"""Of a provider's list of webhooks that are looked through."""
MOST: Final = 200
"""Characters of an id at a provider; four times that of a secret."""
GONE: Final = frozenset({404, 410})


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One of ours as the provider lists it."""

    id: str
    address: str
    works: bool


class Registrar:
    """One per process. Whatever it is told is the provider's word: bounded, and of the right kind."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def listed(self, target: Target, ending: str) -> list[Standing]:
        """Those whose address ends so, whichever name this installation had then. Raises ProviderError."""
        how = _hooks(target).registration
        assert how is not None
        wanted, found, cursor = how.listed, list[Standing](), None
        for _ in range(PAGES):
            body = await self._answer(target, wanted.call, {"cursor": cursor})
            records = point(body, wanted.records)
            if not isinstance(records, list):
                raise ProviderError(failure("malformed_answer"))
            for one in records:
                address = point(one, wanted.address)
                if isinstance(address, str) and address.endswith(ending):
                    works = wanted.works is None or flagged(wanted.works, one)
                    found.append(Standing(id=_id(point(one, wanted.id)), address=address, works=works))
            cursor = _next(body, records, wanted)
            if cursor is None:
                break
        return found

    async def create(self, target: Target, address: str, secret: str | None) -> tuple[str, str | None]:
        """(its id, the provider's secret where that makes it). Raises ProviderError."""
        how = _hooks(target).registration
        assert how is not None
        user, _, password = (secret or "").partition(":")
        given = {
            "address": address,
            "events": list(how.events),
            "secret": secret,
            "user": user or None,
            "password": password or None,
        }
        body = await self._answer(target, how.create, given)
        identity = _id(point(body, how.id))
        if how.secret is None:
            return identity, None
        if how.reveal is not None:
            body = await self._answer(target, how.reveal, {"registration": identity})
        told = point(body, how.secret)
        if not isinstance(told, str) or not 0 < len(told) <= 4 * MOST:
            raise ProviderError(failure("malformed_answer"))
        return identity, told

    async def remove(self, target: Target, identity: str) -> None:
        """One that is gone already is gone. Raises ProviderError."""
        how = _hooks(target).registration
        assert how is not None
        try:
            await self._answer(target, how.remove, {"registration": identity}, bare=True)
        except ProviderError as error:
            if error.detail.get("status") not in GONE:
                raise

    async def _answer(
        self, target: Target, how: RegistrationCall, given: Mapping[str, Any], *, bare: bool = False
    ) -> Any:
        call = Call(
            method=how.method,
            path=how.path,
            query=how.query,
            body=how.body,
            form=how.form,
            given={name: value for name, value in given.items() if value is not None},
            bucket=how.bucket,
            cost=how.cost,
        )
        response = (await self._calls.answer(target, call)).response
        if bare:
            return None
        try:
            return strictjson.decode(response.content, nul="replace", long_integers="text")
        except strictjson.JSONLimitError as error:
            raise ProviderError(failure("malformed_answer"), detail=detail_of(target, response)) from error


def _hooks(target: Target) -> Webhooks:
    hooks = target.manifest.webhooks
    assert hooks is not None
    return hooks


def _id(found: Any) -> str:
    if isinstance(found, bool) or not isinstance(found, str | int) or not 0 < len(str(found)) <= MOST:
        raise ProviderError(failure("malformed_answer"))
    return str(found)


def _next(body: Any, records: list[Any], wanted: Any) -> str | None:
    """The cursor of the page that follows."""
    if wanted.more is not None and point(body, wanted.more) is not True:
        return None
    if wanted.last_id:
        return _id(point(records[-1], wanted.id)) if records and wanted.more is not None else None
    cursor = point(body, wanted.next) if wanted.next else None
    return cursor if isinstance(cursor, str) and cursor else None
