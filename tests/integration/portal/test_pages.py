"""Every page for those who may change things and those who may look; hostile words; live fragments."""

from typing import Any

import pytest
from sqlalchemy import update

from trunkline.health import hook_drift
from trunkline.kernel.clock import now
from trunkline.runs.models import Stream
from trunkline_tenants.seed import Seeded

HOSTILE = """<script>alert("x")</script> & 'quotes' {{ 7*7 }}"""


def addresses(made: Any) -> dict[str, str]:
    home = f"/portal/connections/{made.connection_id}"
    records = f"/portal/records?connection={made.connection_id}"
    record = f"/portal/records/{made.connection_id}/contacts"
    return {
        "overview": "/portal",
        "connect": "/portal/connect",
        "connection": home,
        "run": f"/portal/runs/{made.run_id}",
        "records": records,
        "quarantined": f"{records}&show=quarantined",
        "model": "/portal/records?model=contact",
        "record": f"{record}/51",
        "deleted": f"{record}/52",
        "set aside": f"{record}/53",
        "issues": "/portal/issues",
        "activity": "/portal/activity",
    }


async def test_every_page_opens_and_escapes_what_strangers_wrote(
    factory: Any, people: Seeded, owner: Any, viewer: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id, text=HOSTILE)
    for who, visitor in (("owner", owner), ("viewer", viewer)):
        for name, path in addresses(made).items():
            answer = await visitor.get(path)
            assert answer.status_code == 200, f"{name} for {who}: {answer.text[:400]}"
            assert "<script>alert" not in answer.text, f"{name} for {who}"
            assert "&#39;quotes&#39; 49" not in answer.text, name
            title = answer.text.partition("<title>")[2].partition("</title>")[0]
            assert title.endswith(" · Trunkline"), name
            assert len(title) > len(" · Trunkline"), name


async def test_a_new_organisation_is_led_to_the_catalogue(owner: Any, viewer: Any) -> None:
    text = (await owner.get("/portal")).text
    assert "No connections yet" in text
    assert 'href="/portal/connect"' in text
    assert 'href="/portal/connect"' not in (await viewer.get("/portal")).text
    for path in ("/portal/records", "/portal/issues", "/portal/activity"):
        assert (await owner.get(path)).status_code == 200
    assert (await owner.get("/portal/connections")).headers["location"] == "/portal"


async def test_catalogue_says_what_is_read_and_may_leave_for_the_provider(owner: Any) -> None:
    answer = await owner.get("/portal/connect")
    assert "Read contacts" in answer.text
    assert "form-action 'self' http://127.0.0.1:9;" in answer.headers["content-security-policy"] + ";"


