"""What a provider sent, as members see it, and replays from page to page."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from trunkline.health import hook_drift
from trunkline.kernel.clock import now
from trunkline.kernel.ids import new_id
from trunkline.vault.sealed import place
from trunkline.webhooks.models import InboundAttempt, InboundEvent
from trunkline_tenants.seed import Seeded

BODY = b'{"subscriptionType": "contact.creation", "note": "<script>alert(1)</script>"}'


async def received(factory: Any, made: Any, state: str = "dead", **values: Any) -> UUID:
    identity, moment = new_id(), now()
    async with factory.db.tenant(made.tenant_id) as session:
        box = await factory.services.vault.box(session, made.tenant_id)
        row = {
            "tenant_id": made.tenant_id,
            "id": identity,
            "source_id": made.connection_id,
            "identity": identity.bytes,
            "connection_id": made.connection_id,
            "endpoint_id": new_id(),
            "connector": "hubspot",
            "event_id": "77",
            "type": "contact.creation",
            "received_at": moment,
            "verdict": "verified",
            "headers": box.seal(
                b'{"user-agent": "HubSpot"}', place("inbound_events", identity, field="headers")
            ),
            "body": box.seal(BODY, place("inbound_events", identity, field="body")),
            "key_version": box.version,
            "size": len(BODY),
            "request_id": "request-1",
            "expires_at": moment + timedelta(days=30),
            "state": state,
            "attempts": 1,
            "cause": "malformed_event" if state == "dead" else None,
            "stream": "contacts",
            "external_ids": ["a/b <x>"],
            **values,
        }
        await session.execute(insert(InboundEvent).values(**row))
        await session.execute(
            insert(InboundAttempt).values(
                tenant_id=made.tenant_id, event_id=identity, number=1, label="initial", outcome=state
            )
        )
    return identity


async def test_events_are_listed_filtered_and_opened(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    dead, done = (
        await received(factory, made),
        await received(factory, made, "applied", type="contact.deletion"),
    )
    home = f"/portal/connections/{made.connection_id}/events"
    assert home in (await owner.get(f"/portal/connections/{made.connection_id}")).text
    listed = (await owner.get(home)).text
    assert f"/portal/events/{dead}" in listed
    assert f"/portal/events/{done}" in listed
    only = (await owner.get(f"{home}?standing=dead")).text
    assert f"/portal/events/{done}" not in only
    assert f"/portal/events/{dead}" not in (await owner.get(f"{home}?q=contact.deletion")).text
    assert "Nothing that fits" in (await owner.get(f"{home}?standing=nonsense")).text
    page = (await owner.get(f"/portal/events/{dead}")).text
    assert "&lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "user-agent" in page
    assert "Some messages from the connected service could not be used" in page


async def test_messages_that_are_not_as_agreed_are_told_in_words(
    factory: Any, people: Seeded, owner: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    words = "objectId is gone; there is object_id instead"
    event = await received(factory, made, differs=words)
    place = f"/portal/connections/{made.connection_id}"
    calm = (await owner.get(place)).text
    assert "no longer look as agreed" not in calm
    async with factory.db.tenant(made.tenant_id) as session:
        for differs in ("occurredAt is <b>text</b> now, no longer a whole number", words):
            await hook_drift.note(
                session,
                made.tenant_id,
                made.connection_id,
                stream="contacts",
                event="contact.creation",
                differs=[differs],
                count=2,
            )
    for path in (place, "/portal/issues"):
        page = (await owner.get(path)).text
        assert "<code>contact.creation</code>" in page
        assert words in page
        assert "no longer look as agreed" in page
        assert "<b>text" not in page
    assert "4 messages" in (await owner.get(place)).text
    assert words in (await owner.get(f"/portal/events/{event}")).text
    assert "Not as agreed" in (await owner.get(f"{place}/events")).text


async def test_one_is_replayed_once_and_it_is_told(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    path = f"/portal/events/{await received(factory, made)}"
    assert "processed again" in await owner.flash(await owner.post(f"{path}/replay"))
    assert "waits to be processed already" in await owner.flash(await owner.post(f"{path}/replay"))
    assert "had an event of" in (await owner.get("/portal/activity")).text


async def test_a_bulk_replay_is_planned_started_and_cancelled(
    factory: Any, people: Seeded, owner: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    await received(factory, made)
    await received(factory, made, "applied")
    plans = f"/portal/connections/{made.connection_id}/replays"
    answer = await owner.post(plans, standing="dead", reason="The manifest was wrong")
    replay = answer.headers["location"]
    page = (await owner.get(replay)).text
    assert "Replay of 1 event" in page
    assert "The manifest was wrong" in page
    assert "Nothing was done yet" in page
    await owner.post(f"{replay}/start")
    assert "0 of 1 processed" in (await owner.get(replay)).text
    part = await owner.get(replay, target="live")
    assert part.status_code == 200, "the part that renews itself while it runs"
    assert "0 of 1 processed" in part.text
    await owner.post(f"{replay}/cancel")
    assert "Cancelled after 0 events" in (await owner.get(replay)).text
    assert "was cancelled" in await owner.flash(await owner.post(f"{replay}/start"))
    assert "No event fits" in await owner.flash(await owner.post(plans, standing="superseded"))
    told = (await owner.get("/portal/activity")).text
    assert "planned a replay of events" in told
    assert "cancelled a replay of events" in told


async def test_a_viewer_looks_and_replays_nothing(factory: Any, people: Seeded, viewer: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    event = await received(factory, made)
    assert "Replay it" not in (await viewer.get(f"/portal/events/{event}")).text
    for path in (f"/portal/events/{event}/replay", f"/portal/connections/{made.connection_id}/replays"):
        assert (await viewer.post(path)).status_code == 403


async def test_anothers_events_are_not_there(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["initech"].id)
    event = await received(factory, made)
    home = f"/portal/connections/{made.connection_id}"
    assert (await owner.get(f"/portal/events/{event}")).status_code == 404
    assert (await owner.get(f"{home}/events")).status_code == 404
    assert (await owner.post(f"/portal/events/{event}/replay")).status_code == 404
    assert (await owner.post(f"{home}/replays", standing="dead")).status_code == 404
