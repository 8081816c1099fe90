"""Audit logs in the console: the installation's and a tenant's; people only for who may see them."""

from typing import Any

import pytest

from trunkline.audit.service import append
from trunkline.kernel.principal import CLIENT_ADDRESS, Principal

PERSONAL = ("Ada Personal", "user-4711", "because of her divorce", "203.0.113.7")


async def tenant(rows: Any) -> str:
    tenant_id = await rows.tenant_at("Hooli", "healthy")
    who = Principal(kind="member", id=PERSONAL[1], role="owner", label=PERSONAL[0], tenant_id=tenant_id)
    known = CLIENT_ADDRESS.set(PERSONAL[3])
    async with rows.db.tenant(tenant_id) as session:
        await append(
            session,
            who,
            "connection.paused",
            "connection",
            "7",
            reason=PERSONAL[2],
            before={"state": "active"},
            after={"state": "paused"},
        )
    CLIENT_ADDRESS.reset(known)
    return "/console/tenants/hooli/audit"


async def test_support_sees_what_was_done_and_nobody(rows: Any, support: Any, chief: Any) -> None:
    path = await tenant(rows)
    assert path in (await support.get("/console/tenants/hooli")).text
    for query in (
        "",
        "?actor=member",
        "?target=connection:7",
        f"?actor=member:{PERSONAL[1]}",
        "?actor=member:x",
    ):
        text = (await support.get(path + query)).text
        assert "Connection: paused" in text, query
        assert "active → paused" in text
        assert "A member" in text
        assert not [one for one in PERSONAL if one in text], query
    whole = (await chief.get(path)).text
    assert [one for one in PERSONAL if one not in whole] == []
    assert "Connection: paused" not in (await chief.get(f"{path}?actor=member:x")).text.partition("<table")[2]


async def test_only_who_may_see_people_downloads(rows: Any, support: Any, chief: Any) -> None:
    path = await tenant(rows)
    assert ".csv" not in (await support.get(path)).text
    for file in (f"{path}.csv", "/console/audit.csv"):
        assert (await support.get(file)).status_code == 403
    answer = await chief.get(f"{path}.csv")
    assert answer.status_code == 200
    assert PERSONAL[0] in answer.text
    assert 'filename="audit-hooli-' in answer.headers["content-disposition"]
    assert "Audit: exported" in (await support.get(path)).text


async def test_the_installations_own_log_is_read_apart(rows: Any, support: Any, chief: Any) -> None:
    await tenant(rows)
    assert "Session: opened" in (await support.get("/console/audit")).text, "staff's own sign-ins"
    await chief.post("/console/keys", name="Backend", scope="all", scopes=["records:read"], expires="30")
    text = (await chief.get("/console/audit")).text
    assert "API key: created" in text
    assert "Chris Tanaka" in text
    assert "Connection: paused" not in text
    seen = (await support.get("/console/audit")).text
    assert "API key: created" in seen
    assert "Chris Tanaka" not in seen
    assert (
        "API key: created"
        not in (await chief.get("/console/audit?action=api_key.revoked")).text.partition("<table")[2]
    )


@pytest.mark.parametrize("end", ["audit", "audit.csv"])
async def test_a_tenant_that_is_none_has_no_log(chief: Any, end: str) -> None:
    assert (await chief.get(f"/console/tenants/nobody/{end}")).status_code == 404


async def test_no_member_reads_the_consoles_logs(rows: Any, visitors: Any) -> None:
    path = await tenant(rows)
    ada = await visitors("ada@globex.example")
    for one in (path, f"{path}.csv", "/console/audit", "/console/audit.csv"):
        assert (await ada.get(one)).status_code == 403
