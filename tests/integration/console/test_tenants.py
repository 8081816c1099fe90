"""The list of tenants and one tenant's page."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event

from trunkline.kernel.clock import now
from trunkline.kernel.ids import new_id
from trunkline_tenants.seed import TENANTS

NAMES = re.compile(r'<a class="strong" href="/console/tenants/[^"]+">([^<]*)</a>')
HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(1)> & 'x' {{ 7*7 }}"""


def names(text: str) -> list[str]:
    return NAMES.findall(text)


def tiles(text: str) -> dict[str, str]:
    found = re.findall(r'<dt>([^<]+)</dt><dd><span class="stat-value[^"]*">([^<]+)</span>', text)
    return dict(found)


async def test_the_worst_come_first(rows: Any, support: Any) -> None:
    await rows.every_state()
    text = (await support.get("/console")).text
    unconnected = sorted(TENANTS.values(), key=str.casefold)
    assert names(text) == [
        "Hooli",
        "Pied Piper",
        "Vandelay",
        "Stark",
        *sorted(["Soylent", "Wayne", *unconnected], key=str.casefold),
    ]
    assert tiles(text) == {
        "To reconnect": "1",
        "Failing": "1",
        "Degraded": "1",
        "Delayed": "1",
        "Open issues": "2",
    }
    assert "Access withdrawn" in text
    assert "for 2 h" in text
    assert text.count("1,290") == 6


@pytest.mark.parametrize(
    ("query", "first", "aria"),
    [
        (
            "",
            "Hooli",
            'aria-sort="descending"><a class="sort" href="/console">Health',
        ),
        ("?sort=health&dir=asc", "Hooli", 'aria-sort="descending"><a class="sort" href="/console">Health'),
        (
            "?sort=name",
            "Globex Corporation",
            'aria-sort="ascending"><a class="sort" href="/console?sort=name&amp;dir=desc">Tenant',
        ),
        (
            "?sort=name&dir=desc",
            "Wayne",
            'aria-sort="descending"><a class="sort" href="/console?sort=name">Tenant',
        ),
        ("?sort=nonsense&dir=sideways", "Hooli", 'aria-sort="descending"'),
    ],
)
async def test_orders(rows: Any, support: Any, query: str, first: str, aria: str) -> None:
    await rows.every_state()
    text = (await support.get(f"/console{query}")).text
    assert names(text)[0] == first
    assert aria in text


async def test_searching_and_filtering(rows: Any, support: Any) -> None:
    await rows.every_state()
    assert names((await support.get("/console?q=PIPER")).text) == ["Pied Piper"]
    assert names((await support.get("/console?q=pied-p")).text) == ["Pied Piper"]
    assert names((await support.get("/console?level=failing")).text) == ["Pied Piper"]
    assert "Soylent" in names((await support.get("/console?level=fine")).text)
    assert names((await support.get("/console?level=fine&q=o")).text) == ["Globex Corporation", "Soylent"]
    nobody = (await support.get("/console?level=failing&q=wayne")).text
    assert names(nobody) == []
    assert "No tenant fits" in nobody
    assert tiles(nobody)["Failing"] == "1"
    assert names((await support.get("/console?q=%00")).text) != []
    kept = (await support.get("/console?q=o&level=failing&sort=name")).text
    assert 'hx-get="/console?q=o&amp;level=failing&amp;sort=name"' in kept


async def test_pages(rows: Any, support: Any) -> None:
    for number in range(30):
        await rows.directory.create_tenant(f"t{number:02}", f"Tenant {number:02}")
    first = (await support.get("/console?sort=name")).text
    assert len(names(first)) == 25
    assert "1 to 25" in first
    second = (await support.get("/console?sort=name&page=2")).text
    assert names(second) == [f"Tenant {number:02}" for number in range(23, 30)] + ["Umbra Analytics"]
    assert 'rel="prev" href="/console?sort=name"' in second.replace("&amp;", "&")
    for strange in ("0", "-1", "999999", "x", "1e9", "%C2%B2"):
        assert (await support.get(f"/console?page={strange}")).status_code == 200


async def test_live_part_alone(rows: Any, support: Any) -> None:
    await rows.every_state()
    part = (await support.get("/console", target="live")).text
    assert part.lstrip().startswith('<div id="live"')
    assert names(part)[0] == "Hooli"


async def test_as_many_queries_for_many_tenants_as_for_few(rows: Any, support: Any, services: Any) -> None:
    statements: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = services.db._console.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    await support.get("/console")
    few = len(statements)
    await rows.every_state()
    for number in range(20):
        await rows.tenant_at(f"More {number}", "failing")
    statements.clear()
    await support.get("/console")
    assert len(statements) == few
    event.remove(engine, "before_cursor_execute", note)


async def test_a_trip_that_never_came_back_is_nowhere(rows: Any, support: Any, people: Any) -> None:
    tenant_id = people.tenants["globex"].id
    lost = await rows.connection(tenant_id, state="pending", account_id=None, name="Never came back")
    await rows.issue(tenant_id, lost, "authorization_denied")
    await rows.work(tenant_id, lost, kind="expire_pending", key=str(lost))
    text = (await support.get("/console?q=globex")).text
    assert tiles(text)["Open issues"] == "0"
    assert "Not connected" in text
    page = (await support.get("/console/tenants/globex")).text
    assert "Never came back" not in page
    assert str(lost) not in page
    assert "Nothing is connected" in page
    assert "No open issues" in (await support.get("/console/issues")).text
    waiting = await rows.connection(tenant_id, state="pending", name="Waits for the product")
    page = (await support.get("/console/tenants/globex")).text
    assert "Waits for the product" in page
    known = page.replace(f"/connections/{waiting}/sync", "").replace(f"/connections/{waiting}/events", "")
    assert str(waiting) not in known


