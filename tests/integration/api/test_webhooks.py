"""Webhook endpoints over the API, as the product's backend meets them."""

from typing import Any
from uuid import UUID

import httpx2
import pytest
from standardwebhooks import Webhook

from trunkline.kernel.db import OPERATOR


def body(**given: Any) -> dict[str, Any]:
    return {"url": "http://127.0.0.1:9/hooks", "types": ["record.*"]} | given


@pytest.fixture
async def whole(stand: Any) -> httpx2.AsyncClient:
    """With a key of the whole installation."""
    key, _ = await stand.directory.create_api_key("whole")
    return stand.client(key)


async def test_an_endpoint_from_its_beginning_to_its_end(stand: Any, api: httpx2.AsyncClient) -> None:
    made = await api.post("/v1/webhook-endpoints", json=body(description="CRM backend", payload="full"))
    assert made.status_code == 201, made.text
    one = made.json()
    Webhook(one["secret"])
    assert (one["scope"], one["payload"], one["enabled"], one["concurrency"]) == ("tenant", "full", True, 8)
    path = f"/v1/webhook-endpoints/{one['id']}"
    seen = (await api.get(path)).json()
    assert "secret" not in seen
    assert seen == {name: value for name, value in one.items() if name != "secret"}
    assert one["id"] in [each["id"] for each in (await api.get("/v1/webhook-endpoints")).json()["endpoints"]]
    changed = (await api.patch(path, json={"types": ["run.failed"], "rate": 5, "enabled": False})).json()
    assert (changed["types"], changed["rate"], changed["enabled"], changed["disabled_cause"]) == (
        ["run.failed"],
        5,
        False,
        "by_hand",
    )
    refused = await api.post(f"{path}/test", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await api.patch(path, json={"enabled": True, "rate": None})).json()["rate"] is None
    rotated = (await api.post(f"{path}/rotate-secret", json={"overlap_hours": 2})).json()
    assert rotated["secret"] != one["secret"]
    tested = await api.post(f"{path}/test", json={})
    assert tested.status_code == 202, tested.text
    listed = (await api.get("/v1/webhook-deliveries", params={"endpoint": one["id"]})).json()
    (delivery,) = listed["deliveries"]
    assert (delivery["type"], delivery["state"], delivery["event_id"]) == (
        "webhook.test",
        "pending",
        tested.json()["event_id"],
    )
    detail = (await api.get(f"/v1/webhook-deliveries/{delivery['id']}")).json()
    assert detail["message_id"] == tested.json()["message_id"]
    assert detail["payload"]["data"]["endpoint_id"] == one["id"]
    assert (await api.post(f"/v1/webhook-deliveries/{delivery['id']}/resend", json={})).status_code == 202
    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404


async def test_what_cannot_be_is_refused_by_its_field(api: httpx2.AsyncClient) -> None:
    for given, field in (
        ({"url": "https://10.0.0.1/x"}, "url"),
        ({"types": ["record.lost"]}, "types"),
        ({"types": []}, "types"),
        ({"concurrency": 0}, "concurrency"),
        ({"payload": "huge"}, "payload"),
    ):
        answer = await api.post("/v1/webhook-endpoints", json=body(**given))
        assert answer.status_code == 400, answer.text
        assert answer.json()["field"] == field


async def test_a_repeated_request_makes_one_endpoint_with_one_secret(api: httpx2.AsyncClient) -> None:
    sent = {"json": body(description="once"), "headers": {"idempotency-key": "endpoint-1"}}
    first, second = (
        await api.post("/v1/webhook-endpoints", **sent),
        await api.post("/v1/webhook-endpoints", **sent),
    )
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"


async def test_the_installations_own(stand: Any, api: httpx2.AsyncClient, whole: httpx2.AsyncClient) -> None:
    made = (await whole.post("/v1/webhook-endpoints", json=body())).json()
    assert made["scope"] == "installation"
    path = f"/v1/webhook-endpoints/{made['id']}"
    assert (await api.get(path)).status_code == 404, "a tenant's key does not see it"
    assert (await whole.get(path, params={"tenant": "globex"})).status_code == 404
    assert (await whole.get(path)).status_code == 200
    named = (await whole.post("/v1/webhook-endpoints", json=body(tenant="globex"))).json()
    assert named["scope"] == "tenant"
    async with stand.db.tenant(OPERATOR) as session:
        owned = await stand.services.deliveries.endpoints(session, OPERATOR)
    assert [one.id for one in owned] == [UUID(made["id"])]
    for each in (path, f"/v1/webhook-endpoints/{named['id']}?tenant=globex"):
        assert (await whole.delete(each)).status_code == 204


async def test_a_key_needs_the_scope(stand: Any) -> None:
    key, _ = await stand.directory.create_api_key(
        "reads", tenant_id=stand.tenant_id, scopes=["webhooks:read"]
    )
    reads = stand.client(key)
    assert (await reads.get("/v1/webhook-endpoints")).status_code == 200
    refused = await reads.post("/v1/webhook-endpoints", json=body())
    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")


async def test_the_description_has_every_event_as_a_webhook(api: httpx2.AsyncClient) -> None:
    document = (await api.get("/schema/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    item = document["webhooks"]["record.created"]["post"]
    reference = item["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = document["components"]["schemas"][reference]
    assert schema["properties"]["type"] == {"const": "record.created"}
    page = (await api.get("/schema")).text
    assert 'id="event-record.created"' in page
    assert f'href="#schema-{reference}"' in page
    assert {one["name"] for one in item["parameters"]} == {
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    }
