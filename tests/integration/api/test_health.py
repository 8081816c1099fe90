"""What the API says of how fresh a connection's streams are."""

from datetime import timedelta
from typing import Any

import httpx2
from sqlalchemy import text

from trunkline.kernel.clock import now


async def test_each_stream_stands_against_its_target(stand: Any, api: httpx2.AsyncClient) -> None:
    connection_id = await stand.connection()
    async with stand.db.tenant(stand.tenant_id) as session:
        await session.execute(
            text("UPDATE streams SET last_success_at = :at WHERE tenant_id = :t AND connection_id = :c"),
            {"at": now() - timedelta(minutes=20), "t": stand.tenant_id, "c": connection_id},
        )
    health = (await api.get(f"/v1/connections/{connection_id}")).json()["health"]
    assert health["level"] == "delayed"
    (stream,) = health["streams"]
    assert (stream["stream"], stream["why"], stream["target_seconds"]) == ("contacts", "queued", 900)
    assert 1200 <= stream["lag_seconds"] < 1260
    assert stream["doing"].endswith("free.")
    assert stream["arrival"] == {
        "way": "polling",
        "since": None,
        "last_event_at": None,
        "typical_seconds": None,
        "webhooks_lost": {},
    }
    listed = (await api.get("/v1/connections")).json()["connections"]
    assert "health" not in listed[0]


async def test_it_says_how_many_webhooks_were_lost(stand: Any, api: httpx2.AsyncClient) -> None:
    connection_id = await stand.connection()
    values = {"t": stand.tenant_id, "c": connection_id, "day": now().date()}
    async with stand.db.tenant(stand.tenant_id) as session:
        await session.execute(
            text("UPDATE streams SET told_since = now() WHERE tenant_id = :t AND connection_id = :c"), values
        )
        await session.execute(
            text(
                "INSERT INTO untold_days (tenant_id, connection_id, stream, day, count)"
                " VALUES (:t, :c, 'contacts', :day, 3), (:t, :c, 'contacts', :day - 9, 5)"
            ),
            values,
        )
    health = (await api.get(f"/v1/connections/{connection_id}")).json()["health"]
    (stream,) = health["streams"]
    assert stream["arrival"]["way"] == "webhooks"
    assert stream["arrival"]["webhooks_lost"] == {values["day"].isoformat(): 3}