async def test_a_tenants_page(rows: Any, support: Any) -> None:
    made = await rows.every_state()
    text = (await support.get("/console/tenants/pied-piper")).text
    assert "Error on the provider&#39;s side" in text or "Error on the provider's side" in text
    assert "5 tries in a row failed." in text
    assert "At the provider" in text
    assert 'href="/console/runbooks/provider_error"' in text
    assert "corr-pied-piper" in text
    assert "1 min" in text
    assert "321" in text
    assert "Sync now" not in text
    for secret in ("somebody@personal.example", "Ada Personal", "user-personal", "corr-hooli"):
        assert secret not in text
    assert str(made["Pied Piper"]) not in text
    part = (await support.get("/console/tenants/pied-piper", target="live")).text
    assert part.lstrip().startswith('<div id="live"')
    for slug, words in {
        "hooli": "The provider refuses the refresh token",
        "vandelay": "One try failed.",
        "stark": "A pass takes too long",
        "wayne": "Everything is up to date.",
        "soylent": "Paused by hand",
        "initech": "Nothing is connected",
    }.items():
        assert words in (await support.get(f"/console/tenants/{slug}")).text, slug
    assert (await support.get("/console/tenants/nobody")).status_code == 404
    assert (await support.get("/console/tenants/PIED%20PIPER")).status_code == 404


async def test_what_is_read_anew_shows_how_far_it_is(rows: Any, support: Any, people: Any) -> None:
    tenant_id, moment = people.tenants["umbra"].id, now()
    connection_id = await rows.connection(tenant_id)
    await rows.stream(tenant_id, connection_id)
    half = {
        "fetched": 1000,
        "expected": 4000,
        "started_at": moment - timedelta(minutes=1),
        "progress_at": moment,
    }
    for mode in ("full", "remap"):
        await rows.run(tenant_id, connection_id, mode=mode, state="running", finished_at=None, **half)
    text = (await support.get("/console/tenants/umbra")).text
    assert "1,000 of about 4,000 · 25 % · about 3 minutes left" in text
    assert "1,000 of 4,000 · 25 % · about 3 minutes left" in text


async def test_every_state_of_a_connection_has_its_words(rows: Any, support: Any, people: Any) -> None:
    tenant_id = people.tenants["umbra"].id
    for state in ("pending", "setup", "paused", "disconnected", "active", "reconnect_required"):
        await rows.connection(
            tenant_id,
            state=state,
            name=f"The {state} one",
            cause="grant_revoked" if state == "reconnect_required" else None,
        )
    text = (await support.get("/console/tenants/umbra")).text
    shown = re.findall(r'<h2 class="card-title">The (\w+) one</h2>', text)
    assert shown[:2] == ["reconnect_required", "active"]
    assert shown[-1] == "disconnected"
    assert len(shown) == 6
    assert "completion code" in text
    assert "a required choice is missing" in text
    assert "set up a recipe to start" in text


async def test_hostile_names_stay_text(rows: Any, support: Any) -> None:
    tenant_id = (await rows.directory.create_tenant("hostile", HOSTILE)).id
    connection = await rows.connection(tenant_id, name=HOSTILE, account_id=HOSTILE, connector=HOSTILE)
    await rows.stream(tenant_id, connection, HOSTILE, failures=4, cause=HOSTILE)
    await rows.run(
        tenant_id, connection, stream=HOSTILE, mode=HOSTILE, trigger=HOSTILE, state=HOSTILE, cause=HOSTILE
    )
    await rows.work(tenant_id, connection, kind=HOSTILE, key=HOSTILE, cause=HOSTILE)
    await rows.issue(tenant_id, connection, "bad_request", stream=HOSTILE, detail={"correlation_id": HOSTILE})
    for path in (
        "/console",
        "/console?q=%3Cscript%3E",
        "/console/tenants/hostile",
        "/console/issues",
        "/console/issues/bad_request",
    ):
        answer = await support.get(path)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text, path
        assert "<img src=x" not in answer.text, path
        assert "49" not in re.findall(r"\{\{|49 \}", answer.text), path
        assert "&lt;script&gt;alert" in answer.text or path == "/console/issues", path


async def test_work_that_a_worker_holds_is_told_from_work_that_waits(
    rows: Any, support: Any, people: Any
) -> None:
    from datetime import timedelta

    from trunkline.kernel.clock import now

    tenant_id = people.tenants["globex"].id
    connection = await rows.connection(tenant_id)
    moment = now()
    await rows.work(tenant_id, connection, due_at=moment - timedelta(minutes=3))
    await rows.work(
        tenant_id,
        connection,
        key=f"{connection}:deals",
        lease_until=moment + timedelta(seconds=20),
        attempt=7,
    )
    await rows.work(
        tenant_id, connection, key=f"{connection}:tickets", lease_until=moment - timedelta(seconds=20)
    )
    text = (await support.get("/console/tenants/globex")).text
    assert text.count("lease until") == 1
    assert text.count("not begun yet") == 2
    assert "HubSpot · Deals" in text
    assert str(UUID(int=0)) not in text
    assert str(new_id()) not in text
