"""Actions over HTTP: what is offered, what is wrong with an input, who may, and the ways to answer."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest
from journey_kit.journey import ORIGIN
from sqlalchemy import text

from trunkline.actions.controllers import ActionCallController, ActionController
from trunkline.kernel.db import Database
from trunkline_tenants.dependencies import DEPENDENCIES
from trunkline_tenants.directory import Directory
from trunkline_tenants.guards import AccessGuard
from trunkline_tenants.logins import Logins
from trunkline_tenants.middleware import Authentication
from trunkline_tenants.throttle import Throttle
from trunkline_ui.rendering import error_page


@pytest.fixture(scope="session")
def stage(make_stage: Any) -> Any:
    return make_stage()


class Api:
    """The product's backend, and the connection that it writes through."""

    def __init__(self, acting: Any, client: httpx2.AsyncClient, reader: httpx2.AsyncClient) -> None:
        self.acting, self.client, self.reader = acting, client, reader
        self.path = f"/v1/connections/{acting.connection}/actions"

    async def run(self, name: str, key: str = "", prefer: str = "", **body: Any) -> httpx2.Response:
        headers = {"idempotency-key": key or str(uuid4())} | ({"prefer": prefer} if prefer else {})
        return await self.client.post(f"{self.path}/{name}", json=body, headers=headers)

    async def post(self, path: str, body: Any = None) -> httpx2.Response:
        return await self.client.post(path, json=body, headers={"idempotency-key": str(uuid4())})

    async def call(self, call_id: str) -> dict[str, Any]:
        return dict((await self.client.get(f"/v1/action-calls/{call_id}")).json())


@pytest.fixture
async def api(scene: Any, stage: Any, database_url: str) -> Any:
    db = Database(database_url, application="seed")
    tenant = await Directory(db).create_tenant("globex", "Globex")
    await db.dispose()
    acting = (await scene("hubspot", tenant=tenant.id))["hubspot"]
    services = acting.services
    directory, logins = Directory(services.db), Logins(services.db, Throttle(None))
    given = {**msgspec.structs.asdict(services), "actions": acting.service}
    app = stage.create_app(
        services.settings,
        {**given, "directory": directory, "logins": logins},
        api=[ActionController, ActionCallController],
        pages=[],
        error_page=error_page,
        guards=[AccessGuard(services.settings, directory)],
        middleware=[Authentication(services.settings, directory, logins)],
        dependencies=DEPENDENCIES,
    )
    keys = [
        (await directory.create_api_key("all", tenant_id=tenant.id))[0],
        (await directory.create_api_key("reads", tenant_id=tenant.id, scopes=["connections:read"]))[0],
    ]
    clients = [
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app),
            base_url=ORIGIN,
            headers={"authorization": f"Bearer {key}"},
        )
        for key in keys
    ]
    yield Api(acting, *clients)
    for client in clients:
        await client.aclose()


async def test_what_is_offered_says_what_it_takes(api: Api) -> None:
    answer = await api.reader.get(api.path)
    assert answer.status_code == 200
    offered = {one["name"]: one for one in answer.json()["actions"]}
    assert set(offered) == {action.name for action in api.acting.manifest.actions}
    contact = offered["upsert_contact"]
    assert (contact["most"], contact["missing_scopes"]) == (100, [])
    inputs = {one["name"]: one for one in contact["input"]}
    assert inputs["email"] == {
        "name": "email", "label": "Email", "type": "string", "required": True, "help": "", "max_length": 254,
        "options": [],
    }  # fmt: skip
    assert (inputs["fields"]["type"], inputs["fields"]["max_length"]) == ("map", 100)
    assert offered["add_note"]["most"] == 1


