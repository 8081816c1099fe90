"""Full passes over what is held already: read no further than needed, and no difference is missed."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from trunkline.runs.skimming import PageReader, read_whole
from trunkline.sdk.manifest import Manifest
from trunkline_connectors.catalogue import manifests

VERSIONS = "SELECT external_id, xmin::text FROM records WHERE tenant_id = :tenant ORDER BY 1"


def small_pages(manifest: Manifest) -> Manifest:
    replace = msgspec.structs.replace
    contacts = manifest.stream("contacts")
    assert contacts is not None
    return replace(manifest, streams=(replace(contacts, list=replace(contacts.list, page_size=20)),))


@pytest.fixture
async def harbor(
    sandbox: Any, make_rig: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Any]:
    """120 contacts, in pages of 20, read once."""
    monkeypatch.setattr("trunkline.runs.aside.TURN_SECONDS", 600.0)
    rig = make_rig(sandbox, small_pages(next(m for m in manifests() if m.name == "hubspot")))
    made = await rig.connect(sandbox, "48120002")
    await made.recipe()
    await made.work()
    yield made
    await rig.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of the records that were read whole because they were skimmed before."""
    found: list[str] = []

    def noting(items: Any) -> Any:
        found.extend(one.external_id for one in items if not one.whole)
        return read_whole(items)

    monkeypatch.setattr("trunkline.runs.pages.read_whole", noting)
    return found


def answers(monkeypatch: pytest.MonkeyPatch, change: Callable[[bytes], bytes]) -> None:
    """What the provider says, as it arrives."""
    as_it_is = PageReader.__call__
    monkeypatch.setattr(PageReader, "__call__", lambda reader, content: as_it_is(reader, change(content)))


def otherwise(content: bytes) -> bytes:
    """The same JSON in other bytes."""
    body = msgspec.json.decode(content)
    body["results"] = [dict(reversed(one.items())) for one in body["results"]]
    return msgspec.json.format(msgspec.json.encode(body), indent=1)


async def test_what_comes_in_the_same_bytes_is_not_read(harbor: Any, read: list[str]) -> None:
    before = await harbor.rows(VERSIONS)
    run = await harbor.sync("full")
    assert (run.state, run.unchanged, run.updated) == ("succeeded", len(before), 0)
    assert read == []
    assert await harbor.rows(VERSIONS) == before


async def test_other_bytes_of_the_same_record_are_no_change(
    harbor: Any, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await harbor.rows(VERSIONS)
    answers(monkeypatch, otherwise)
    run = await harbor.sync("full")
    assert (run.state, run.unchanged, run.updated) == ("succeeded", len(before), 0)
    assert set(read) == {row.external_id for row in before}
    assert await harbor.rows(VERSIONS) == before


async def test_records_of_before_there_were_prints_of_their_bytes_are_unchanged(
    harbor: Any, read: list[str]
) -> None:
    await harbor.rows(
        """UPDATE records SET fingerprint = substring(fingerprint, 1, 16) WHERE tenant_id = :tenant
           RETURNING external_id"""
    )
    before = await harbor.rows(VERSIONS)
    run = await harbor.sync("full")
    assert (run.state, run.unchanged, run.updated) == ("succeeded", len(before), 0)
    assert set(read) == {row.external_id for row in before}
    assert await harbor.rows(VERSIONS) == before


async def test_what_changed_is_read_and_what_went_back_is_a_change_again(
    harbor: Any, read: list[str]
) -> None:
    """The provider changes them without saying so, so that no index of changes has them."""
    crm, account = harbor.sandbox.hubspot.store, harbor.account
    chosen = sorted(harbor.sandbox.truth(account))[::40]
    for said in ("Silently", "Elsewhere", "Silently"):
        read.clear()
        for one in chosen:
            crm.get(account, "contacts", one).values["city"] = said
        run = await harbor.sync("full")
        assert (run.state, run.updated) == ("succeeded", len(chosen)), said
        assert set(read) == set(chosen)
        await harbor.stands()


async def test_a_record_that_cannot_be_read_stops_at_its_page(
    harbor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages before it are written; none is that was not whole."""
    ids = sorted(harbor.sandbox.truth(harbor.account), key=int)
    bad = b'"id":"%s"' % ids[90].encode()

    def damaged(content: bytes) -> bytes:
        return content.replace(bad, bad + b',"x":1e999').replace(b'"archived":', b'"new":1,"archived":')

    answers(monkeypatch, damaged)
    await harbor.ask("full")
    await harbor.work()
    run = next(one for one in await harbor.all_runs() if one.mode == "full")
    assert (run.state, run.cause) == ("waiting", "malformed_answer")
    assert (run.pages, run.updated) == (4, 80)
