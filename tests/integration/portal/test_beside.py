"""What goes on beside a stream's own runs, changed fields, and set-aside records, as members meet them."""

import html
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import select, update

from trunkline.kernel.clock import now
from trunkline.runs import passes
from trunkline.runs.drift import Drift, KnownField
from trunkline.runs.models import Quarantined, Run, Stream
from trunkline.runs.writes import Place
from trunkline.services import Services
from trunkline_tenants.seed import Seeded


async def drifted(services: Services, made: Any) -> None:
    """As the engine leaves a stream whose mapped field went."""
    known = {"email": KnownField("string", "Email"), "city": KnownField("string", "City")}
    moment = now()
    found = [
        Drift(
            field="email",
            label="Email",
            change="gone",
            was="Text",
            now="Not there any more",
            verdict="pause",
            recipes=["Zoë Åström"],
            since=moment - timedelta(minutes=5),
        ),
        Drift(
            field="city",
            label="City",
            change="retyped",
            was="Text",
            now="Number",
            verdict="ignore",
            seen=KnownField("number", "City"),
            since=moment,
        ),
    ]
    async with services.db.tenant(made.tenant_id) as session:
        await session.execute(
            update(Stream)
            .where(Stream.tenant_id == made.tenant_id, Stream.connection_id == made.connection_id)
            .values(
                known_fields=msgspec.to_builtins(known),
                drift=msgspec.to_builtins(found),
                paused_at=moment,
                cause="schema_drift",
                cause_since=moment,
                failures=1,
            )
        )


async def backfill(services: Services, made: Any, **values: Any) -> Any:
    place = Place(made.tenant_id, made.connection_id, made.stream)
    async with services.db.tenant(made.tenant_id) as session:
        run_id = await passes.ask(session, services.work, place, passes.BACKFILL, "manual", expected=4000)
        moment = now()
        given = {
            "state": "running",
            "attempt": 1,
            "fetched": 1000,
            "pages": 10,
            "started_at": moment - timedelta(seconds=60),
            "progress_at": moment,
            **values,
        }
        await session.execute(
            update(Run).where(Run.tenant_id == made.tenant_id, Run.id == run_id).values(**given)
        )
    return run_id


