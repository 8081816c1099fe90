"""The end of a client certificate is told of 30 and 7 days before and when it has come, each once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from trunkline.cli import bench
from trunkline.deliveries.schemas import ClientCertificateIn, EndpointChange, EndpointView
from trunkline.kernel.db import OPERATOR

authority = bench._load("egress").Authority()


def certificate(name: str) -> ClientCertificateIn:
    pem, key = authority.client(name)
    return ClientCertificateIn(certificate=pem, key=key)


async def shown(harbor: Any, tenant: Any) -> EndpointView:
    view, _ = await harbor.endpoint(
        tenant, url="https://hooks.example.com/in", client_certificate=certificate("acme")
    )
    found: EndpointView = view
    return found


async def ends(harbor: Any, view: EndpointView, left: timedelta) -> None:
    """As if the certificate ended then, and its next notice had come."""
    await harbor.owner.execute(
        "UPDATE endpoint_credentials SET certificate_ends = $2 WHERE endpoint_id = $1",
        view.id,
        datetime.now(UTC) + left,
    )
    await harbor.owner.execute(
        "UPDATE work SET due_at = now() WHERE tenant_id = $1 AND kind = 'watch_certificate'", view.tenant_id
    )
    await harbor.settle("watch_certificate")


async def change(harbor: Any, view: EndpointView, **given: Any) -> None:
    async with harbor.db.tenant(view.tenant_id) as session:
        await harbor.deliveries.change(session, view.tenant_id, view.id, harbor.who, EndpointChange(**given))


async def told(harbor: Any, path: str) -> list[int]:
    await harbor.settle("deliver")
    return [one.json["data"]["days_left"] for one in harbor.receiver.of(path)]


async def due(harbor: Any, view: EndpointView) -> datetime | None:
    found: datetime | None = await harbor.owner.fetchval(
        "SELECT due_at FROM work WHERE tenant_id = $1 AND kind = 'watch_certificate'", view.tenant_id
    )
    return found


async def test_each_notice_once_until_it_has_ended(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view = await shown(harbor, tenant)
    await harbor.endpoint(tenant, "/ends", types=["endpoint.*"])
    await ends(harbor, view, timedelta(days=31))
    assert await told(harbor, "/ends") == []
    wanted = datetime.now(UTC) + timedelta(days=1)
    found = await due(harbor, view)
    assert found is not None
    assert abs(found - wanted) < timedelta(minutes=5), "it sleeps until the first notice"
    for left, days in (
        (timedelta(days=29, hours=1), [29]),
        (timedelta(days=20), [29]),
        (timedelta(days=6, hours=5), [29, 6]),
        (timedelta(days=3), [29, 6]),
        (timedelta(hours=-1), [29, 6, 0]),
    ):
        await ends(harbor, view, left)
        assert await told(harbor, "/ends") == days
    assert await due(harbor, view) is None, "there is nothing more to tell"
    (_, _, last) = harbor.receiver.of("/ends")
    assert last.json["type"] == "endpoint.certificate_expiring"
    assert last.json["data"] == {
        "endpoint_id": str(view.id),
        "subject": "CN=acme",
        "ends_at": last.json["data"]["ends_at"],
        "days_left": 0,
    }


async def test_a_new_certificate_is_watched_anew(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view = await shown(harbor, tenant)
    await harbor.endpoint(tenant, "/anew", types=["endpoint.certificate_expiring"])
    await ends(harbor, view, timedelta(days=-1))
    assert await told(harbor, "/anew") == [0]
    await change(harbor, view, client_certificate=certificate("acme"))
    await ends(harbor, view, timedelta(days=6, hours=1))
    assert await told(harbor, "/anew") == [0, 6]
    # other headers beside it are no new certificate
    await change(harbor, view, headers={"X-Room": "7"})
    await harbor.settle("watch_certificate")
    assert await told(harbor, "/anew") == [0, 6]
    await change(harbor, view, client_certificate=None)
    await harbor.owner.execute("UPDATE work SET due_at = now() WHERE tenant_id = $1", tenant)
    await harbor.settle("watch_certificate")
    assert await due(harbor, view) is None


async def test_the_endpoint_itself_is_told_and_a_disabled_one_is_told_of_when_it_is_enabled(
    harbor: Any,
) -> None:
    tenant = await harbor.tenant()
    view = await shown(harbor, tenant)
    await change(harbor, view, enabled=False)
    await ends(harbor, view, timedelta(days=6, hours=1))
    assert await harbor.listed(tenant) == []
    await change(harbor, view, enabled=True)
    await harbor.settle("watch_certificate")
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.endpoint_id, delivery.type) == (view.id, "endpoint.certificate_expiring")


async def test_the_installations_own_is_told_of_to_the_installation_alone(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view = await shown(harbor, OPERATOR)
    await harbor.endpoint(OPERATOR, "/installation", types=["endpoint.certificate_expiring"])
    await harbor.endpoint(tenant, "/neighbour", types=["*"])
    await ends(harbor, view, timedelta(days=6, hours=1))
    assert await told(harbor, "/installation") == [6]
    assert await told(harbor, "/neighbour") == []