async def test_a_viewer_sees_no_button(factory: Any, people: Seeded, owner: Any, viewer: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    for path in addresses(made).values():
        text = (await viewer.get(path)).text
        forms = [part.partition('"')[0] for part in text.split('method="post" action="')[1:]]
        assert set(forms) <= {"/ui/theme", "/logout"}, path
    assert "/disconnect" in (await owner.get(f"/portal/connections/{made.connection_id}")).text


async def test_live_parts_give_only_themselves(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    where = addresses(made)
    for name, target in (
        ("overview", "live"),
        ("connection", "live"),
        ("connection", "history"),
        ("connection", "hook"),
        ("run", "live"),
        ("issues", "live"),
    ):
        text = (await owner.get(where[name], target=target)).text.strip()
        assert text.startswith(f'<div id="{target}"'), f"{name}: {text[:200]}"
        assert "<title>" not in text, name
        assert sum(text.count(f'id="{part}"') for part in ("live", "history", "hook")) == 1, name


async def test_live_progress_says_what_happens(factory: Any, people: Seeded, owner: Any) -> None:
    tenant_id = people.tenants["globex"].id
    connection_id = await factory.connection(tenant_id)
    await factory.stream(tenant_id, connection_id)
    run_id = await factory.run(
        tenant_id, connection_id, state="waiting", cause="rate_limited", finished_at=None,
        waiting_until=now().replace(year=now().year + 1), fetched=9700, expected=48120, pages=97, mode="first",
    )  # fmt: skip
    async with factory.db.tenant(tenant_id) as session:
        await session.execute(update(Stream).where(Stream.tenant_id == tenant_id).values(run_id=run_id))
    path = f"/portal/connections/{connection_id}"
    text = (await owner.get(path, target="live")).text
    assert "Waiting for HubSpot&#39;s limit until <time" in text
    assert "9,700 of 48,120" in text
    assert 'hx-trigger="every 2s"' in text
    text = (await owner.get(f"/portal/runs/{run_id}")).text
    assert "Cancel run" in text
    assert "First full read" in text


@pytest.mark.parametrize(
    ("state", "cause", "words", "form"),
    [
        ("reconnect_required", "grant_revoked", "Reconnect needed", "/reconnect"),
        ("paused", "paused_by_member", "Paused", "/resume"),
        ("disconnected", "disconnected_by_member", "Disconnected", "/reconnect"),
        ("active", None, "Healthy", "/sync"),
    ],
)
async def test_each_state_offers_what_helps(
    factory: Any, people: Seeded, owner: Any, state: str, cause: str | None, words: str, form: str
) -> None:
    made = await factory.whole(people.tenants["globex"].id, state=state, cause=cause)
    text = (await owner.get(f"/portal/connections/{made.connection_id}")).text
    assert words in text
    assert f'action="/portal/connections/{made.connection_id}{form}"' in text
    overview = (await owner.get("/portal")).text
    assert words in overview
    assert ("reconnect needed" in overview) is (state == "reconnect_required")


async def test_many_connections_can_be_searched(factory: Any, people: Seeded, owner: Any) -> None:
    tenant_id = people.tenants["globex"].id
    for number in range(13):
        await factory.connection(
            tenant_id, name=f"Office {number}", account_id=f"9{number}", account_label=f"acct {number}"
        )
    every = (await owner.get("/portal")).text
    assert "Search connections" in every
    assert every.count('<a class="strong" href="/portal/connections/') == 13
    some = (await owner.get("/portal?q=oFFice+1")).text
    assert some.count('<a class="strong" href="/portal/connections/') == 4
    assert "4 of 13 connections" in some
    assert 'hx-get="/portal?q=oFFice+1"' in some
    assert "“nowhere” in its name" in (await owner.get("/portal?q=nowhere")).text
    chooser = (await owner.get("/portal/connect")).text
    assert 'href="/portal?q=HubSpot">10 more</a>' in chooser


async def test_records_are_found_paged_and_marked(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    home = f"/portal/records?connection={made.connection_id}&stream=contacts"
    text = (await owner.get(home)).text
    assert text.count("Deleted</span>") == 1
    assert text.count("Set aside</span>") == 1
    for number in range(60, 90):
        await factory.record(
            made.tenant_id, made.connection_id, made.run_id, str(number), {"id": str(number)}
        )
    seen: list[str] = []
    path = home
    for _ in range(2):
        text = (await owner.get(path)).text
        seen += [part.partition('"')[0] for part in text.split("/contacts/")[1:]]
        path = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        back = text.partition('rel="prev" href="')[2].partition('"')[0].replace("&amp;", "&")
    assert seen == [str(number) for number in (51, 52, 53, *range(60, 90))]
    assert path == ""
    first = (await owner.get(back)).text
    assert "/contacts/51" in first
    assert "/contacts/82" not in first
    assert 'rel="prev"' not in first
    found = (await owner.get(f"{home}&q=61")).text
    assert "/contacts/61" in found
    assert "/contacts/62" not in found
    assert "Nothing has this id" in (await owner.get(f"{home}&q=nope")).text
    assert "/contacts/51" in (await owner.get("/portal/records?model=contact&q=51")).text


async def test_ids_that_a_path_cannot_carry(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    for odd in ("a/b", "..", "-", "ü ?#&%2F", "x" * 300):
        await factory.record(made.tenant_id, made.connection_id, made.run_id, odd, {"id": "odd-one"})
        text = (await owner.get(f"/portal/records?connection={made.connection_id}&q={quote_all(odd)}")).text
        link = text.partition(f'href="/portal/records/{made.connection_id}')[2].partition('"')[0]
        answer = await owner.get(f"/portal/records/{made.connection_id}{link.replace('&amp;', '&')}")
        assert answer.status_code == 200, odd
        assert "odd-one" in answer.text, odd


async def test_provenance_shows_source_result_and_history(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    text = (await owner.get(f"/portal/records/{made.connection_id}/contacts/51")).text
    assert "firstname" in text
    assert "Zoë Åström" in text
    assert "<del>old@x.example</del>" in text
    assert "<del>Before</del>" in text
    assert f"/portal/recipes/{made.recipe_id}/versions/1" in text
    aside = (await owner.get(f"/portal/records/{made.connection_id}/contacts/53")).text
    assert "could not map this record" in aside
    assert "Email: Zoë Åström" in aside


async def test_runs_page_backwards_and_forwards(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    for _ in range(14):
        await factory.run(made.tenant_id, made.connection_id)
    path = home = f"/portal/connections/{made.connection_id}"
    text = (await owner.get(path)).text
    assert text.count('<a href="/portal/runs/') == 10
    path = text.partition('rel="next" href="')[2].partition('"')[0]
    text = (await owner.get(path)).text
    assert text.count('<a href="/portal/runs/') == 5
    assert path in text, "the live part asks for the page that is shown"
    back = text.partition('rel="prev" href="')[2].partition('"')[0]
    assert (await owner.get(back)).text.count('<a href="/portal/runs/') == 10
    assert (await owner.get(f"{home}?after=garbage")).status_code == 200


async def test_hostile_queries_are_no_errors_of_ours(factory: Any, people: Seeded, owner: Any) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    base = f"connection={made.connection_id}"
    for query in (
        f"{base}&q=%00", f"{base}&after=%00", f"{base}&stream=%00%ff", f"{base}&q={'x' * 3000}", "model=%00",
        "connection=nope", "model=contact&after=nope", "model=nope", f"{base}&show=quarantined&after=nope",
        f"{base}&before=51&after=51", f"{base}&q=%ed%a0%80",
    ):  # fmt: skip
        assert (await owner.get(f"/portal/records?{query}")).status_code in {200, 404}, query
    for path in (f"/portal/records/{made.connection_id}/contacts/%00", "/portal/activity?after=%00"):
        assert (await owner.get(path)).status_code in {200, 404}, path


def quote_all(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


async def test_only_who_belongs_to_several_organisations_can_choose(owner: Any, visitors: Any) -> None:
    assert "/switch-tenant" not in (await owner.get("/portal")).text
    iris = await visitors("iris@umbra.example")
    assert 'href="/switch-tenant"' in (await iris.get("/portal")).text
    assert "Initech" in (await iris.get("/switch-tenant")).text


async def test_events_that_look_otherwise_are_told_of_without_a_reload(
    factory: Any, people: Seeded, owner: Any
) -> None:
    tenant_id = people.tenants["globex"].id
    made = await factory.whole(tenant_id)
    path = f"/portal/connections/{made.connection_id}"
    assert "no longer look as agreed" not in (await owner.get(path, target="hook")).text
    async with factory.db.tenant(tenant_id) as session:
        await hook_drift.note(
            session,
            tenant_id,
            made.connection_id,
            stream="contacts",
            event="contact.creation",
            differs=["objectId is text"],
            count=2,
        )
    text = (await owner.get(path, target="hook")).text
    assert "Messages no longer look as agreed" in text
    assert "objectId is text" in text
    assert 'hx-trigger="every' in text


async def test_a_stream_tells_that_what_it_is_read_for_is_in_trouble(
    factory: Any, people: Seeded, owner: Any
) -> None:
    tenant = people.tenants["globex"].id
    connection = await factory.connection(tenant, connector="freshdesk", name="Desk")
    failing = {"failures": 4, "cause": "forbidden", "cause_since": now()}
    await factory.stream(tenant, connection, "tickets", **failing)
    await factory.stream(tenant, connection, "conversations")
    text = (await owner.get(f"/portal/connections/{connection}")).text
    line = text.partition("Waiting for Tickets, ")[2].partition("</p>")[0]
    assert "It is read for each record of another stream" in line
    assert text.count("Up to date") == 0
