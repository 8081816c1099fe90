"""Partners' connectors: taken in, examined, approved, upgraded, withdrawn, and seen by nobody else."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from trunkline.access.schemas import ConnectSessionIn, EndUser
from trunkline.audit.service import history
from trunkline.connections.models import Connection
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.principal import SYSTEM, Principal
from trunkline.kit.scaffolding import scaffold
from trunkline.packages import repository
from trunkline.packages.archive import pack
from trunkline.sdk.registry import Connectors
from trunkline.services import Services, build_services
from trunkline.work.lease import Lease
from trunkline.work.repository import Claimed
from trunkline_connectors.catalogue import manifests

Make = Callable[..., bytes]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make("0.1.1", ("old", "new"), ...)`: the scaffold's package with that version and those edits."""

    def made(version: str = "0.1.0", *edits: tuple[str, str], name: str = "acme") -> bytes:
        into = tmp_path / uuid4().hex
        scaffold(name, into)
        manifest = into / name / "manifest.toml"
        text = manifest.read_text().replace('version = "0.1.0"', f'version = "{version}"')
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        manifest.write_text(text)
        return pack(into / name)

    return made


async def upload(visitor: Any, raw: bytes, partner: str = "Acme Ltd", reason: str = "Asked for") -> Any:
    return await visitor.client.post(
        "/console/packages",
        data={"csrf_token": visitor.csrf, "partner": partner, "reason": reason},
        files={"archive": ("acme.zip", raw, "application/zip")},
    )


async def work(services: Services, kind: str, tenant_id: UUID, key: str) -> None:
    """What a worker does with such an item."""
    claimed = Claimed(
        id=UUID(int=1),
        tenant_id=tenant_id,
        kind=kind,
        key=key,
        args={},
        connection_id=None,
        attempt=1,
        tries=0,
        now=datetime.now(UTC),
    )
    lease = Lease(claimed, holder="test", lease_seconds=60)

    async def fence(_: object) -> None:
        """The row is nobody else's here."""

    lease.fence = fence  # type: ignore[method-assign]
    await services.handlers()[kind](lease)


async def taken_in(services: Services, raw: bytes, chief: Any, partner: str = "Acme Ltd") -> str:
    """Uploaded, and examined without a finding; its page."""
    answer = await upload(chief, raw, partner)
    assert answer.status_code == 303, answer.text
    path = str(answer.headers["location"])
    async with services.db.system() as session:
        await repository.examined(session, UUID(path.rpartition("/")[2]), [], None)
        await repository.count(session)
    return path


async def settled(services: Services, tenant_id: UUID) -> None:
    await work(services, "settle_connectors", tenant_id, "all")


def names(services: Services, tenant_id: UUID) -> dict[str, str]:
    return {one.name: one.version for one in services.connectors.offered(tenant_id)}


async def connection(services: Services, tenant_id: UUID, connection_id: UUID) -> Connection:
    async with services.db.tenant(tenant_id) as session:
        found = await session.execute(
            select(Connection).where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
        )
        return found.scalar_one()


async def test_from_upload_to_undone_withdrawal(
    services: Services, people: Any, chief: Any, rows: Any, make: Make
) -> None:
    globex, initech = people.tenants["globex"].id, people.tenants["initech"].id
    first = await upload(chief, make())
    page = await chief.flash(first)
    assert "Being examined" in page
    path = first.headers["location"]
    refused = await chief.post(f"{path}/approve", whom="all", reason="Early")
    assert refused.status_code == 422
    assert "still being examined" in refused.text
    await work(services, "examine_connector", OPERATOR, path.rpartition("/")[2])
    page = (await chief.get(path)).text
    part = (await chief.get(path, target="live")).text
    assert "<h1" not in part
    assert "{subdomain}.acme.example" in part
    for words in ("Waits for approval", "Silver", "No finding.", "{subdomain}.acme.example", "Read contacts"):
        assert words in page
    assert "acme" not in names(services, globex)

    # approved for one tenant: others see nothing of it
    done = await chief.post(f"{path}/approve", whom="some", tenants="globex", reason="They asked for it")
    assert "1 more tenant may connect it now" in await chief.flash(done)
    assert names(services, globex)["acme"] == "0.1.0"
    assert "acme" not in names(services, initech)
    with pytest.raises(NotFoundError):
        services.connectors.offer(initech, "acme")
    ada = Principal(kind="member", id="1", role="owner", label="Ada", tenant_id=globex)
    async with services.db.tenant(globex) as session:
        begun = await services.connections.begin(session, globex, ada, "acme")
    assert "/connect/acme?state=" in begun.url
    assert (await connection(services, globex, begun.connection_id)).connector_version == "0.1.0"
    with pytest.raises(NotFoundError):
        async with services.db.tenant(initech) as session:
            await services.connections.begin(session, initech, ada, "acme")
    product = Principal(kind="product", id="k", role="product", label="Backend", tenant_id=None)
    asked = ConnectSessionIn(
        end_user=EndUser(id="1", name="Ada"), connectors=["acme"], origin="https://product.example"
    )
    async with services.db.tenant(globex) as session:
        await services.access.create(session, globex, product, asked)
    with pytest.raises(BadInputError, match="There is no connector named"):
        async with services.db.tenant(initech) as session:
            await services.access.create(session, initech, product, asked)
    with pytest.raises(NotFoundError):
        async with services.db.tenant(initech) as session:
            await services.connections.bring_oauth_client(
                session, initech, ada, "acme", client_id="x", secret="y" * 20
            )
    async with services.db.tenant(globex) as session:
        entry = next(one for one in await history(session, globex) if one.target_kind == "connector")
    assert (entry.action, entry.reason) == ("connector.approved", "They asked for it")

    # a compatible version: connections move by themselves; a tenant without leave stays
    held = await rows.connection(globex, connector="acme", connector_version="0.1.0", name="Acme")
    other = await rows.connection(initech, connector="acme", connector_version="0.1.0", name="Acme")
    newer = await taken_in(services, make("0.1.1"), chief)
    page = (await chief.get(newer)).text
    assert "Compatible" in page
    assert "Compared with 0.1.0" in page
    await chief.post(f"{newer}/approve", whom="some", tenants="globex", reason="Mends a bug")
    for tenant in (globex, initech):
        await settled(services, tenant)
    assert (await connection(services, globex, held)).connector_version == "0.1.1"
    assert (await connection(services, initech, other)).connector_version == "0.1.0"

    # an incompatible one: both go on side by side
    breaking = await taken_in(
        services, make("0.2.0", ('modified = "updated_at"', 'id = "key"\nmodified = "updated_at"')), chief
    )
    page = (await chief.get(breaking)).text
    assert "Not compatible" in page
    assert "records are told apart by key" in page

    # withdrawn with its connections paused, and back again
    done = await chief.post(f"{newer}/withdraw", effect="pause", reason="It doubles letters")
    assert "nobody can connect it any more" in await chief.flash(done)
    assert names(services, globex)["acme"] == "0.1.0"
    await settled(services, globex)
    stopped = await connection(services, globex, held)
    assert (stopped.state, stopped.cause) == ("paused", "connector_withdrawn")
    with pytest.raises(Exception, match="withdrawn this connector for now"):
        async with services.db.tenant(globex) as session:
            await services.connections.resume(session, globex, held, ada)
    page = (await chief.get(newer)).text
    assert "It doubles letters" in page
    await chief.post(f"{newer}/restore", reason="Mended")
    await settled(services, globex)
    assert (await connection(services, globex, held)).state == "active"
    assert names(services, globex)["acme"] == "0.1.1"

    async with services.db.tenant(OPERATOR) as session:
        told = [one.action for one in await history(session, OPERATOR) if one.target_kind == "connector"]
    assert told == [
        *("connector.restored", "connector.withdrawn", "connector.taken_in", "connector.taken_in"),
        "connector.taken_in",
    ]


