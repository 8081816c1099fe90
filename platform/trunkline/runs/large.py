"""Lists too long for their own pages, read by a connector's hook; what it asks goes the way of every call."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

import msgspec

from trunkline.kernel import strictjson
from trunkline.kernel.clock import now
from trunkline.resilience.classify import sign_in_success
from trunkline.resilience.failures import failure
from trunkline.runs.calling import READ, Call, Calls, OnWait, Patience, Sleep, Target
from trunkline.runs.documents import MalformedPageError, Page, entries_of, page_of
from trunkline.runs.errors import ProviderError
from trunkline.runs.skimming import PageReader
from trunkline.sdk.hooks import Ask, Asked, HookAnswerError, LargeList, Later, Refused, Reply, Request
from trunkline.sdk.manifest import Read, StreamSpec
from trunkline.sdk.paging import LONGEST, Turn
from trunkline.sdk.templates import fill_query

PREFIX: Final = "large:"
"""Of a hook's cursor, which the list's own paginator never makes."""
AGAIN_SECONDS: Final = 60.0
"""Between two looks at a provider that needs longer than a call may wait."""


class LargeLists:
    def __init__(self, calls: Calls, sleep: Sleep) -> None:
        self._calls = calls
        self.sleep = sleep

    async def begin(
        self,
        hook: LargeList,
        target: Target,
        spec: StreamSpec,
        read: Read,
        values: Mapping[str, Any],
        on_wait: OnWait | None,
    ) -> str | None:
        """The cursor of the hook's first page; None: the list's own pages are to be followed."""
        try:
            begun = await hook.begin(self._ask(target, read, on_wait), _asked(spec, read, values))
        except HookAnswerError as error:
            raise _malformed(error) from error
        except ProviderError as error:
            # an account that may not use that way has the other
            if error.failure.action in {"fail", "pause"} and "status" in error.detail:
                return None
            raise
        return None if isinstance(begun, Refused) else _cursor(begun)

    async def page(
        self,
        hook: LargeList,
        target: Target,
        spec: StreamSpec,
        read: Read,
        values: Mapping[str, Any],
        *,
        on_wait: OnWait | None,
        skim: bool,
    ) -> Page | None:
        """None: the provider gave it up, and the list's own pages are to be read. Raises ProviderError."""
        ask, asked = self._ask(target, read, on_wait), _asked(spec, read, values)
        cursor = str(values["cursor"]).removeprefix(PREFIX)
        patience, seconds = Patience(on_wait, self.sleep), 1.0
        try:
            found = await hook.page(ask, asked, cursor)
            while isinstance(found, Later) and await patience.sleep(seconds, "provider_preparing"):
                seconds *= 2
                found = await hook.page(ask, asked, cursor)
        except HookAnswerError as error:
            raise _malformed(error) from error
        except ProviderError as error:
            if error.failure.code in {"not_found", "bad_request"}:
                raise ProviderError(failure("cursor_expired"), detail=error.detail) from error
            raise
        if isinstance(found, Later):
            again = now() + timedelta(seconds=AGAIN_SECONDS)
            raise ProviderError(failure("provider_preparing"), retry_at=again)
        if isinstance(found, Refused):
            return None
        listed = msgspec.structs.replace(read, records="records", total="total")
        reader = PageReader(target.manifest, spec, listed, skim=skim)
        content = msgspec.json.encode({"total": found.total, "records": found.documents})
        turn = Turn(None if found.next is None else _cursor(found.next))
        try:
            body = reader(content)
            entries_of(listed, body)
            return page_of(
                spec, listed, body, None, turn, size=len(content), raws=reader.raws, whole=reader.whole
            )
        except (MalformedPageError, strictjson.JSONLimitError) as error:
            raise _malformed(error) from error

    def _ask(self, target: Target, read: Read, on_wait: OnWait | None) -> Ask:
        async def ask(request: Request) -> Reply:
            call = Call(
                method=request.method,
                path=request.path,
                query=request.query,
                body=request.body,
                given=request.given,
                bucket=read.bucket,
                cost=read.cost,
                read=bytes if request.plain else None,
            )
            response = (await self._calls.answer(target, call, on_wait=on_wait)).response
            body = response.extensions.get(READ)
            if request.plain:
                return Reply(body or b"", response.headers)
            told = sign_in_success(target.manifest, response.status_code, body, response.headers)
            if told is not None:
                raise ProviderError(failure(told), detail={"status": response.status_code})
            return Reply(body, response.headers)

        return ask


def _asked(spec: StreamSpec, read: Read, values: Mapping[str, Any]) -> Asked:
    given = {"page_size": read.page_size, **values, "cursor": None}
    return Asked(
        query=fill_query({**read.query, **read.first}, given),
        fields=values["properties"],
        discovery=spec.discovery,
    )


def _cursor(text: str) -> str:
    if len(text) > LONGEST - len(PREFIX) or not text.isprintable():
        raise ProviderError(failure("malformed_answer"), detail={"error": "a cursor is too long or no text"})
    return PREFIX + text


def _malformed(error: Exception) -> ProviderError:
    return ProviderError(failure("malformed_answer"), detail={"error": str(error)[:200]})
