"""What an answer says of the end of an interface: known by its headers, passed on once."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import httpx2
import msgspec
import pytest

from trunkline.kit.harness import Harness
from trunkline.runs.calling import Call
from trunkline.runs.errors import ProviderError
from trunkline.runs.notices import Notice, Remembered, notice_of
from trunkline.sdk.manifest import Manifest
from trunkline_connectors.catalogue import manifests
from trunkline_connectors.freshdesk.simulator import FreshdeskSimulator

MANIFESTS = {one.name: one for one in manifests()}
SUNSET = {"sunset": "Tue, 30 Mar 2027 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("connector", "headers", "found"),
    [
        ("hubspot", {}, None),
        ("hubspot", {"content-type": "application/json", "warning": '299 - "x"'}, None),
        ("hubspot", {"deprecation": "@1688169599"}, Notice("deprecation", "2026-03")),
        ("hubspot", {"deprecation": "true"}, Notice("deprecation", "2026-03")),
        ("hubspot", {"deprecation": "false"}, None),
        ("hubspot", SUNSET, Notice("sunset", "2026-03", "2027-03-30")),
        ("hubspot", {**SUNSET, "deprecation": "@1"}, Notice("sunset", "2026-03", "2027-03-30")),
        ("hubspot", {"sunset": "soon, they say"}, Notice("sunset", "2026-03")),
        ("hubspot", {"sunset": "\0" * 9000}, Notice("sunset", "2026-03")),
        ("salesforce", {"warning": '299 - "ends"'}, Notice("warning", "63.0")),
        ("zendesk", {"x-zendesk-api-warn": "Removed keys"}, Notice("x-zendesk-api-warn", "v2")),
    ],
)
def test_a_notice_is_known_by_its_header(
    connector: str, headers: Mapping[str, str], found: Notice | None
) -> None:
    assert notice_of(MANIFESTS[connector], httpx2.Headers(dict(headers))) == found


def test_it_is_passed_on_once_and_again_with_a_day() -> None:
    one, two, held = UUID(int=1), UUID(int=2), Remembered()
    plain, dated = Notice("deprecation", "v2"), Notice("sunset", "v2", "2027-03-30")
    assert held.is_new(one, plain)
    assert not held.is_new(one, plain)
    assert held.is_new(two, plain)
    assert held.is_new(one, dated)
    assert not held.is_new(one, plain)
    assert held.is_new(one, Notice("deprecation", "v3"))
    held.forget(one)
    assert held.is_new(one, plain)


class Warns(httpx2.AsyncBaseTransport):
    """A provider that has announced the end of everything."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer: httpx2.Response = await self._inner.handle_async_request(request)
        answer.headers.update(SUNSET)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


async def test_any_answer_tells_refusals_too_and_is_written_once() -> None:
    manifest: Manifest = MANIFESTS["freshdesk"]
    harness = Harness(manifest, FreshdeskSimulator)
    harness._egress._pool = Warns(harness._egress._pool)
    try:
        account = harness.simulator.accounts[0]
        connected = await harness.connect(account)
        books: Any = connected.provider.calls._books
        with pytest.raises(ProviderError):
            await connected.provider.calls.answer(connected.target, Call(path="/api/v2/nowhere"))
        for _ in range(3):
            await connected.provider.calls.answer(connected.target, Call(path=manifest.account.path))
        assert books.notices == [Notice("sunset", "v2", "2027-03-30")]
    finally:
        await harness.close()


def test_no_end_is_either_announced_or_not() -> None:
    api = MANIFESTS["stripe"].api
    assert api is not None
    assert api.no_end_announced is not None
    raw = msgspec.to_builtins(api)
    for change in ({"ends": "2027-01-01"}, {"source": ""}):
        with pytest.raises(msgspec.ValidationError, match="stands instead of ends"):
            msgspec.convert({**raw, **change}, type(api))
