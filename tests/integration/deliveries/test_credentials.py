"""Headers of a receiver's own and client certificates: sealed, shown by name alone, gone with the endpoint."""

from typing import Any

import msgspec
import pytest

from trunkline.cli import bench
from trunkline.deliveries import credentials
from trunkline.deliveries.schemas import ClientCertificateIn, EndpointChange, EndpointOut
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.errors import BadInputError

SECRET = "Bearer t0p-secret"
authority = bench._load("egress").Authority()


def certificate(name: str) -> ClientCertificateIn:
    pem, key = authority.client(name)
    return ClientCertificateIn(certificate=pem, key=key)


async def change(harbor: Any, tenant: Any, view: Any, **given: Any) -> Any:
    async with harbor.db.tenant(tenant) as session:
        return await harbor.deliveries.change(session, tenant, view.id, harbor.who, EndpointChange(**given))


async def opened(harbor: Any, tenant: Any, view: Any) -> credentials.Credentials:
    async with harbor.db.tenant(tenant) as session:
        return await credentials.read(session, harbor.services.vault, tenant, view.id)


async def test_own_headers_arrive_and_are_shown_by_name_alone(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, judge = await harbor.endpoint(
        tenant, "/own-headers", headers={"Authorization": SECRET, "X-Room": "7"}
    )
    assert view.header_names == ["Authorization", "X-Room"]
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    (got,) = harbor.receiver.of("/own-headers")
    assert (got.headers["authorization"], got.headers["x-room"]) == (SECRET, "7")
    judge.verify(got.body, got.headers)
    (delivery,) = await harbor.listed(tenant)
    detail = await harbor.detail(tenant, delivery.id)
    assert detail.attempts[0].exchange.request["Authorization"] == "(not kept)"
    shown = msgspec.json.encode(EndpointOut.of(await harbor.view(tenant, view.id)))
    held = await harbor.owner.fetch("SELECT * FROM endpoint_credentials WHERE tenant_id = $1", tenant)
    audited = await harbor.owner.fetch("SELECT * FROM audit_entries WHERE tenant_id = $1", tenant)
    for place in (shown.decode(), repr(detail), repr(view), repr(held), repr([dict(one) for one in audited])):
        assert "t0p-secret" not in place

    # the value that is held is kept by three dots, whatever the case of its name
    changed = await change(harbor, tenant, view, headers={"authorization": "•••", "X-New": "n"})
    assert changed.header_names == ["authorization", "X-New"]
    assert (await opened(harbor, tenant, view)).headers == {"authorization": SECRET, "X-New": "n"}
    await change(harbor, tenant, view, description="left alone")
    assert (await opened(harbor, tenant, view)).headers == {"authorization": SECRET, "X-New": "n"}
    assert (await change(harbor, tenant, view, headers={})).header_names == []
    assert await harbor.owner.fetch("SELECT 1 FROM endpoint_credentials WHERE tenant_id = $1", tenant) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-signature": "v1,x"},
        {"Content-Type": "text/plain"},
        {"Host": "other.example"},
        {"Transfer-Encoding": "chunked"},
        {"X-A": "one\r\nX-B: two"},
        {"X-A\r\nX-B": "two"},
        {"X A": "two"},
        {"X-A": ""},
        {"X-A": "•••"},
        {"X-A": "grün"},
        {"X-A": "1", "x-a": "2"},
    ],
)
async def test_headers_that_are_ours_or_none_are_refused(harbor: Any, headers: dict[str, str]) -> None:
    tenant = await harbor.tenant()
    with pytest.raises(BadInputError) as refused:
        await harbor.endpoint(tenant, headers=headers)
    assert refused.value.field == "headers"


async def test_a_client_certificate_is_sealed_replaced_and_taken_away(harbor: Any) -> None:
    tenant = await harbor.tenant()
    first = certificate("acme")
    view, _ = await harbor.endpoint(
        tenant, url="https://hooks.example.com/in", headers={"X-Room": "7"}, client_certificate=first
    )
    assert (view.certificate_subject, view.header_names) == ("CN=acme", ["X-Room"])
    held = await opened(harbor, tenant, view)
    assert held.identity is not None
    assert held.identity.key.strip() == first.key.strip()
    rows = await harbor.owner.fetch("SELECT * FROM endpoint_credentials WHERE tenant_id = $1", tenant)
    assert "PRIVATE" not in repr(rows)
    out = EndpointOut.of(await change(harbor, tenant, view, client_certificate=certificate("globex")))
    assert out.client_certificate is not None
    assert out.client_certificate.subject == "CN=globex"
    gone = await change(harbor, tenant, view, client_certificate=None)
    assert (gone.certificate_subject, gone.header_names) == (None, ["X-Room"])
    assert (await opened(harbor, tenant, view)).identity is None
    wrong = ClientCertificateIn(certificate=first.certificate, key=certificate("other").key)
    with pytest.raises(BadInputError) as refused:
        await change(harbor, tenant, view, client_certificate=wrong)
    assert refused.value.field == "client_certificate.key"
    with pytest.raises(BadInputError, match="over https only"):
        await harbor.endpoint(tenant, client_certificate=first)  # of this machine, by plain http
    async with harbor.db.tenant(tenant) as session:
        await harbor.deliveries.remove(session, tenant, view.id, harbor.who)
    assert await harbor.owner.fetch("SELECT 1 FROM endpoint_credentials WHERE tenant_id = $1", tenant) == []


async def test_another_tenant_sends_to_the_installations_endpoint_with_its_headers(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(OPERATOR, "/shared-headers", headers={"X-Shared": "for all"})
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    (got,) = harbor.receiver.of("/shared-headers")
    assert got.headers["x-shared"] == "for all"
    async with harbor.db.tenant(tenant) as session:
        # whose tenant is none of the installation's: it sees neither values nor names
        read = await credentials.read(session, harbor.services.vault, tenant, view.id)
    assert read.headers == {}
    async with harbor.db.tenant(OPERATOR) as session:
        await harbor.deliveries.remove(session, OPERATOR, view.id, harbor.who)
