"""What arrived for a tenant, as staff see it, and replays of it with a reason."""

from typing import Any
from uuid import UUID

from sqlalchemy import text

from trunkline.health import hook_drift
from trunkline.kernel.clock import now
from trunkline.kernel.ids import new_id
from trunkline.vault.sealed import place
from trunkline.webhooks.models import InboundEvent


async def received(services: Any, tenant_id: UUID, connection: UUID) -> None:
    identity, moment = new_id(), now()
    async with services.db.tenant(tenant_id) as session:
        box = await services.vault.box(session, tenant_id)
        session.add(
            InboundEvent(
                tenant_id=tenant_id,
                id=identity,
                source_id=connection,
                identity=identity.bytes,
                connection_id=connection,
                endpoint_id=new_id(),
                connector="hubspot",
                event_id="personal-id",
                type="contact.creation",
                received_at=moment,
                verdict="verified",
                headers=box.seal(b"{}", place("inbound_events", identity, field="headers")),
                body=box.seal(b"somebody@personal.example", place("inbound_events", identity, field="body")),
                key_version=box.version,
                size=3,
                address="192.0.2.7",
                request_id="request-1",
                expires_at=moment,
                state="dead",
                cause="malformed_event",
                external_ids=["personal-record"],
            )
        )


async def test_staff_see_what_became_of_events_and_replay_with_a_reason(
    rows: Any, support: Any, chief: Any, services: Any
) -> None:
    name, tenant_id = next(iter((await rows.every_state()).items()))
    async with services.db.tenant(tenant_id) as session:
        connection = await session.scalar(text("SELECT id FROM connections LIMIT 1"))
    await received(services, tenant_id, connection)
    path = f"/console/tenants/{name.lower()}/connections/{connection}/events"
    for visitor in (support, chief):
        page = await visitor.get(path)
        assert page.status_code == 200
        assert "contact.creation" in page.text
        assert "/console/runbooks/malformed_event" in page.text
        for hidden in ("personal", "192.0.2.7", "request-1"):
            assert hidden not in page.text
    assert "Plan a replay" not in (await support.get(path)).text
    assert (await support.post(path, standing="dead", reason="x")).status_code == 403
    assert "Say why" in await chief.flash(await chief.post(path, standing="dead", reason=" "))
    planned = await chief.post(path, standing="dead", reason="The manifest was mended")
    replay = planned.headers["location"]
    assert "Replay of 1 event" in (await chief.get(replay)).text
    assert "Start" not in (await support.get(replay)).text
    await chief.post(f"{replay}/start")
    assert "0 of 1 processed" in (await support.get(replay)).text
    await chief.post(f"{replay}/cancel")
    async with services.db.tenant(tenant_id) as session:
        told = await session.execute(
            text(
                "SELECT action, actor_kind, reason FROM audit_entries WHERE action LIKE 'replay.%' ORDER BY sequence"
            )
        )
        assert [tuple(row) for row in told] == [
            ("replay.planned", "staff", "The manifest was mended"),
            ("replay.started", "staff", "The manifest was mended"),
            ("replay.cancelled", "staff", "The manifest was mended"),
        ]
    assert (await chief.get(f"{path.replace(str(connection), str(UUID(int=5)))}")).status_code == 404


async def test_staff_see_how_events_deviate_and_nothing_of_what_they_said(
    rows: Any, support: Any, services: Any
) -> None:
    name, tenant_id = next(iter((await rows.every_state()).items()))
    async with services.db.tenant(tenant_id) as session:
        connection = await session.scalar(text("SELECT id FROM connections LIMIT 1"))
        await hook_drift.note(
            session, tenant_id, connection, stream="contacts", event="contact.creation",
            differs=["objectId is gone", "meta.version has the new value 3.0; we know 2.0"], count=3,
        )  # fmt: skip
    await received(services, tenant_id, connection)
    async with services.db.tenant(tenant_id) as session:
        await session.execute(text("UPDATE inbound_events SET differs = 'objectId is gone'"))
    for path in ("/console/issues/webhook_drift", f"/console/tenants/{name.lower()}"):
        page = await support.get(path)
        assert page.status_code == 200
        for words in ("contact.creation", "objectId is gone", "3.0; we know 2.0", "3 times"):
            assert words in page.text, (path, words)
    listed = (await support.get(f"/console/tenants/{name.lower()}/connections/{connection}/events")).text
    assert "objectId is gone" in listed
    assert f'<a href="/console/tenants/{name.lower()}">{name}</a>' in listed
    assert "personal" not in listed
    assert "webhooks.json" in (await support.get("/console/runbooks/webhook_drift")).text