async def test_changed_fields_are_shown_and_accepted(
    factory: Any, people: Seeded, services: Services, owner: Any, viewer: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    await drifted(services, made)
    page = f"/portal/connections/{made.connection_id}"
    text = (await owner.get(page)).text
    for words in ("Stopped: fields changed at HubSpot", "Not there any more", "Stops the stream", "Number"):
        assert words in text
    assert f"{page}/drift/contacts" in text
    assert f"/portal/recipes/{made.recipe_id}/edit" in text
    shown = (await viewer.get(page)).text
    assert "Not there any more" in shown
    assert "Accept the change" not in shown
    live = (await owner.get(page, target="live")).text
    assert "Stopped: fields changed at HubSpot" in live
    assert "Accept the changed fields of Contacts?" in (await owner.get(f"{page}/drift/contacts")).text
    after = await owner.flash(await owner.post(f"{page}/drift/contacts"))
    assert "The change is accepted" in after
    assert "Not there any more" not in after
    async with services.db.tenant(made.tenant_id) as session:
        row = (await session.execute(select(Stream.known_fields, Stream.paused_at, Stream.run_id))).one()
    assert (row.known_fields["email"]["gone"], row.known_fields["city"]["type"]) == (True, "number")
    assert row.paused_at is None
    assert row.run_id is not None
    assert (await viewer.post(f"{page}/drift/contacts")).status_code == 403
    assert "accepted changed fields" in (await owner.get("/portal/activity")).text


async def test_a_full_re_read_shows_how_far_it_is_and_can_be_paused(
    factory: Any, people: Seeded, services: Services, owner: Any, viewer: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    run_id = await backfill(services, made)
    page, run = f"/portal/connections/{made.connection_id}", f"/portal/runs/{run_id}"
    for text in ((await owner.get(page)).text, (await owner.get(run)).text):
        assert "1,000 of about 4,000 · 25 % · about 3 minutes left" in text
        assert "beside the syncs of what changed" in text
    assert ">Pause<" not in (await viewer.get(run)).text
    paused = await owner.flash(await owner.post(f"{run}/pause", back="connection"))
    assert "Paused by a member. It goes on from where it stood" in paused
    assert "Resume" in (await owner.get(run)).text
    resumed = await owner.flash(await owner.post(f"{run}/resume"))
    assert "Waiting for its turn" in resumed
    cancelled = await owner.flash(await owner.post(f"{run}/cancel"))
    assert "The run is cancelled" in cancelled
    assert "already ended" in await owner.flash(await owner.post(f"{run}/pause"))


async def test_a_re_mapping_shows_how_far_it_is(
    factory: Any, people: Seeded, services: Services, owner: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    place, moment = Place(made.tenant_id, made.connection_id, made.stream), now()
    async with services.db.tenant(made.tenant_id) as session:
        run_id = await passes.ask(session, services.work, place, passes.REMAP, "recipe", expected=4000)
        given = {
            "state": "running",
            "attempt": 1,
            "fetched": 1000,
            "started_at": moment - timedelta(minutes=1),
        }
        await session.execute(
            update(Run)
            .where(Run.tenant_id == made.tenant_id, Run.id == run_id)
            .values(progress_at=moment, **given)
        )
    text = (await owner.get(f"/portal/connections/{made.connection_id}")).text
    assert "Mapping what is held" in text
    assert "1,000 of 4,000 · 25 % · about 3 minutes left" in text
    assert "HubSpot is not asked" in text


async def test_a_limit_is_told_with_its_end(
    factory: Any, people: Seeded, services: Services, owner: Any
) -> None:
    """Of the stream's own run, and of a full re-read beside it; nothing is late, so nothing is wrong."""
    tenant_id, moment = people.tenants["globex"].id, now()
    until = moment + timedelta(hours=2)
    connection_id = await factory.connection(tenant_id)
    await factory.recipe(tenant_id, connection_id)
    limit = {"state": "waiting", "cause": "rate_limited", "waiting_until": until}
    run_id = await factory.run(tenant_id, connection_id, finished_at=None, **limit)
    await factory.stream(tenant_id, connection_id, run_id=run_id, waiting_until=until, next_due_at=None)
    made = await factory.whole(people.tenants["globex"].id)
    await backfill(services, made, **limit)
    text = (await owner.get(f"/portal/connections/{connection_id}")).text
    assert "Nothing is late yet, and it goes on by itself. It goes on by itself at" not in text
    assert "We wait for the connected service's limit. Nothing is late yet." in html.unescape(text)
    assert "Syncing now" not in text
    beside = (await owner.get(f"/portal/connections/{made.connection_id}")).text
    assert "Waiting for HubSpot's limit. It goes on at" in html.unescape(beside)
    assert "left" not in beside.partition("1,000 of about 4,000")[2][:40]


async def test_set_aside_records_are_listed_by_what_people_know_them_by(
    factory: Any, people: Seeded, owner: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    place = (made.tenant_id, made.connection_id, made.run_id)
    await factory.record(*place, "54", {"id": "54", "properties": {"firstname": "Ada", "lastname": "Byron"}})
    await factory.quarantine(made, "54", "Email: must not be empty.")
    connection = (await owner.get(f"/portal/connections/{made.connection_id}")).text
    assert ">2 records</a> that a recipe could not map" in connection
    listed = (await owner.get(f"/portal/records?connection={made.connection_id}&show=quarantined")).text
    assert ">Ada Byron</a>" in listed
    assert ">54</span>" in listed
    assert ">53</a>" in listed  # nobody knows it by anything else


async def test_set_aside_records_are_tried_again(
    factory: Any, people: Seeded, services: Services, owner: Any, viewer: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    record = f"/portal/records/{made.connection_id}/contacts/53"
    text = (await owner.get(record)).text
    assert "1 try by version 1" in text
    assert "Try again" in text
    assert "Try again" not in (await viewer.get(record)).text
    listed = (await owner.get(f"/portal/records?connection={made.connection_id}&show=quarantined")).text
    assert "Try all again" in listed
    action = f"/portal/connections/{made.connection_id}/set-aside/retry"
    given = {"stream": "contacts", "recipe": str(made.recipe_id), "record": "53"}
    assert "Set-aside records again" in await owner.flash(await owner.post(action, **given))
    async with services.db.tenant(made.tenant_id) as session:
        assert (await session.execute(select(Quarantined.asked_at))).scalar() is not None
    assert "It is being tried again." in (await owner.get(record)).text
    nothing = await owner.flash(await owner.post(action, record="no such"))
    assert "Nothing of that kind is set aside" in nothing
    assert (await owner.post(action, recipe="x")).status_code == 404
    assert (await viewer.post(action)).status_code == 403
