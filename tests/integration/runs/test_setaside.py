"""What was set aside is tried again: by itself while its cause may pass, or on request, one alone or all."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest
from litestar import Litestar, Request, Response
from litestar.di import Provide

from trunkline.idempotency.service import Idempotency
from trunkline.kernel.errors import NotFoundError, TrunklineError
from trunkline.kernel.principal import Principal
from trunkline.recipes.results import MappedRecord
from trunkline.runs.controls import RunControlController
from trunkline.runs.setaside import MAX_TRIES
from trunkline.work.queue import WorkQueue


class Stopped:
    """The process of expressions is stopped at some records, as under a machine that has too much to do."""

    def __init__(self, some: Any, monkeypatch: Any) -> None:
        self.ids: set[str] = set()
        evaluator = some.rig.mapper._evaluator
        evaluate = evaluator.evaluate

        async def stopped(program: Any, records: Any, *of: Any) -> Any:
            found = await evaluate(program, records, *of)
            return [
                MappedRecord(error="the expression took longer than 500 ms", passing=True)
                if record["id"] in self.ids
                else one
                for record, one in zip(records, found, strict=True)
            ]

        monkeypatch.setattr(evaluator, "evaluate", stopped)


@pytest.fixture
async def stopped(harbor: Any, monkeypatch: Any) -> Any:
    return Stopped(harbor, monkeypatch)


async def aside(some: Any) -> dict[str, Any]:
    rows = await some.rows(
        "SELECT external_id, tries, passing, asked_at FROM quarantine WHERE tenant_id = :tenant AND passing"
    )
    return {row.external_id: row for row in rows}


async def retry(some: Any, **more: Any) -> Any:
    async with some.rig.db.tenant(some.tenant_id) as session:
        return await some.rig.runs.retry_set_aside(session, some.tenant_id, some.connection_id, **more)


async def two(some: Any, stopped: Stopped) -> list[str]:
    """A connection of which two records were set aside; the others flow."""
    chosen = sorted(some.sandbox.truth(some.account))[10:12]
    stopped.ids |= set(chosen)
    await some.recipe()
    await some.work()
    run = (await some.all_runs())[0]
    assert run.state == "succeeded"
    assert set(await aside(some)) == set(chosen)
    assert len(await some.entities()) + run.quarantined == len(some.sandbox.truth(some.account))
    return chosen


async def test_a_cause_that_may_pass_is_waited_out_a_bounded_number_of_times(
    harbor: Any, stopped: Stopped
) -> None:
    chosen = await two(harbor, stopped)
    await harbor.sync()
    assert {row.tries for row in (await aside(harbor)).values()} == {1}, "not before its time"
    for expected in range(2, MAX_TRIES + 3):
        await harbor.rows(
            "UPDATE quarantine SET tried_at = now() - interval '1 day' WHERE tenant_id = :tenant RETURNING stream"
        )
        await harbor.sync()
        await harbor.work()
        assert {row.tries for row in (await aside(harbor)).values()} == {min(expected, MAX_TRIES)}
    runs = [run for run in await harbor.all_runs() if run.mode == "retry"]
    assert len(runs) == MAX_TRIES - 1
    assert {(run.state, run.trigger, run.quarantined) for run in runs} == {("succeeded", "schedule", 2)}

    stopped.ids.clear()
    assert [run.mode for run in await retry(harbor)] == ["retry"]
    await harbor.work()
    assert await aside(harbor) == {}
    assert set(chosen) <= set(await harbor.entities())
    await harbor.stands()


async def test_one_is_tried_alone_without_a_call(harbor: Any, stopped: Stopped) -> None:
    one, other = await two(harbor, stopped)
    stopped.ids.clear()
    calls = harbor.sandbox.calls()
    await harbor.rows("UPDATE connections SET state = 'paused' WHERE tenant_id = :tenant RETURNING id")
    (run,) = await retry(harbor, stream="contacts", external_id=one)
    assert (run.mode, run.trigger, run.expected) == ("retry", "manual", 1)
    await harbor.work()
    run = next(found for found in await harbor.all_runs() if found.id == run.id)
    assert (run.state, run.fetched, run.changes) == ("succeeded", 1, 1)
    assert one in await harbor.entities()
    assert list(await aside(harbor)) == [other]
    assert harbor.sandbox.calls() == calls
    assert await retry(harbor, external_id=one) == [], "it is not set aside any more"


async def test_those_of_a_cause_or_a_recipe_are_tried(harbor: Any, stopped: Stopped) -> None:
    await two(harbor, stopped)
    stopped.ids.clear()
    assert await retry(harbor, recipe_id=uuid4()) == []
    assert await retry(harbor, message="something else") == []
    assert len(await retry(harbor, message="the expression took longer than 500 ms")) == 1
    await harbor.work()
    assert await aside(harbor) == {}
    with pytest.raises(NotFoundError):
        async with harbor.rig.db.tenant(harbor.tenant_id) as session:
            await harbor.rig.runs.retry_set_aside(session, harbor.tenant_id, uuid4())
    await harbor.stands()


async def test_the_product_controls_runs_and_retries(harbor: Any, stopped: Stopped, monkeypatch: Any) -> None:
    monkeypatch.setattr("trunkline.runs.aside.TURN_SECONDS", 0.0)
    one, _ = await two(harbor, stopped)
    rig, path = harbor.rig, f"/v1/connections/{harbor.connection_id}"
    product = Principal(kind="api_key", id="key", label="Key", role="product", tenant_id=harbor.tenant_id)

    def problem(_: Request[Any, Any, Any], error: TrunklineError) -> Response[Any]:
        return Response({"code": error.code}, status_code=error.status)

    app = Litestar(
        [RunControlController],
        dependencies={
            "db": Provide(lambda: rig.db, sync_to_thread=False),
            "runs": Provide(lambda: rig.runs, sync_to_thread=False),
            "idempotency": Provide(lambda: Idempotency(rig.db, rig.vault, WorkQueue()), sync_to_thread=False),
            "principal": Provide(lambda: product, sync_to_thread=False),
            "tenant_id": Provide(lambda: harbor.tenant_id, sync_to_thread=False),
        },
        exception_handlers={TrunklineError: problem},
        openapi_config=None,
    )
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as api:
        first = (await api.get(f"{path}/set-aside", params={"limit": 1})).json()
        assert len(first["records"]) == 1
        found = [*first["records"]]
        while first["next"]:
            params = {"limit": 100, "cursor": first["next"]}
            first = (await api.get(f"{path}/set-aside", params=params)).json()
            found += first["records"]
        assert one in {record["external_id"] for record in found if record["passing"]}
        assert (await api.get(f"{path}/set-aside", params={"cursor": "x"})).status_code == 400
        stopped.ids.clear()
        asked = await api.post(f"{path}/set-aside/retry", json={"external_id": one, "stream": "contacts"})
        assert asked.status_code == 202
        assert [run["mode"] for run in asked.json()["runs"]] == ["retry"]
        await harbor.work()
        assert one in await harbor.entities()

        await harbor.ask("full")
        run = (await harbor.all_runs())[0]
        control = f"{path}/runs/{run.id}"
        assert (await api.post(f"{control}/pause")).json()["state"] == "paused"
        assert (await api.post(f"{control}/resume")).json()["state"] == "queued"
        assert (await api.post(f"{control}/cancel")).json()["state"] == "cancelled"
        assert (await api.post(f"{control}/cancel")).status_code == 409
        foreign = f"/v1/connections/{uuid4()}/runs/{run.id}/cancel"
        assert (await api.post(foreign)).status_code == 404
    entries = await harbor.rows(
        "SELECT action FROM audit_entries WHERE tenant_id = :tenant ORDER BY sequence"
    )
    assert [entry.action for entry in entries][-4:] == [
        "record.retried",
        "run.paused",
        "run.resumed",
        "run.cancelled",
    ]
