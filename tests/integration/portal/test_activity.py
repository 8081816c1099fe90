"""The activity page: read, filtered, paged and downloaded, by who may."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from trunkline.audit.service import append
from trunkline.kernel.clock import now
from trunkline.kernel.principal import CLIENT_ADDRESS, Principal
from trunkline_tenants.seed import Seeded
from trunkline_ui import audit_log

PAGE = "/portal/activity"


async def deed(factory: Any, tenant_id: Any, action: str, target: str = "1", **more: Any) -> None:
    values = {"kind": "member", "id": "1", "role": "owner", "label": "Ada Byron", "tenant_id": tenant_id}
    who = Principal(**{**values, **more.pop("who", {})})
    known = CLIENT_ADDRESS.set("203.0.113.7")
    async with factory.db.tenant(tenant_id) as session:
        await append(session, who, action, action.partition(".")[0], target, **more)
    CLIENT_ADDRESS.reset(known)


STAFF = {"kind": "staff", "id": "9", "role": "staff_admin", "label": "Chris Tanaka"}


def rows_of(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


async def test_a_deed_on_a_page_is_shown_with_its_change_and_its_address(
    factory: Any, people: Seeded, owner: Any, viewer: Any
) -> None:
    made = await factory.whole(people.tenants["globex"].id)
    await owner.post(f"/portal/connections/{made.connection_id}/rename", name="Main CRM")
    text = (await owner.get(PAGE)).text
    assert "renamed “Main CRM”" in text
    assert "→ Main CRM." in text
    assert "from 127.0.0.1" in text
    seen = (await viewer.get(PAGE)).text
    assert "→ Main CRM." in seen
    assert "127.0.0.1" not in seen
    assert f"{PAGE}.csv" in text
    assert f"{PAGE}.csv" not in seen


async def test_entries_are_filtered_by_who_what_about_and_when(
    factory: Any, people: Seeded, owner: Any
) -> None:
    tenant = people.tenants["globex"].id
    await deed(factory, tenant, "recipe.saved", reason="first reason")
    await deed(factory, tenant, "connection.paused", "7", reason="second reason", who=STAFF)
    today, tomorrow = now().date(), now().date() + timedelta(days=1)
    for query, first, second in (
        ("actor=member", True, False),
        ("actor=staff:9", False, True),
        ("action=recipe.saved", True, False),
        ("target=connection", False, True),
        ("target=connection:7", False, True),
        ("target=connection:8", False, False),
        (f"from={today}&to={today}", True, True),
        (f"from={tomorrow}", False, False),
        ("to=2020-01-01", False, False),
        ("from=nonsense&to=9999-12-31&after=x&actor=%00", True, True),
    ):
        text = (await owner.get(f"{PAGE}?{query}")).text
        assert ("first reason" in text, "second reason" in text) == (first, second), query
        assert ("Nothing matches" in text) == (not first and not second), query
        found = rows_of(await owner.get(f"{PAGE}.csv?{query}"))
        assert [row["reason"] for row in found if row["reason"]] == [
            *(["second reason"] if second else []),
            *(["first reason"] if first else []),
        ], query


async def test_pages_lead_forth_and_back_and_keep_the_filter(
    factory: Any, people: Seeded, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "SHOWN", 2)
    for number in range(5):
        await deed(factory, people.tenants["globex"].id, "recipe.saved", reason=f"reason-{number}")
    seen, path = [], f"{PAGE}?action=recipe.saved"
    for _ in range(3):
        text = (await owner.get(path)).text
        seen.append([number for number in range(5) if f"reason-{number}" in text])
        path = text.partition('rel="next" href="')[2].partition('"')[0].replace("&amp;", "&")
        assert not path or "action=recipe.saved" in path
    assert seen == [[3, 4], [1, 2], [0]]
    path = text.partition('rel="prev" href="')[2].partition('"')[0].replace("&amp;", "&")
    back = (await owner.get(path)).text
    assert "reason-1" in back
    assert "reason-2" in back
    assert "reason-0" not in back


async def test_the_file_is_escaped_whole_and_the_tenants_own(
    factory: Any, people: Seeded, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trunkline.audit.export.BATCH", 2)
    tenant = people.tenants["globex"].id
    for number in range(4):
        await deed(factory, tenant, "recipe.saved", reason=f"=cmd|'/C calc'!A{number}")
    await deed(factory, tenant, "recipe.saved", who=STAFF)
    await deed(factory, people.tenants["initech"].id, "recipe.saved", reason="Initech only")
    answer = await owner.get(f"{PAGE}.csv?action=recipe.saved")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="activity-')
    found = rows_of(answer)
    numbers = [int(row["number"]) for row in found]
    assert numbers == list(range(numbers[0], numbers[0] - 5, -1))
    assert found[-1]["reason"] == "'=cmd|'/C calc'!A0"
    assert (found[0]["by"], found[0]["address"], found[1]["address"]) == ("Chris Tanaka", "", "203.0.113.7")
    assert "Initech only" not in answer.text
    text = (await owner.get(PAGE)).text
    assert "downloaded this log" in text, "whoever takes the log leaves a line in it"


async def test_a_viewer_downloads_nothing(viewer: Any) -> None:
    assert (await viewer.get(f"{PAGE}.csv")).status_code == 403


async def test_a_file_that_would_be_too_long_is_refused_and_not_cut(
    factory: Any, people: Seeded, owner: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "MOST", 1)
    for _ in range(2):
        await deed(factory, people.tenants["globex"].id, "recipe.saved")
    answer = await owner.get(f"{PAGE}.csv?action=recipe.saved")
    assert answer.headers["location"] == f"{PAGE}?action=recipe.saved"
    assert "Choose a shorter time" in await owner.flash(answer)
    assert (await owner.get(f"{PAGE}.csv?action=recipe.read")).status_code == 200
