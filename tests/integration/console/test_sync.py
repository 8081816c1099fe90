"""Sync now from the console: a reason, an audit entry that names who, or nothing at all."""

from typing import Any

from trunkline.audit.service import history
from trunkline.health import across


async def test_a_sync_needs_a_reason_and_is_audited(rows: Any, chief: Any) -> None:
    tenant_id = await rows.tenant_at("Hooli", "healthy")
    async with rows.db.tenant(tenant_id) as session:
        connection = (await rows.services.health.of_tenant(session, tenant_id))[0].row.id
    address = f"/console/tenants/hooli/connections/{connection}/sync"
    assert address in (await chief.get("/console/tenants/hooli")).text
    assert "Reason" in (await chief.get(address)).text
    for reason, words in (
        ("", "Say why"),
        ("   ", "Say why"),
        ("x" * 501, "500 characters"),
        ("a\0b", "cannot be shown"),
    ):
        answer = await chief.post(address, reason=reason)
        assert answer.status_code == 422
        assert words in answer.text
    async with rows.db.tenant(tenant_id) as session:
        assert await history(session, tenant_id) == []
    assert "Sync started." in await chief.flash(await chief.post(address, reason="Ticket 4711"))
    async with rows.db.tenant(tenant_id) as session:
        entries = await history(session, tenant_id)
        runs = await across.last_runs(session, tenant_id, limit=10)
    assert [(one.action, one.actor, one.actor_kind, one.reason) for one in entries] == [
        ("connection.sync_requested", "Chris Tanaka", "staff", "Ticket 4711")
    ]
    assert any(run.trigger == "manual" for run in runs)


async def test_what_cannot_sync_says_so(rows: Any, chief: Any) -> None:
    for name, level in (("Hooli", "reconnect_needed"), ("Soylent", "paused")):
        tenant_id = await rows.tenant_at(name, level)
        async with rows.db.tenant(tenant_id) as session:
            connection = (await rows.services.health.of_tenant(session, tenant_id))[0].row.id
        answer = await chief.post(
            f"/console/tenants/{name.lower()}/connections/{connection}/sync", reason="x"
        )
        assert "flashes" in (page := await chief.flash(answer))
        assert "must be connected again" in page or "resume it first" in page


async def test_another_tenants_connection_is_not_found(rows: Any, chief: Any) -> None:
    tenant_id = await rows.tenant_at("Hooli", "healthy")
    await rows.tenant_at("Wayne", "healthy")
    async with rows.db.tenant(tenant_id) as session:
        connection = (await rows.services.health.of_tenant(session, tenant_id))[0].row.id
    address = f"/console/tenants/wayne/connections/{connection}/sync"
    assert (await chief.get(address)).status_code == 404
    assert (await chief.post(address, reason="x")).status_code == 404
