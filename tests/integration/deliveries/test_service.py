"""Registering, rotating, resending, recovering: what is done, what is refused, and that all of it is audited."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from trunkline.deliveries.schemas import EndpointChange, EndpointIn
from trunkline.deliveries.service import MOST
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.egress import Egress
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.settings import Settings


def ago(**given: float) -> datetime:
    return datetime.now(UTC) - timedelta(**given)


async def recover(harbor: Any, tenant: Any, endpoint: Any, since: datetime, *, missing: bool = False) -> Any:
    async with harbor.db.tenant(tenant) as session:
        return await harbor.deliveries.recover(session, tenant, endpoint, harbor.who, since, missing=missing)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/x",
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://10.0.0.7/x",
        "https://[::1]/x",
        "https://user:secret@hooks.example.com/x",
        "ftp://hooks.example.com/x",
        "https://2130706433/x",
        "http://0.0.0.0:80/",
        "nonsense",
    ],
)
async def test_addresses_that_are_never_called_are_refused(harbor: Any, url: str) -> None:
    tenant = await harbor.tenant()
    with pytest.raises(BadInputError) as caught:
        await harbor.endpoint(tenant, url=url)
    assert caught.value.field == "url"
    assert "secret" not in caught.value.message


async def test_a_name_that_leads_inside_is_refused_and_this_machine_in_production(harbor: Any) -> None:
    async def inside(_: str) -> list[str]:
        return ["10.1.2.3"]

    tenant = await harbor.tenant()
    for egress, url in (
        (Egress(Settings(), lookup=inside, loopback=True), "https://hooks.example.com/x"),
        (Egress(Settings(env="production"), loopback=True), "http://127.0.0.1:8080/x"),
        (Egress(Settings()), "http://127.0.0.1:8080/x"),
    ):
        service = type(harbor.deliveries)(harbor.db, harbor.services.vault, egress, harbor.services.work)
        with pytest.raises(BadInputError) as caught:
            async with harbor.db.tenant(tenant) as session:
                await service.create(session, tenant, harbor.who, EndpointIn(url=url, types=["*"]))
        assert caught.value.field == "url"
        await egress.close()


async def test_types_and_limits_are_checked(harbor: Any) -> None:
    tenant = await harbor.tenant()
    with pytest.raises(BadInputError, match=r"record\.lost"):
        await harbor.endpoint(tenant, types=["record.*", "record.lost"])
    with pytest.raises(BadInputError, match="at least 4"):
        await harbor.endpoint(OPERATOR, concurrency=2)
    for _ in range(MOST):
        await harbor.endpoint(tenant)
    with pytest.raises(ConflictError):
        await harbor.endpoint(tenant)


async def test_a_rotation_signs_with_both_until_the_overlap_ends(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, old = await harbor.endpoint(tenant, "/rotated")

    async def rotate(hours: int) -> Webhook:
        async with harbor.db.tenant(tenant) as session:
            secret, until = await harbor.deliveries.rotate(session, tenant, view.id, harbor.who, hours)
        assert abs((until - datetime.now(UTC)).total_seconds() - hours * 3600) < 60
        return Webhook(secret)

    async def sent() -> Any:
        await harbor.tell(tenant)
        await harbor.settle("deliver")
        return harbor.receiver.of("/rotated")[-1]

    new = await rotate(24)
    got = await sent()
    old.verify(got.body, got.headers)
    new.verify(got.body, got.headers)
    newest = await rotate(24)  # the oldest is over: two are enough
    got = await sent()
    assert got.headers["webhook-signature"].count("v1,") == 2
    newest.verify(got.body, got.headers)
    new.verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        old.verify(got.body, got.headers)
    last = await rotate(0)
    got = await sent()
    assert got.headers["webhook-signature"].count("v1,") == 1
    last.verify(got.body, got.headers)
    sealed = await harbor.owner.fetch("SELECT secret FROM endpoint_secrets WHERE endpoint_id = $1", view.id)
    assert all(b"whsec_" not in row["secret"] for row in sealed)


async def test_a_delivery_can_be_sent_again_under_its_id(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/again")
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    (delivery,) = await harbor.listed(tenant)
    async with harbor.db.tenant(tenant) as session:
        again = await harbor.deliveries.resend(session, tenant, delivery.id, harbor.who)
    assert again.state == "pending"
    await harbor.settle("deliver")
    first, second = harbor.receiver.of("/again")
    assert (first.id, first.body) == (second.id, second.body)
    detail = await harbor.detail(tenant, delivery.id)
    assert [(one.number, one.trigger) for one in detail.attempts] == [(1, "initial"), (2, "manual")]
    assert detail.delivery.state == "succeeded"


async def test_what_failed_since_a_time_is_recovered_and_nothing_else(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/recovered", types=["connection.*"])
    for _ in range(3):
        await harbor.tell(tenant)
    await harbor.settle("deliver")
    taken, failed, old = await harbor.listed(tenant)
    await harbor.owner.execute(
        "UPDATE deliveries SET state = 'failed', cause = 'exhausted' WHERE id = ANY($1)", [failed.id, old.id]
    )
    await harbor.owner.execute(
        "UPDATE deliveries SET created_at = now() - interval '2 days' WHERE id = $1", old.id
    )
    assert await recover(harbor, tenant, view.id, ago(hours=1)) == 1
    assert await recover(harbor, tenant, view.id, ago(hours=1)) == 0, "what is on its way is not failed"
    await harbor.settle("deliver")
    standing = {one.id: one.state for one in await harbor.listed(tenant)}
    assert standing == {taken.id: "succeeded", failed.id: "succeeded", old.id: "failed"}
    for since, match in (
        (ago(days=31), "30 days"),
        (ago(hours=-1), "30 days"),
        (datetime(2026, 1, 1), "offset"),
    ):
        with pytest.raises(BadInputError, match=match):
            await recover(harbor, tenant, view.id, since)


async def test_what_was_missed_while_disabled_can_be_replayed_once(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, judge = await harbor.endpoint(tenant, "/missed", types=["connection.*"])
    await harbor.endpoint(tenant, "/else", types=["*"])

    async def enabled(value: bool) -> None:
        async with harbor.db.tenant(tenant) as session:
            change = EndpointChange(enabled=value)
            await harbor.deliveries.change(session, tenant, view.id, harbor.who, change)

    await enabled(False)
    events = [await harbor.tell(tenant) for _ in range(2)]
    with pytest.raises(ConflictError, match="disabled"):
        await recover(harbor, tenant, view.id, ago(hours=1), missing=True)
    await enabled(True)
    assert await recover(harbor, tenant, view.id, ago(hours=1)) == 0
    assert await recover(harbor, tenant, view.id, ago(hours=1), missing=True) == 2
    assert await recover(harbor, tenant, view.id, ago(hours=1), missing=True) == 0
    await harbor.settle("deliver")
    got = harbor.receiver.of("/missed")
    assert sorted(one.id for one in got) == sorted(f"msg_{event.hex}" for event in events)
    judge.verify(got[0].body, got[0].headers)


async def test_an_endpoint_of_the_installation_is_recovered_for_every_tenant(harbor: Any) -> None:
    one, two = await harbor.tenant(), await harbor.tenant()
    view, _ = await harbor.endpoint(OPERATOR, "/everywhere", types=["connection.*"])
    try:
        for tenant in (one, two):
            await harbor.tell(tenant)
        await harbor.settle("deliver")
        await harbor.owner.execute(
            "UPDATE deliveries SET state = 'failed', cause = 'exhausted' WHERE endpoint_id = $1", view.id
        )
        assert await recover(harbor, OPERATOR, view.id, ago(hours=1)) is None
        await harbor.settle("recover_deliveries", "deliver")
        assert len(harbor.receiver.of("/everywhere")) == 4
        for tenant in (one, two):
            assert [each.state for each in await harbor.listed(tenant)] == ["succeeded"]
    finally:
        async with harbor.db.tenant(OPERATOR) as session:
            await harbor.deliveries.remove(session, OPERATOR, view.id, harbor.who)


async def test_a_test_event_goes_to_its_endpoint_alone(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, judge = await harbor.endpoint(tenant, "/tested", types=["run.failed"])
    await harbor.endpoint(tenant, "/untested", types=["*"])
    async with harbor.db.tenant(tenant) as session:
        await harbor.deliveries.test(session, tenant, view.id, harbor.who)
    await harbor.settle("deliver")
    (got,) = harbor.receiver.of("/tested")
    assert judge.verify(got.body, got.headers)["type"] == "webhook.test"
    assert harbor.receiver.of("/untested") == []


async def test_a_removed_endpoint_gets_nothing_and_keeps_no_secret(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/removed")
    await harbor.tell(tenant)
    async with harbor.db.tenant(tenant) as session:
        await harbor.deliveries.remove(session, tenant, view.id, harbor.who)
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    assert harbor.receiver.of("/removed") == []
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.cause) == ("failed", "removed")
    secrets = "SELECT count(*) FROM endpoint_secrets WHERE endpoint_id = $1"
    assert await harbor.owner.fetchval(secrets, view.id) == 0
    with pytest.raises(NotFoundError):
        await harbor.view(tenant, view.id)


async def test_every_deed_is_audited_without_secrets(harbor: Any) -> None:
    tenant = await harbor.tenant()
    service = harbor.deliveries
    view, _ = await harbor.endpoint(tenant, url=f"{harbor.receiver.url}/audited?token=t0p-secret")
    async with harbor.db.tenant(tenant) as session:
        await service.change(
            session, tenant, view.id, harbor.who, EndpointChange(types=["run.*"], enabled=False)
        )
        await service.change(session, tenant, view.id, harbor.who, EndpointChange(enabled=True))
        await service.rotate(session, tenant, view.id, harbor.who, 1)
        await service.test(session, tenant, view.id, harbor.who)
    (delivery,) = await harbor.listed(tenant)
    async with harbor.db.tenant(tenant) as session:
        await service.resend(session, tenant, delivery.id, harbor.who)
        await service.recover(session, tenant, view.id, harbor.who, ago(hours=1), missing=False)
        await service.remove(session, tenant, view.id, harbor.who)
    assert await harbor.audited(tenant) == [
        *(
            "endpoint.created",
            "endpoint.changed",
            "endpoint.disabled",
            "endpoint.enabled",
            "endpoint.rotated",
        ),
        *("endpoint.tested", "delivery.resent", "endpoint.recovered", "endpoint.removed"),
    ]
    rows = await harbor.owner.fetch("SELECT * FROM audit_entries WHERE tenant_id = $1", tenant)
    assert "t0p-secret" not in repr([dict(row) for row in rows])
    assert "whsec_" not in repr([dict(row) for row in rows])


async def test_nothing_of_another_tenants_is_found(harbor: Any) -> None:
    mine, other = await harbor.tenant(), await harbor.tenant()
    view, _ = await harbor.endpoint(other)
    await harbor.tell(other)
    (delivery,) = await harbor.listed(other)
    service = harbor.deliveries
    for deed in (
        lambda session: service.endpoint(session, mine, view.id),
        lambda session: service.change(session, mine, view.id, harbor.who, EndpointChange(ordering="record")),
        lambda session: service.rotate(session, mine, view.id, harbor.who, 1),
        lambda session: service.test(session, mine, view.id, harbor.who),
        lambda session: service.remove(session, mine, view.id, harbor.who),
        lambda session: service.recover(session, mine, view.id, harbor.who, ago(hours=1), missing=True),
        lambda session: service.delivery(session, mine, delivery.id),
        lambda session: service.resend(session, mine, delivery.id, harbor.who),
        lambda session: service.endpoint(session, mine, uuid4()),
    ):
        with pytest.raises(NotFoundError):
            async with harbor.db.tenant(mine) as session:
                await deed(session)
    assert await harbor.listed(mine, endpoint_id=view.id) == []