async def test_every_process_knows_of_it_without_a_restart(
    services: Services, people: Any, chief: Any, make: Make
) -> None:
    other = build_services(services.settings, Connectors(manifests()), application="other")
    try:
        globex = people.tenants["globex"].id
        await other.start()
        path = await taken_in(services, make(), chief)
        await chief.post(f"{path}/approve", whom="all", reason="For all")
        # a connection's version that this process never heard of is found when it is needed
        assert (await other.connectors.find("acme@0.1.0")).label == "Acme"
        assert "acme" in names(other, globex)
        await chief.post(f"{path}/disapprove", tenant="all", reason="Not yet")
        await other.connectors.refresh()
        assert "acme" not in names(other, globex)
        assert other.connectors.get("acme@0.1.0").label == "Acme"
    finally:
        await other.close()


async def test_what_is_refused_names_the_field(
    services: Services, chief: Any, support: Any, make: Make
) -> None:
    assert (await upload(support, make())).status_code == 403
    await taken_in(services, make(), chief)
    for raw, partner, reason, words in (
        (b"", "Acme Ltd", "x", "Choose a package"),
        (b"PK\x03\x04nonsense", "Acme Ltd", "x", "cannot be read as a zip"),
        (make("0.1.1"), "", "x", "Say whose connector it is"),
        (make("0.1.2"), "Acme Ltd", " ", "Say why"),
        (make("0.1.3"), "Somebody Else", "x", "a further version comes from them only"),
        (make("0.1.0", name="hubspot"), "Acme Ltd", "x", "is a connector of ours"),
        (make("0.1.4", ('label = "Acme"', 'label = "Hub Spot"')), "Acme Ltd", "x", "as HubSpot does"),
        (
            make("0.1.0", ("hosts = [", 'hosts = ["api.stripe.com", '), name="other"),
            "B",
            "x",
            "belongs to Stripe",
        ),
        (make("0.1.5", ("\nname = ", "\nnonsense = 1\nname = ")), "Acme Ltd", "x", "unknown field"),
        (make("1.0"), "Acme Ltd", "x", "no version of three numbers"),
    ):
        answer = await upload(chief, raw, partner, reason)
        assert answer.status_code == 422, words
        assert words in answer.text, words
    kept = (await services.packages.everything())[0]
    assert [one.version for one in await services.packages.everything()] == ["0.1.0"]
    answer = await chief.get(f"/console/packages/{kept.id}/archive")
    assert answer.content == await services.packages.archive(kept.id)
    assert (await support.get(f"/console/packages/{kept.id}/archive")).status_code == 403
    assert (await support.get(f"/console/packages/{kept.id}")).status_code == 200


async def test_a_partner_never_names_anothers_hosts(services: Services, chief: Any, make: Make) -> None:
    await taken_in(services, make(), chief)
    other = make("0.1.0", (".other.example", ".acme.example"), name="other")
    answer = await upload(chief, other, "Other Ltd")
    assert "It names {subdomain}.acme.example, which belongs to Acme." in answer.text.replace("&#39;", "'")
    assert (await upload(chief, other, "Acme  ltd")).status_code == 303


async def test_the_system_is_told_apart(services: Services, make: Make) -> None:
    made = await services.packages.take_in(SYSTEM, make(), "Acme Ltd", "By hand")
    assert not made.examined
    assert made.uploaded_by == "Trunkline"
