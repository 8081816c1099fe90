"""Named feeds: the change log with a cursor that is kept for the consumer."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import text


@pytest.fixture
async def tenant(stand: Any) -> tuple[httpx2.AsyncClient, UUID]:
    slug = f"t{uuid4().hex[:8]}"
    tenant_id = (await stand.directory.create_tenant(slug, slug)).id
    key, _ = await stand.directory.create_api_key(slug, tenant_id=tenant_id)
    return stand.client(key), tenant_id


async def changes(stand: Any, tenant_id: UUID, first: int, last: int) -> None:
    async with stand.db.tenant(tenant_id) as session:
        await session.execute(
            text(
                "INSERT INTO changes (tenant_id, position, operation, entity_id, model, connection_id, stream,"
                " external_id, recipe_id, recipe_version, run_id, revision, data, changed_at)"
                " SELECT :t, n, 'created', gen_random_uuid(), 'contact', :t, 'contacts', n::text, :t, 1, :t, 1,"
                " '{}', now() - interval '1 hour' FROM generate_series(CAST(:a AS int), CAST(:b AS int)) n"
            ),
            {"t": tenant_id, "a": first, "b": last},
        )
        await session.execute(
            text(
                "INSERT INTO change_heads (tenant_id, position) VALUES (:t, :b)"
                " ON CONFLICT (tenant_id) DO UPDATE SET position = :b"
            ),
            {"t": tenant_id, "b": last},
        )


async def test_a_feed_goes_on_from_what_was_acknowledged(stand: Any, tenant: Any) -> None:
    api, tenant_id = tenant
    await changes(stand, tenant_id, 1, 5)
    made = await api.post("/v1/feeds", json={"name": "billing", "after": 0})
    assert made.status_code == 201, made.text
    assert {name: made.json()[name] for name in ("position", "head", "unread")} == {
        "position": 0,
        "head": 5,
        "unread": 5,
    }
    assert made.json()["lag_seconds"] >= 3600
    read = (await api.get("/v1/feeds/billing/changes", params={"limit": 3})).json()
    assert [one["position"] for one in read["changes"]] == [1, 2, 3]
    assert (read["next"], read["head"]) == (3, 5)
    again = (await api.get("/v1/feeds/billing/changes", params={"limit": 3})).json()
    assert again == read, "nothing moves without an acknowledgement"
    acked = await api.post("/v1/feeds/billing/ack", json={"position": 3})
    assert acked.json()["unread"] == 2
    assert acked.json()["acknowledged_at"]
    back = await api.post("/v1/feeds/billing/ack", json={"position": 1})
    assert (back.status_code, back.json()["position"]) == (200, 3), (
        "forward only; late repetitions are harmless"
    )
    rest = (await api.get("/v1/feeds/billing/changes")).json()
    assert [one["position"] for one in rest["changes"]] == [4, 5]
    await api.post("/v1/feeds/billing/ack", json={"position": rest["next"]})
    done = (await api.get("/v1/feeds/billing")).json()
    assert (done["unread"], done["lag_seconds"]) == (0, 0)
    assert (await api.get("/v1/feeds/billing/changes")).json() == {"changes": [], "next": 5, "head": 5}


async def test_a_feed_begins_at_the_head_by_default_and_can_be_removed(stand: Any, tenant: Any) -> None:
    api, tenant_id = tenant
    await changes(stand, tenant_id, 1, 4)
    assert (await api.post("/v1/feeds", json={"name": "later"})).json()["position"] == 4
    assert [one["name"] for one in (await api.get("/v1/feeds")).json()["feeds"]] == ["later"]
    assert (await api.delete("/v1/feeds/later")).status_code == 204
    assert (await api.get("/v1/feeds/later")).status_code == 404
    assert (await api.get("/v1/feeds")).json() == {"feeds": []}


async def test_what_cannot_be_is_refused_in_words(stand: Any, tenant: Any) -> None:
    api, tenant_id = tenant
    await changes(stand, tenant_id, 1, 2)
    await api.post("/v1/feeds", json={"name": "one"})
    for path, body, status in (
        ("/v1/feeds", {"name": "one"}, 409),
        ("/v1/feeds", {"name": "ahead", "after": 3}, 409),
        ("/v1/feeds/one/ack", {"position": 3}, 409),
        ("/v1/feeds/none/ack", {"position": 1}, 404),
        ("/v1/feeds", {"name": "Not a name"}, 400),
    ):
        answer = await api.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert len(answer.json()["detail"]) > 20


async def test_a_feed_is_its_tenants_alone(stand: Any, tenant: Any, api: httpx2.AsyncClient) -> None:
    mine, _ = tenant
    await mine.post("/v1/feeds", json={"name": "private"})
    assert (await api.get("/v1/feeds/private")).status_code == 404
    assert (await api.delete("/v1/feeds/private")).status_code == 404
    assert (await mine.get("/v1/feeds/private")).status_code == 200


async def test_a_repeated_request_makes_one_feed(stand: Any, tenant: Any) -> None:
    api, _ = tenant
    sent = {"json": {"name": "once"}, "headers": {"idempotency-key": "k1"}}
    first, second = await api.post("/v1/feeds", **sent), await api.post("/v1/feeds", **sent)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotent-replayed"] == "true"
