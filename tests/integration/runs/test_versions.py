"""What a connector's manifest says of its streams, and another version of it: the engine does as it says."""

from typing import Any

import msgspec

from trunkline.sdk.registry import Connectors


async def test_a_stream_that_the_version_lacks_rests_with_a_cause_and_loses_nothing(
    northwind: Any, monkeypatch: Any
) -> None:
    await northwind.recipe()
    await northwind.work()
    held = await northwind.documents()
    assert held
    manifest = northwind.rig.manifest
    others = tuple(one for one in manifest.streams if one.name != "contacts")
    less = Connectors([msgspec.structs.replace(manifest, streams=others)])
    monkeypatch.setattr(northwind.rig.connectors, "_manifests", less._manifests)
    runs = len(await northwind.all_runs())
    await northwind.due_now()
    await northwind.work()
    stream = await northwind.one(
        "SELECT paused_at, cause, next_due_at, run_id FROM streams WHERE tenant_id = :tenant"
    )
    assert stream.paused_at is not None
    assert (stream.cause, stream.next_due_at, stream.run_id) == ("stream_gone", None, None)
    issue = await northwind.one("SELECT cause, stream FROM issues WHERE tenant_id = :tenant")
    assert (issue.cause, issue.stream) == ("stream_gone", "contacts")
    assert await northwind.documents() == held
    assert len(await northwind.all_runs()) == runs

    # it is there again: everything is read anew, and nothing of it was new
    monkeypatch.undo()
    changes = await northwind.positions()
    async with northwind.rig.db.tenant(northwind.tenant_id) as session:
        place = northwind.tenant_id, northwind.connection_id
        await northwind.rig.runs.begin_anew(session, *place, {"contacts"})
        await northwind.rig.runs.start_streams(session, *place, "reconnect")
    await northwind.work()
    (run, *_) = await northwind.all_runs()
    assert (run.state, run.unchanged) == ("succeeded", len(held))
    assert await northwind.positions() == changes
    await northwind.stands()


async def test_fields_are_read_where_the_manifest_says_that_they_lie(
    northwind: Any, monkeypatch: Any
) -> None:
    """HubSpot's documents, with their properties somewhere else: the same entities come of them."""
    expected = await northwind.recipe()
    await northwind.work()
    entities = await northwind.entities(expected)
    assert any(one["email"] for one in entities.values())
    manifest = northwind.rig.manifest
    streams = tuple(
        msgspec.structs.replace(one, values="inner.attributes") if one.name == "contacts" else one
        for one in manifest.streams
    )
    moved = Connectors([msgspec.structs.replace(manifest, streams=streams)])
    monkeypatch.setattr(northwind.rig.connectors, "_manifests", moved._manifests)
    page_of = northwind.rig.provider.page

    async def elsewhere(*given: Any, **named: Any) -> Any:
        page = await page_of(*given, **{**named, "skim": False})
        items = []
        for item in page.items:
            document = {name: value for name, value in item.document.items() if name != "properties"}
            document["inner"] = {"attributes": item.document["properties"]}
            items.append(msgspec.structs.replace(item, document=document, raw=None))
        return msgspec.structs.replace(page, items=items)

    monkeypatch.setattr(northwind.rig.provider, "page", elsewhere)
    async with northwind.rig.db.tenant(northwind.tenant_id) as session:
        place = northwind.tenant_id, northwind.connection_id
        await northwind.rig.runs.begin_anew(session, *place, {"contacts"})
        await northwind.rig.runs.start_streams(session, *place, "reconnect")
    await northwind.work()
    (run, *_) = await northwind.all_runs()
    assert (run.state, run.updated) == ("succeeded", len(entities))
    assert run.changes == 0
    assert await northwind.entities(expected) == entities
    sampled = await northwind.rig.provider.sample(*place, "contacts", 2, ["email"])
    assert all(one["properties"]["email"] for one in sampled)
