"""A POST under an Idempotency-Key is carried out once: repeated, raced, refused, forgotten after a day."""

import ast
import asyncio
import inspect
from datetime import timedelta
from textwrap import dedent
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text, update

from trunkline.idempotency import repository
from trunkline.idempotency import service as idempotency
from trunkline.idempotency.jobs import PURGE, purge_answers
from trunkline.idempotency.models import IdempotentAnswer
from trunkline.idempotency.service import Once
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.vault.errors import OpenError

from .test_keys import api_routes

SESSION: dict[str, Any] = {
    "end_user": {"id": "u1", "name": "Ada Byron"},
    "connectors": ["hubspot"],
    "origin": "https://app.example.com",
}
MODEL: dict[str, Any] = {
    "name": "invoice",
    "label": "Invoice",
    "version": 1,
    "fields": [{"name": "total", "label": "Total", "type": "number"}],
}


async def count(stand: Any, table: str, tenant_id: Any = None) -> int:
    async with stand.db.tenant(tenant_id or stand.tenant_id) as session:
        return int((await session.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


def key(value: str = "") -> dict[str, str]:
    return {"idempotency-key": value or str(uuid4())}


async def test_every_post_goes_through_it(stand: Any) -> None:
    posts = [(path, handler) for method, path, handler in api_routes(stand.app) if method == "POST"]
    assert len(posts) >= 4
    for path, handler in posts:
        field = handler.parsed_fn_signature.parameters.get("once")
        assert field is not None, f"POST {path} asks for no `once`: trunkline.idempotency"
        assert field.annotation is Once
        ends = [
            node
            for node in ast.parse(dedent(inspect.getsource(handler.fn))).body[0].body
            if isinstance(node, ast.Return)
        ]
        assert [ast.unparse(end.value).startswith("await once(") for end in ends] == [True], (
            f"POST {path} answers without it"
        )


async def test_a_repetition_gives_the_same_answer_and_does_nothing(stand: Any, api: Any) -> None:
    before = await count(stand, "connect_sessions")
    headers = key()
    first = await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
    assert first.status_code == 201, first.text
    assert "idempotent-replayed" not in first.headers
    for _ in range(3):
        again = await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
        assert (again.status_code, again.content, again.headers["content-type"]) == (
            first.status_code,
            first.content,
            first.headers["content-type"],
        )
        assert again.headers["idempotent-replayed"] == "true"
    assert await count(stand, "connect_sessions") == before + 1
    await api.post("/v1/connect-sessions", json=SESSION)
    assert await count(stand, "connect_sessions") == before + 2


async def test_it_holds_for_syncs_and_models_too(stand: Any, api: Any) -> None:
    address, headers = f"/v1/connections/{stand.connection_id}/sync", key()
    first, again = [await api.post(address, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 202)
    assert (first.content, again.headers.get("idempotent-replayed")) == (again.content, "true")
    plain, _ = await stand.directory.create_api_key("installation")
    headers = key()
    made, again = [
        await stand.client(plain).post("/v1/models", json=MODEL, headers=headers) for _ in range(2)
    ]
    assert (made.status_code, again.status_code, made.content) == (201, 201, again.content)
    assert (await stand.client(plain).post("/v1/models", json=MODEL)).status_code == 409
    assert await count(stand, "idempotent_answers", OPERATOR) == 1


async def test_another_request_under_the_key_is_refused(stand: Any, api: Any) -> None:
    headers = key()
    await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
    before = await count(stand, "connect_sessions")
    for address, body in (
        ("/v1/connect-sessions", SESSION | {"recipes": ["contacts"]}),
        ("/v1/connect-sessions?x=1", SESSION),
        (f"/v1/connections/{stand.connection_id}/sync", None),
    ):
        answer = await api.post(address, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused"), address
        assert answer.json()["field"] == "Idempotency-Key"
    assert await count(stand, "connect_sessions") == before


async def test_of_concurrent_duplicates_one_runs(stand: Any, api: Any) -> None:
    before, headers = await count(stand, "connect_sessions"), key()
    answers = await asyncio.gather(
        *(api.post("/v1/connect-sessions", json=SESSION, headers=headers) for _ in range(20))
    )
    assert await count(stand, "connect_sessions") == before + 1
    made = {answer.content for answer in answers if answer.status_code == 201}
    assert len(made) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert (answer.status_code, answer.json()["code"]) == (409, "idempotency_in_progress")
            assert answer.headers["retry-after"] == "1"


async def test_a_duplicate_is_told_to_wait_while_the_first_runs(
    stand: Any, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    keep = repository.keep

    async def slow(*given: Any) -> None:
        begun.set()
        await go_on.wait()
        await keep(*given)

    monkeypatch.setattr(repository, "keep", slow)
    headers = key()
    first = asyncio.create_task(api.post("/v1/connect-sessions", json=SESSION, headers=headers))
    await begun.wait()
    second = await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
    assert (second.status_code, second.json()["code"]) == (409, "idempotency_in_progress")
    go_on.set()
    assert (await first).status_code == 201


async def test_a_key_is_its_callers_own(stand: Any, api: Any) -> None:
    headers = key()
    first = await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
    other, _ = await stand.directory.create_api_key("other", tenant_id=stand.tenant_id)
    second = await stand.client(other).post("/v1/connect-sessions", json=SESSION, headers=headers)
    assert second.status_code == 201
    assert second.json()["token"] != first.json()["token"]
    whole, _ = await stand.directory.create_api_key("whole")
    tokens = {
        (
            await stand.client(whole).post(
                "/v1/connect-sessions", json=SESSION, headers=headers | {"trunkline-tenant": slug}
            )
        ).json()["token"]
        for slug in ("globex", "initech")
    }
    assert len(tokens) == 2


async def test_it_survives_a_rotation_of_the_api_key(stand: Any) -> None:
    plain, made = await stand.directory.create_api_key("rotated", tenant_id=stand.tenant_id)
    headers = key()
    first = await stand.client(plain).post("/v1/connect-sessions", json=SESSION, headers=headers)
    fresh, _ = await stand.directory.rotate_api_key(made.id, overlap=timedelta(0))
    again = await stand.client(fresh).post("/v1/connect-sessions", json=SESSION, headers=headers)
    assert again.content == first.content


async def test_the_answer_is_sealed_at_rest_and_opens_in_its_row_only(stand: Any, api: Any) -> None:
    one, two = key("order-for-ada@personal.example"), key()
    first = await api.post("/v1/connect-sessions", json=SESSION, headers=one)
    await api.post("/v1/connect-sessions", json=SESSION, headers=two)
    async with stand.db.tenant(stand.tenant_id) as session:
        rows = (await session.execute(text("SELECT t::text AS row, body FROM idempotent_answers t"))).all()
    token = first.json()["token"]
    kept = str([(row.row, bytes(row.body)) for row in rows])
    for secret in (token, token.encode().hex(), "ada@personal", "https://app.example.com"):
        assert secret not in kept
    hashed = {place["idempotency-key"]: _hash(place) for place in (one, two)}
    async with stand.db.tenant(stand.tenant_id) as session:
        await session.execute(
            text(
                "UPDATE idempotent_answers SET body = (SELECT body FROM idempotent_answers WHERE key_hash = :b)"
                " WHERE key_hash = :a"
            ),
            {"a": hashed[one["idempotency-key"]], "b": hashed[two["idempotency-key"]]},
        )
    answer = await api.post("/v1/connect-sessions", json=SESSION, headers=one)
    assert answer.status_code >= 500
    assert OpenError.__name__ not in answer.text


def _hash(headers: dict[str, str]) -> bytes:
    return idempotency.hashlib.sha256(headers["idempotency-key"].encode()).digest()


async def test_a_refused_request_keeps_nothing_and_can_be_corrected(stand: Any, api: Any) -> None:
    headers, before = key(), await count(stand, "idempotent_answers")
    for wrong in (SESSION | {"connectors": ["nobody"]}, SESSION | {"origin": "nowhere"}):
        assert (await api.post("/v1/connect-sessions", json=wrong, headers=headers)).status_code == 400
    missing = await api.post(f"/v1/connections/{uuid4()}/sync", headers=headers)
    assert missing.status_code == 404
    assert await count(stand, "idempotent_answers") == before
    assert (await api.post("/v1/connect-sessions", json=SESSION, headers=headers)).status_code == 201


async def test_deed_and_answer_are_one_transaction(
    stand: Any, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("gone")

    before, headers = await count(stand, "connect_sessions"), key()
    with monkeypatch.context() as patched:
        patched.setattr(repository, "keep", broken)
        assert (await api.post("/v1/connect-sessions", json=SESSION, headers=headers)).status_code == 500
    assert await count(stand, "connect_sessions") == before
    assert (await api.post("/v1/connect-sessions", json=SESSION, headers=headers)).status_code == 201


async def test_after_a_day_it_is_forgotten_by_work(stand: Any, api: Any) -> None:
    headers = key()
    first = await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
    async with stand.db.tenant(stand.tenant_id) as session:
        due = (
            await session.execute(text("SELECT due_at FROM work WHERE kind = :kind"), {"kind": PURGE})
        ).scalar_one()
        assert timedelta(hours=23) < due - now() <= timedelta(hours=24)
        await session.execute(
            update(IdempotentAnswer)
            .where(IdempotentAnswer.key_hash == _hash(headers))
            .values(expires_at=now() - timedelta(seconds=1))
        )
    before = await count(stand, "idempotent_answers")
    again = await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
    assert again.json()["token"] != first.json()["token"]
    assert await count(stand, "idempotent_answers") == before  # took the place of the old one
    async with stand.db.tenant(stand.tenant_id) as session:
        await session.execute(
            update(IdempotentAnswer)
            .where(IdempotentAnswer.key_hash == _hash(headers))
            .values(expires_at=now() - timedelta(seconds=1))
        )
    finished: list[Any] = []

    async def finish(_: Any, outcome: Any) -> None:
        finished.append(outcome)

    lease = SimpleNamespace(tenant_id=stand.tenant_id, now=now, finish=finish)
    outcome = await purge_answers(stand.db)(lease)  # type: ignore[arg-type]
    assert await count(stand, "idempotent_answers") == before - 1
    assert finished == [outcome]
    assert outcome.again_at is not None
    assert outcome.again_at - now() > timedelta(minutes=59)
    assert PURGE in stand.services.handlers()


@pytest.mark.parametrize("value", ["", "x" * 256, "two words", "ä", "\x7f", "tab\there"])
async def test_a_key_that_is_none_is_refused(stand: Any, api: Any, value: str) -> None:
    before = await count(stand, "connect_sessions")
    headers = [("idempotency-key", value.encode("latin-1"))]
    answer = await api.post("/v1/connect-sessions", json=SESSION, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")
    assert await count(stand, "connect_sessions") == before
