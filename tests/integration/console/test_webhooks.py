"""Endpoints of the whole installation in the console, and who may see what of them."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from trunkline.cli import bench
from trunkline.deliveries.catalogue import ConnectionData
from trunkline.deliveries.outbox import emit
from trunkline.deliveries.schemas import ClientCertificateIn, EndpointIn
from trunkline.kernel.clock import now
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.principal import Principal

HOME = "/console/webhooks"
FORM = {"url": "http://127.0.0.1:9/all", "description": "Every tenant", "concurrency": "8", "payload": "full"}


async def register(chief: Any) -> str:
    made = await chief.post(f"{HOME}/new", **FORM, types="*")
    assert made.status_code == 200, made.text
    assert "whsec_" in made.text
    path = re.search(rf'href="({HOME}/[0-9a-f-]+)"', made.text)
    assert path
    return path[1]


async def test_what_became_of_tenants_deliveries_is_shown_and_not_what_they_held(
    services: Any, people: Any, chief: Any
) -> None:
    path = await register(chief)
    tenant = people.tenants["globex"].id
    data = ConnectionData(connection_id=uuid4(), connector="hubspot", name="Hidden CRM", state="active")
    async with services.db.tenant(tenant) as session:
        emit(session, tenant, "connection.confirmed", data, subject=data.connection_id)
    page = (await chief.get(path)).text
    assert "connection.confirmed" in page
    assert "Globex Corporation" in page
    assert "Hidden CRM" not in page
    async with services.db.tenant(tenant) as session:
        (one,) = await services.deliveries.deliveries(session, tenant)
    assert (await chief.get(f"{HOME}/deliveries/{one.id}")).status_code == 404, "that is the tenant's own"
    assert "A test event is on its way." in await chief.flash(await chief.post(f"{path}/test"))
    assert "webhook.test" in (await chief.get(path)).text
    moment = "2099-01-01T00:00"
    assert "last 30 days" in await chief.flash(await chief.post(f"{path}/recover", since=moment))


async def test_at_least_four_at_a_time(chief: Any) -> None:
    answer = await chief.post(f"{HOME}/new", **(FORM | {"concurrency": "2"}), types="*")
    assert answer.status_code == 422
    assert "at least 4" in answer.text


async def test_support_sees_that_one_takes_nothing_and_cannot_act(
    services: Any, chief: Any, support: Any
) -> None:
    path = await register(chief)
    assert (await support.get(HOME)).status_code == 403
    assert (await support.post(f"{path}/test")).status_code == 403
    assert HOME not in (await support.get("/console")).text
    assert "take nothing" not in (await support.get("/console/issues")).text
    import asyncpg

    connection = await asyncpg.connect(services.settings.database_url)
    await connection.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '2 days'")
    await connection.close()
    page = (await support.get("/console/issues")).text
    assert "Webhook endpoints that take nothing" in page
    assert "Of the installation" in page


async def test_a_client_certificate_that_ends_stands_among_the_issues(
    services: Any, people: Any, chief: Any, support: Any
) -> None:
    pem, key = bench._load("egress").Authority().client("All")
    tenant, title = people.tenants["globex"].id, "Client certificates that end"
    who = Principal(kind="api_key", id=str(uuid4()), role="product", label="Backend")
    given = EndpointIn(
        url="https://hooks.globex.example/in?token=t0p",
        types=["*"],
        client_certificate=ClientCertificateIn(certificate=pem, key=key),
    )
    async with services.db.tenant(tenant) as session:
        await services.deliveries.create(session, tenant, who, given)
    mine = {"url": "https://hooks.example.com/all", "certificate": pem, "key": key}
    assert (await chief.post(f"{HOME}/new", **(FORM | mine), types="*")).status_code == 200

    async def ends(left: timedelta) -> str:
        for owner in (tenant, OPERATOR):
            async with services.db.tenant(owner) as session:
                await session.execute(
                    text("UPDATE endpoint_credentials SET certificate_ends = :at WHERE tenant_id = :tenant"),
                    {"at": now() + left, "tenant": owner},
                )
        return str((await support.get("/console/issues")).text).partition(title)[2]

    assert not await ends(timedelta(days=31))
    page = await ends(timedelta(days=29))
    assert "https://hooks.globex.example/in<" in page
    assert "Globex Corporation" in page
    assert "https://hooks.example.com/all" in page
    assert "Of the installation" in page
    assert "Expiring" in page
    assert "t0p" not in page
    assert "Expired" in await ends(timedelta(days=-1))
    assert "No open issues" not in (await support.get("/console/issues")).text
