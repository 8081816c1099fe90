"""Changed fields over the API: listed with what they mean, accepted once, logged."""

from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import select, update

from trunkline.audit import service as audit
from trunkline.kernel.clock import now
from trunkline.runs.drift import Drift, KnownField
from trunkline.runs.models import Stream

EMAIL = KnownField("string", "Email")


async def test_changed_fields_are_listed_and_accepted_once(stand: Any, api: Any) -> None:
    connection_id = await stand.connection()
    gone = Drift(
        field="email", label="Email", change="gone", was="Text", now="Not there any more", verdict="pause", since=now()
    )  # fmt: skip
    values = {
        "known_fields": msgspec.to_builtins({"email": EMAIL}),
        "drift": msgspec.to_builtins([gone]),
        "paused_at": now(),
        "cause": "schema_drift",
    }
    async with stand.db.tenant(stand.tenant_id) as session:
        await session.execute(update(Stream).where(Stream.connection_id == connection_id).values(values))
    path = f"/v1/connections/{connection_id}/drift"
    (one,) = (await api.get(path)).json()["drift"]
    assert (one["stream"], one["field"], one["change"], one["verdict"]) == (
        "contacts",
        "email",
        "gone",
        "pause",
    )
    headers = {"idempotency-key": str(uuid4())}
    for replayed in (False, True):
        answer = await api.post(f"{path}/contacts/accept", headers=headers)
        assert answer.status_code == 200, answer.text
        assert [one["field"] for one in answer.json()["drift"]] == ["email"]
        assert ("idempotent-replayed" in answer.headers) is replayed
    assert (await api.get(path)).json() == {"drift": []}
    assert (await api.post(f"{path}/contacts/accept")).json() == {"drift": []}
    async with stand.db.tenant(stand.tenant_id) as session:
        kept = (
            await session.execute(
                select(Stream.known_fields, Stream.paused_at).where(Stream.connection_id == connection_id)
            )
        ).one()
        log = await audit.history(session, stand.tenant_id)
    assert kept.known_fields["email"]["gone"] is True
    assert kept.paused_at is None
    assert [entry.detail for entry in log if entry.action == "drift.accepted"] == [
        {"stream": "contacts", "fields": ["email"]}
    ]


async def test_a_stream_or_connection_that_is_none_is_not_found(stand: Any, api: Any) -> None:
    assert (await api.get(f"/v1/connections/{uuid4()}/drift")).status_code == 404
    path = f"/v1/connections/{stand.connection_id}/drift"
    assert (await api.post(f"{path}/unheard_of/accept")).status_code == 404
    assert (await api.post(f"{path}/No%20Name/accept")).status_code == 400