async def test_what_is_written_is_answered_at_once_and_once(api: Api) -> None:
    before, key = len(api.acting.ledger), str(uuid4())
    given = {"email": "new@acts.example", "first_name": "Nora"}
    answer = await api.run("upsert_contact", key, input=given)
    assert answer.status_code == 200, answer.text
    call = answer.json()
    assert (call["state"], call["count"], call["asked_by"]) == ("done", 1, "all")
    assert call["result_id"] == call["results"][0]["id"]
    again = await api.run("upsert_contact", key, input=given)
    assert (again.json(), again.headers["idempotent-replayed"]) == (call, "true")
    other = await api.run("upsert_contact", key, input={"email": "other@acts.example"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert len(api.acting.ledger) - before == 1
    assert "new@acts.example" not in answer.text
    listed = (await api.reader.get("/v1/action-calls", params={"standing": "done"})).json()
    assert listed == {"calls": [call], "next": None}


async def test_it_is_answered_later_where_that_is_preferred(api: Api) -> None:
    before, key = len(api.acting.ledger), str(uuid4())
    given = {"email": "new@acts.example"}
    answer = await api.run("upsert_contact", key, prefer="respond-async", input=given)
    call = answer.json()
    assert (answer.status_code, call["state"], len(api.acting.ledger)) == (202, "queued", before)
    assert answer.headers["preference-applied"] == "respond-async"
    due = await api.acting.rows("SELECT key FROM work WHERE tenant_id = :tenant AND kind = 'act'")
    assert [one.key for one in due] == [call["id"]]
    waiting = await api.run("upsert_contact", key, prefer="respond-async", input=given)
    assert (waiting.status_code, waiting.json()["id"]) == (202, call["id"])
    await api.acting.attempt(UUID(call["id"]))
    assert (await api.call(call["id"]))["state"] == "done"
    ended = await api.run("upsert_contact", key, prefer="respond-async", input=given)
    assert (ended.status_code, ended.json()["state"]) == (200, "done")
    assert len(api.acting.ledger) - before == 1


WRONG: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "missing": ("upsert_contact", {"input": {"first_name": "Nora"}}, ["input.email"]),
    "unknown": ("upsert_contact", {"input": {"email": "a@b.example", "nick": "x"}}, ["input.nick"]),
    "of another kind": ("upsert_contact", {"input": {"email": 7, "phone": True}}, ["input.email", "input.phone"]),
    "too long": ("upsert_contact", {"input": {"email": "a" * 255}}, ["input.email"]),
    "inside": ("upsert_contact", {"input": {"email": "a@b.example", "fields": {"x": {}}}}, ["input.fields.x"]),
    "unsendable": ("upsert_contact", {"input": {"email": "a\u0000b"}}, []),
    "one of several": (
        "upsert_contact",
        {"inputs": [{"email": "a@b.example"}, {"email": ""}, {"first_name": "Nora"}]},
        ["inputs.1.email", "inputs.2.email"],
    ),
    "several where one": ("add_note", {"inputs": [{"contact_id": "1", "body": "x"}] * 2}, ["inputs"]),
    "too many": ("upsert_contact", {"inputs": [{"email": "a@b.example"}] * 101}, ["inputs"]),
    "none": ("upsert_contact", {}, ["input"]),
    "both": (
        "upsert_contact",
        {"input": {"email": "a@b.example"}, "inputs": [{"email": "a@b.example"}]},
        ["input"],
    ),
}  # fmt: skip


async def test_a_wrong_input_is_named(api: Api) -> None:
    before = len(api.acting.ledger)
    for case, (name, body, fields) in WRONG.items():
        answer = await api.run(name, **body)
        problem = answer.json()
        assert answer.status_code == 400, (case, problem)
        named = [one["field"] for one in problem.get("errors", [])] or [problem.get("field")]
        assert not fields or named == fields, (case, problem)
        assert "a@b.example" not in answer.text, case
    assert len(api.acting.ledger) == before
    assert (await api.client.get("/v1/action-calls")).json()["calls"] == []
    unnamed = await api.client.post(f"{api.path}/upsert_contact", json={"input": {"email": "a@b.example"}})
    assert (unnamed.status_code, unnamed.json()["field"]) == (400, "Idempotency-Key")
    missing = await api.run("upsert_deal", input={})
    assert (missing.status_code, missing.json()["field"]) == (404, "action")
    assert "It has: upsert_contact, upsert_company" in missing.json()["detail"]
    api.path = f"/v1/connections/{uuid4()}/actions"
    assert (await api.run("upsert_contact", input={"email": "a@b.example"})).status_code == 404


async def test_what_the_provider_refuses_is_named_and_can_be_tried_again(api: Api) -> None:
    before = len(api.acting.ledger)
    refused = await api.run(
        "upsert_company", input={"domain": "acts.example", "fields": {"industry": "FISHING"}}
    )
    problem = refused.json()
    assert (refused.status_code, problem["code"]) == (422, "write_refused")
    assert problem["field"] == "input.fields.industry"
    assert [one["field"] for one in problem["errors"]] == ["input.fields.industry"]
    call = await api.call(problem["call"])
    assert (call["state"], call["can_retry"]) == ("failed", True)
    several = await api.run(
        "upsert_contact",
        inputs=[{"email": f"{n}@acts.example", "fields": {"no_such": "x"}} for n in range(2)],
    )
    assert several.status_code == 422
    assert [one["field"] for one in several.json()["errors"]] == [
        "inputs.0.fields.no_such", "inputs.1.fields.no_such",
    ]  # fmt: skip
    partly = await api.run(
        "upsert_contact",
        inputs=[{"email": "1@acts.example"}, {"email": "2@acts.example", "fields": {"no_such": "x"}}],
    )
    assert (partly.status_code, partly.json()["state"]) == (200, "partial")
    assert [one["field"] for one in partly.json()["results"]] == [None, "fields.no_such"]
    assert len(api.acting.ledger) - before == 1

    again = await api.post(f"/v1/action-calls/{problem['call']}/retry")
    assert (again.status_code, again.json()["state"]) == (202, "queued")
    assert (await api.acting.ended(UUID(problem["call"]))).state == "failed"
    undecided = await api.post(f"/v1/action-calls/{problem['call']}/decide", {"outcome": "written"})
    assert undecided.status_code == 409
    done = await api.post(f"/v1/action-calls/{partly.json()['id']}/retry")
    assert done.status_code == 409
    for path in ("retry", "decide"):
        body = {"outcome": "written"} if path == "decide" else None
        assert (await api.post(f"/v1/action-calls/{uuid4()}/{path}", body)).status_code == 404


async def test_a_limit_leaves_it_queued_and_it_goes_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slept(seconds: float) -> None:
        return None

    monkeypatch.setattr(api.acting.services.provider.calls, "_sleep", slept)
    before, key = len(api.acting.ledger), str(uuid4())
    api.acting.simulator.faults.add("429", requests=500)
    monkeypatch.setattr("trunkline.actions.service.WAIT_SECONDS", 0.5)
    answer = await api.run("upsert_contact", key, input={"email": "new@acts.example"})
    assert answer.status_code == 202, answer.text
    await asyncio.gather(*api.acting.service._under_way)
    call = await api.call(answer.json()["id"])
    assert (call["state"], call["cause"]) == ("queued", "rate_limited")
    assert call["due_at"]
    assert call["message"]
    api.acting.simulator.faults.clear()
    await api.acting.later(UUID(call["id"]), 60)
    assert (await api.acting.ended(UUID(call["id"]))).state == "done"
    again = await api.run("upsert_contact", key, input={"email": "new@acts.example"})
    assert (again.status_code, again.json()["state"], len(api.acting.ledger) - before) == (200, "done", 1)


async def test_access_that_is_gone_is_said_in_the_answer(api: Api) -> None:
    api.acting.revoke()
    key, given = str(uuid4()), {"email": "new@acts.example"}
    answer = await api.run("upsert_contact", key, input=given)
    assert (answer.status_code, answer.json()["code"]) == (409, "grant_revoked")
    assert "Reconnect" in answer.json()["detail"]
    assert (await api.run("upsert_contact", key, input=given)).json()["call"] == answer.json()["call"]
    fresh = await api.run("upsert_contact", input=given)
    assert (fresh.status_code, fresh.json()["code"]) == (409, "connection_reconnect_required")
    retried = await api.post(f"/v1/action-calls/{answer.json()['call']}/retry")
    assert retried.status_code == 409


async def test_whoever_may_only_read_writes_nothing(api: Api) -> None:
    before = len(api.acting.ledger)
    call = (await api.run("upsert_contact", prefer="respond-async", input={"email": "a@b.example"})).json()
    headers = {"idempotency-key": str(uuid4())}
    for path, body in (
        (f"{api.path}/upsert_contact", {"input": {"email": "a@b.example"}}),
        (f"/v1/action-calls/{call['id']}/retry", None),
        (f"/v1/action-calls/{call['id']}/decide", {"outcome": "written"}),
    ):
        answer = await api.reader.post(path, json=body, headers=headers)
        assert answer.status_code == 403, path
        assert "actions:write" in answer.text
    assert (await api.reader.get(f"/v1/action-calls/{call['id']}")).status_code == 200
    assert len(api.acting.ledger) == before


async def test_pages_of_calls_hold_each_once(api: Api) -> None:
    ids = [
        (await api.run("upsert_contact", prefer="respond-async", input={"email": f"{n}@b.example"})).json()[
            "id"
        ]
        for n in range(5)
    ]
    seen, cursor = [], None
    for _ in range(5):
        query = {"limit": "2", "connection": str(api.acting.connection)} | (
            {"cursor": cursor} if cursor else {}
        )
        page = (await api.client.get("/v1/action-calls", params=query)).json()
        seen += [one["id"] for one in page["calls"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == ids[::-1]
    wrong = await api.client.get("/v1/action-calls", params={"cursor": str(uuid4())})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "cursor")


async def test_two_that_send_the_same_request_at_once_write_once(api: Api) -> None:
    before, key = len(api.acting.ledger), str(uuid4())
    given = {"domain": "acts.example", "name": "Acts"}
    answers = await asyncio.gather(*(api.run("upsert_company", key, input=given) for _ in range(4)))
    codes = {answer.status_code for answer in answers}
    assert codes <= {200, 202, 409}
    assert 200 in codes
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {
        "idempotency_in_progress"
    }
    assert len(api.acting.ledger) - before == 1


async def test_what_is_unknown_is_decided_by_whoever_looked_there(api: Api) -> None:
    before, key, given = len(api.acting.ledger), str(uuid4()), {"email": "new@acts.example"}
    call = (await api.run("upsert_contact", key, prefer="respond-async", input=given)).json()
    async with api.acting.services.db.tenant(api.acting.tenant) as session:
        await session.execute(
            text("UPDATE action_calls SET state = 'unknown', cause = 'unknown_outcome', finished_at = now()")
        )
    waiting = await api.run("upsert_contact", key, input=given)
    assert (waiting.status_code, waiting.json()["state"]) == (202, "unknown")
    assert len(api.acting.ledger) == before

    path = f"/v1/action-calls/{call['id']}"
    wrong = await api.post(f"{path}/decide", {"outcome": "perhaps"})
    assert wrong.status_code == 400
    assert "outcome" in wrong.text
    decided = await api.post(f"{path}/decide", {"outcome": "not_written"})
    assert (decided.status_code, decided.json()["state"], decided.json()["decided_by"]) == (
        200,
        "failed",
        "all",
    )
    told = await api.run("upsert_contact", key, input=given)
    assert (told.status_code, told.json()["code"], told.json()["call"]) == (409, "not_written", call["id"])
    assert "all looked there" in told.json()["detail"]

    assert (await api.post(f"{path}/retry")).status_code == 202
    assert (await api.acting.ended(UUID(call["id"]))).state == "done"
    done = await api.run("upsert_contact", key, input=given)
    assert (done.status_code, done.json()["decided_by"], len(api.acting.ledger) - before) == (200, None, 1)
