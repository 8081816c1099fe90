from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from litestar import Litestar
from litestar.di import Provide
from sqlalchemy import text

from trunkline.idempotency.service import Idempotency
from trunkline.kernel.errors import TrunklineError
from trunkline.kernel.principal import Principal
from trunkline.runs.controllers import ChangeController, RecordController, RunController
from trunkline.work.queue import WorkQueue

PRODUCT = Principal(kind="api_key", id=str(uuid4()), role="product", label="A key of the whole installation")


@pytest.fixture
async def api(harbor: Any) -> AsyncIterator[Any]:
    """The tenant is whom the header names; who may is another slice's business."""
    from litestar import Request, Response

    async def tenant_id(request: Request[Any, Any, Any]) -> UUID:
        return UUID(request.headers["tenant"])

    def problem(_: Any, error: TrunklineError) -> Response[Any]:
        return Response({"code": error.code, "field": error.field}, status_code=error.status)

    app = Litestar(
        [RecordController, ChangeController, RunController],
        dependencies={
            "db": Provide(lambda: harbor.rig.db, sync_to_thread=False),
            "runs": Provide(lambda: harbor.rig.runs, sync_to_thread=False),
            "idempotency": Provide(
                lambda: Idempotency(harbor.rig.db, harbor.rig.vault, WorkQueue()), sync_to_thread=False
            ),
            "principal": Provide(lambda: PRODUCT, sync_to_thread=False),
            "tenant_id": Provide(tenant_id),
        },
        exception_handlers={TrunklineError: problem},
        openapi_config=None,
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
        client.headers["tenant"] = str(harbor.tenant_id)
        yield client


async def test_records_are_paged_whole_and_once(api: Any, harbor: Any) -> None:
    await harbor.recipe()
    await harbor.work()
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        query = {"limit": 25} | ({"cursor": cursor} if cursor else {})
        page = (await api.get("/v1/records/contact", params=query)).json()
        seen += page["records"]
        cursor = page["next"]
        if cursor is None:
            break
        assert len(page["records"]) == 25
    entities = await harbor.entities()
    assert {record["external_id"]: record["data"] for record in seen} == entities
    assert len(seen) == len(entities)
    one = seen[3]
    got = (await api.get(f"/v1/records/contact/{one['id']}")).json()
    assert got == one
    assert {"connection_id", "stream", "recipe_id", "recipe_version", "run_id"} <= set(got)
    assert (await api.get(f"/v1/records/deal/{one['id']}")).status_code == 404
    later = await api.get("/v1/records/contact", params={"updated_after": seen[0]["changed_at"]})
    assert len(later.json()["records"]) < len(seen)
    assert (await api.get("/v1/records/contact", params={"limit": 0})).status_code == 400
    assert (
        await api.get("/v1/records/contact", params={"updated_after": "2026-01-01T00:00:00"})
    ).status_code == 400


async def test_changes_are_read_without_gaps(api: Any, harbor: Any) -> None:
    empty = (await api.get("/v1/changes")).json()
    assert empty == {"changes": [], "next": 0, "head": 0}
    await harbor.recipe()
    await harbor.work()
    after, positions = 0, []
    while True:
        page = (await api.get("/v1/changes", params={"after": after, "limit": 40})).json()
        positions += [change["position"] for change in page["changes"]]
        after = page["next"]
        if after == page["head"]:
            break
    assert positions == list(range(1, len(positions) + 1)) == await harbor.positions()
    other = (await api.get("/v1/changes", params={"model": "deal"})).json()
    assert other == {"changes": [], "next": positions[-1], "head": positions[-1]}


async def test_a_sync_can_be_asked_for_and_its_runs_seen(api: Any, harbor: Any) -> None:
    path = f"/v1/connections/{harbor.connection_id}"
    await harbor.recipe()
    first = await api.post(f"{path}/sync")
    assert first.status_code == 202
    again = await api.post(f"{path}/sync", json={"stream": "contacts"})
    assert [run["id"] for run in again.json()["runs"]] == [run["id"] for run in first.json()["runs"]]
    await harbor.work()
    assert (await api.post(f"{path}/sync", json={"mode": "full"})).json()["runs"][0]["mode"] == "full"
    page = (await api.get(f"{path}/runs", params={"limit": 1})).json()
    assert [run["state"] for run in page["runs"]] == ["queued"]
    rest = (await api.get(f"{path}/runs", params={"cursor": page["next"]})).json()
    assert [run["state"] for run in rest["runs"]] == ["succeeded"]
    assert rest["next"] is None
    assert (await api.post(f"{path}/sync", json={"stream": "nothing"})).status_code == 404


async def test_a_sync_asked_for_is_in_the_audit_log(api: Any, harbor: Any) -> None:
    """As one asked for in the portal is; nothing that was refused, and a repeated request once."""
    path = f"/v1/connections/{harbor.connection_id}/sync"
    assert (await api.post(path)).json()["runs"] == []  # no recipe reads anything
    await harbor.recipe()
    for _ in range(2):
        await api.post(path, json={"stream": "contacts"}, headers={"idempotency-key": "once"})
    await harbor.work()
    await api.post(path, json={"mode": "full"})
    await api.post(path, json={"stream": "nothing"})
    async with harbor.rig.db.tenant(harbor.tenant_id) as session:
        rows = await session.execute(
            text(
                "SELECT action, target_kind, target_id, detail FROM audit_entries "
                "WHERE tenant_id = :tenant AND action LIKE 'connection.%' ORDER BY sequence"
            ),
            {"tenant": harbor.tenant_id},
        )
        noted = [tuple(row) for row in rows if row.action.endswith("requested")]
    target = ("connection", str(harbor.connection_id))
    assert noted == [
        ("connection.sync_requested", *target, {"stream": "contacts"}),
        ("connection.reread_requested", *target, {}),
    ]


async def test_another_tenant_sees_nothing(api: Any, harbor: Any) -> None:
    await harbor.recipe()
    await harbor.work()
    one = (await api.get("/v1/records/contact")).json()["records"][0]
    api.headers["tenant"] = str(uuid4())
    assert (await api.get("/v1/records/contact")).json()["records"] == []
    assert (await api.get(f"/v1/records/contact/{one['id']}")).status_code == 404
    assert (await api.get("/v1/changes")).json() == {"changes": [], "next": 0, "head": 0}
    path = f"/v1/connections/{harbor.connection_id}"
    assert (await api.post(f"{path}/sync")).status_code == 404
    assert (await api.get(f"{path}/runs")).status_code == 404
