"""What a provider is asked for: a stream's page, an account's fields, whose account it is."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import httpx2
import msgspec

from trunkline.kernel import strictjson
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.egress import Egress
from trunkline.kernel.errors import NotFoundError
from trunkline.recipes.document import laid_out
from trunkline.resilience.classify import sign_in_success
from trunkline.resilience.failures import classify, failure
from trunkline.runs.calling import READ, Call, Calls, Limiter, OnWait, Sleep, Target, Tokens, detail_of
from trunkline.runs.calls import Books, DatabaseBooks
from trunkline.runs.documents import Item, MalformedPageError, Page, date_of, entries_of, page_of
from trunkline.runs.errors import ProviderError
from trunkline.runs.large import PREFIX, LargeLists
from trunkline.runs.moments import from_milliseconds, moment_values
from trunkline.runs.skimming import PageReader
from trunkline.sdk.endpoints import Endpoints
from trunkline.sdk.manifest import Discovery, Field, Manifest, Read, StreamSpec, point
from trunkline.sdk.paging import NoPageError, Seen, position, turn
from trunkline.sdk.registry import Connectors
from trunkline.sdk.streams import Link
from trunkline.sdk.templates import fill_text

__all__ = ["Item", "OnWait", "Page", "ProviderClient", "Target", "Tokens"]

MAX_OPTIONS: Final = 1000
"""Values of an enumeration that are kept and compared."""
SAMPLE_PARENTS: Final = 5
"""That are asked for an example of their children."""
GONE: Final = 410
"""Of an address it says that it is no more; of a page asked for by a cursor, that the cursor is."""


class Account(msgspec.Struct, frozen=True):
    """Which account a grant belongs to."""

    id: str
    label: str | None


class ProviderClient:
    """One per process; opens its own sessions."""

    def __init__(
        self,
        *,
        db: Database | None = None,
        books: Books | None = None,
        egress: Egress,
        endpoints: Endpoints,
        connectors: Connectors,
        connections: Tokens,
        limiter: Limiter,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        """`db`, or `books` that stand for it."""
        if books is None:
            assert db is not None
            books = DatabaseBooks(db)
        self._books = books
        self._endpoints = endpoints
        self._connectors = connectors
        self.calls = Calls(
            books=books,
            egress=egress,
            endpoints=endpoints,
            connections=connections,
            limiter=limiter,
            sleep=sleep,
        )
        self.large = LargeLists(self.calls, sleep)

    async def target(self, tenant_id: UUID, connection_id: UUID) -> Target:
        """Raises NotFoundError, also for another tenant's connection."""
        connector = await self._books.connector(tenant_id, connection_id)
        if connector is None:
            raise NotFoundError
        return Target(tenant_id, connection_id, await self._connectors.find(connector))

    async def close(self) -> None:
        await self.calls.close()

    async def page(
        self,
        target: Target,
        spec: StreamSpec,
        read: Read,
        values: Mapping[str, Any],
        *,
        on_wait: OnWait | None = None,
        interactive: bool = False,
        skim: bool = False,
    ) -> Page:
        """A whole page, or ProviderError: nothing half read ever comes back.

        `values`: `cursor`, `properties`, `page_size` and the times to read from, see `Checkpoint.values`;
        `floor_ms`: what was modified before is passed over; of a stream that is read for each record of
        another, that one's id under its name: the page is `missing` where the provider does not have it.
        `interactive`: somebody waits for it, so that it may use what background work leaves of the budgets.
        `skim`: its records need not be read whole, see `skimming`.
        """
        large = None if interactive else read.large
        if large is None:
            return await self._page(target, spec, read, values, on_wait, interactive=interactive, skim=skim)
        hook, cursor = self._connectors.hook(target.manifest, large.hook), values.get("cursor")
        if cursor is not None and cursor.startswith(PREFIX):
            if hook is None:  # of a process that had one
                raise ProviderError(failure("cursor_expired"))
            found = await self.large.page(hook, target, spec, read, values, on_wait=on_wait, skim=skim)
            if found is not None:
                return found
            values, hook = {**values, "cursor": None}, None
        page = await self._page(target, spec, read, values, on_wait, interactive=False, skim=skim)
        if hook is None or values.get("cursor") is not None or page.next is None:
            return page
        if page.total is None or page.total <= large.above:
            return page
        begun = await self.large.begin(hook, target, spec, read, values, on_wait)
        # what it lists comes again in the hook's first page: twice would be counted twice
        return page if begun is None else Page([], begun, page.total, page.at, size=page.size)

    async def _page(
        self,
        target: Target,
        spec: StreamSpec,
        read: Read,
        values: Mapping[str, Any],
        on_wait: OnWait | None,
        *,
        interactive: bool,
        skim: bool,
    ) -> Page:
        cursor = values.get("cursor")
        parent = None if spec.parent is None else values.get(spec.parent.field)
        reader = PageReader(target.manifest, spec, read, skim=skim)
        try:
            call = _page_call(read, values, cursor, interactive=interactive, reader=reader)
            answer = await self.calls.answer(target, call, on_wait=on_wait)
        except ProviderError as error:
            if error.detail.get("status") == GONE and cursor is not None:
                raise ProviderError(failure("cursor_expired"), detail=error.detail) from error
            if parent is not None and _is_gone(error):
                return Page([], None, None, None, parent=parent, missing=True)
            raise
        except ValueError as error:  # a cursor that is no number
            raise ProviderError(failure("malformed_answer")) from error
        response = answer.response
        body = self._json(target, response)
        if sign_in_success(target.manifest, response.status_code, body, response.headers):
            raise _malformed(target, response, body)
        floor = values.get("floor_ms")
        try:
            seen = Seen(
                body=body,
                headers=response.headers,
                entries=entries_of(read, body),
                here=cursor,
                stay=lambda address: self._endpoints.within(
                    target.manifest, address, call.path.partition("?")[0], answer.values
                ),
            )
            return page_of(
                spec,
                read,
                body,
                date_of(response.headers),
                turn(read, seen),
                floor=None if floor is None else from_milliseconds(floor),
                size=len(response.content),
                parent=parent,
                raws=reader.raws,
                whole=reader.whole,
            )
        except (MalformedPageError, NoPageError) as error:
            raise _malformed(target, response, body) from error

    async def sample(
        self,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        limit: int,
        fields: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Some real documents, as `list` gives them first and recipes see them. Raises ProviderError."""
        target = await self.target(tenant_id, connection_id)
        spec = _spec(target.manifest, stream)
        items = await self._first(target, spec, limit, sorted({*spec.field_names, *fields}))
        return [laid_out(item.document, spec.values) for item in items]

    async def _first(self, target: Target, spec: StreamSpec, limit: int, fields: list[str]) -> list[Item]:
        """Of a stream that is read for each record of another: what the first few of those have."""
        values = {"page_size": max(1, min(limit, spec.list.page_size)), "properties": fields}
        if spec.parent is None:
            return (await self.page(target, spec, spec.list, values, interactive=True)).items[:limit]
        found: list[Item] = []
        of = _spec(target.manifest, spec.parent.stream)
        for parent in await self._first(target, of, SAMPLE_PARENTS, list(of.field_names)):
            if len(found) >= limit:
                break
            asked = {**values, spec.parent.field: parent.external_id}
            found += (await self.page(target, spec, spec.list, asked, interactive=True)).items
        return found[:limit]

    async def discover(self, tenant_id: UUID, connection_id: UUID, stream: str) -> list[Field]:
        """The account's own fields of a stream; the manifest's where the provider lists none."""
        target = await self.target(tenant_id, connection_id)
        spec = _spec(target.manifest, stream)
        discovery = spec.discovery
        if discovery is None:
            return list(spec.fields)
        call = Call(path=discovery.path, bucket=discovery.bucket, cost=discovery.cost, interactive=True)
        response = (await self.calls.answer(target, call)).response
        body = self._json(target, response)
        listed = point(body, discovery.records)
        if not isinstance(listed, list):
            raise _malformed(target, response, body)
        fields: dict[str, Field] = {}
        for entry in listed:
            name = point(entry, discovery.name)
            if isinstance(name, str) and name:
                label = point(entry, discovery.label)
                kind = discovery.types.get(str(point(entry, discovery.type)), "string")
                given = {"name": name, "label": label if isinstance(label, str) and label else name}
                options = _options(entry, discovery) if kind == "enum" else ()
                fields[name] = msgspec.convert({**given, "type": kind, "options": options}, Field)
        return list(fields.values())

    async def account(self, tenant_id: UUID, connection_id: UUID, *, interactive: bool = True) -> Account:
        """The cheapest call that proves the grant. Raises ProviderError."""
        target = await self.target(tenant_id, connection_id)
        about = target.manifest.account
        call = Call(path=about.path, bucket=about.bucket, cost=about.cost, interactive=interactive)
        answer = await self.calls.answer(target, call)
        body = self._json(target, answer.response)
        if about.source == "token":
            known = await self._books.charged_to(tenant_id, connection_id)
            return Account((known and known.account_id) or "", None)
        found, label = (
            fill_text(one, answer.values) if one.startswith("{") else point(body, one)
            for one in (about.id, about.label)
        )
        if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
            raise _malformed(target, answer.response, body)
        return Account(str(found), None if label is None else str(label))

    def _json(self, target: Target, response: httpx2.Response) -> Any:
        if READ in response.extensions:
            return response.extensions[READ]
        try:
            return strictjson.decode(response.content, nul="replace", long_integers="text")
        except strictjson.JSONLimitError as error:
            raise _malformed(target, response, None) from error


def _is_gone(error: ProviderError) -> bool:
    """Whether the provider does not have what a page's path names."""
    return error.failure.code == "not_found" and error.detail.get("status") in {404, GONE}


def _page_call(
    read: Read, values: Mapping[str, Any], cursor: str | None, *, interactive: bool, reader: PageReader
) -> Call:
    """ValueError: the cursor is none of this paginator's."""
    linked = isinstance(read.paginator, Link) and cursor is not None
    return Call(
        method=read.method,
        path=cursor if linked and cursor else read.path,
        query=None if linked else {**read.query, **(read.first if cursor is None else {})},
        body=read.body,
        headers=read.headers,
        given={
            "page_size": read.page_size,
            **moment_values("now", now()),
            **values,
            **position(read.paginator, cursor),
        },
        bucket=read.bucket,
        cost=read.cost,
        interactive=interactive,
        read=reader,
    )


def _malformed(target: Target, response: httpx2.Response, body: Any) -> ProviderError:
    """A success that is none: by the manifest's signs if its body has one, else malformed_answer."""
    found = failure("malformed_answer")
    if isinstance(body, dict):
        found = classify(target.manifest, response.status_code, response.content, headers=response.headers)
    return ProviderError(found, detail=detail_of(target, response))


def _options(entry: Any, discovery: Discovery) -> tuple[str, ...]:
    """Nothing where they are not listed, or are too many to keep."""
    listed = point(entry, discovery.options) if discovery.options is not None else None
    if not isinstance(listed, list) or len(listed) > MAX_OPTIONS:
        return ()
    values = (point(option, discovery.option) for option in listed)
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and value))


def _spec(manifest: Manifest, stream: str) -> StreamSpec:
    spec = manifest.stream(stream)
    if spec is None:
        raise NotFoundError(f'{manifest.label} has no stream "{stream[:80]}".', field="stream")
    return spec
