"""What customers see of a partner's connector: how well it is proven, and how its webhooks are entered."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from ui_kit.rows import Made

from trunkline.kernel.clock import now
from trunkline.kernel.principal import SYSTEM
from trunkline.kit.scaffolding import scaffold
from trunkline.packages import repository
from trunkline.packages.archive import pack
from trunkline.sdk.quality import Graded, Judged
from trunkline.services import Services
from trunkline.webhooks.repository import refused
from trunkline.webhooks.sources import Sources
from trunkline_tenants.seed import Seeded

HOOKS = """
[webhooks]
owner = "connection"
keyed_by = "us"
type = "event"
signatures = [{ header = "X-Acme-Signature" }]
kinds = [{ type = "contact.*", stream = "contacts", ids = ["id"], document = "contact" }]
"""


def judged(rule: str, grade: str, title: str, detail: str, *, done: bool = True) -> Judged:
    return Judged(rule=rule, grade=grade, title=title, standing="done" if done else "todo", detail=detail)


PASTED = (
    HOOKS.replace('"us"', '"pasted"')
    + """
[webhooks.by_hand]
steps = ["Open Settings, Endpoints.", "Paste the address & save."]
secret = "Endpoint secret"
test = "Choose Send test."
"""
)
OF_THE_APP = PASTED.replace('owner = "connection"', 'owner = "client"\naccount = "account"')
SIGNED_IN = (
    'kind = "api_key"\nheaders = { authorization = "Bearer {api_key}" }',
    """kind = "oauth2"
authorize_url = "https://login.acme.example/authorize"
token_url = "https://login.acme.example/token"
""",
)
ENTERED = "endpoint-secret-0123"


@pytest.fixture
async def acme(services: Services, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The scaffold with webhooks (`HOOKS`, or those given), graded and open to every tenant."""
    scaffold("acme", tmp_path)
    manifest = tmp_path / "acme" / "manifest.toml"
    hooks = getattr(request, "param", HOOKS)
    written = manifest.read_text() + hooks
    manifest.write_text(written.replace(*SIGNED_IN) if 'owner = "client"' in hooks else written)
    made = await services.packages.take_in(SYSTEM, pack(tmp_path / "acme"), "Acme Ltd", "Asked for")
    rules = [
        judged("read", "bronze", "Each stream gives what it promises", "1 stream"),
        judged("recipes", "silver", "Recipes are suggested", "Suggest one for a stream.", done=False),
    ]
    graded = Graded(connector="acme", version="0.1.0", grade="bronze", missing=["recipes"], rules=rules)
    async with services.db.system() as session:
        await repository.examined(session, made.id, [], graded)
        await repository.count(session)
    await services.packages.approve(SYSTEM, made.id, None, "Asked for")


@pytest.mark.usefixtures("acme")
async def test_its_grade_stands_with_its_evidence_where_it_is_chosen(owner: Any, viewer: Any) -> None:
    page = (await owner.get("/portal/connect")).text
    part = page[page.index(">Acme</h2>") :]
    for words in ("Bronze", "How well this connector is proven", "1 stream", "Suggest one for a stream."):
        assert words in part


@pytest.mark.usefixtures("acme")
async def test_a_secret_that_signs_is_not_called_a_password(
    services: Services, people: Seeded, owner: Any, factory: Any
) -> None:
    tenant_id: UUID = people.tenants["globex"].id
    held = await factory.connection(tenant_id, connector="acme", connector_version="0.1.0", name="Acme")
    async with services.db.tenant(tenant_id) as session:
        await services.hooks.make_for_connection(session, tenant_id, held, "acme@0.1.0")
    page = (await owner.get(f"/portal/connections/{held}/webhook")).text
    for words in ("Acme signs what it sends with a secret of ours", "Make a secret", "contact.*"):
        assert words in page
    assert "password" not in page
    assert "By hand" in (await owner.get(f"/portal/connections/{held}")).text
    made = (await owner.post(f"/portal/connections/{held}/webhook")).text
    assert "Copy the secret now" in made
    assert "User name" not in made


async def proven(services: Services, url: str) -> list[bytes]:
    """By what deliveries to the address are, nothing remembered."""
    sources = Sources(services.db, services.vault, services.connectors, services.connections.clients)
    source = await sources.find("acme", url.rpartition("/")[2])
    assert source is not None
    ((_, keys),) = source.ways
    return list(keys)


@pytest.mark.parametrize("acme", [PASTED], indirect=True)
@pytest.mark.usefixtures("acme")
async def test_a_secret_that_only_the_provider_shows_is_pasted(
    services: Services, people: Seeded, owner: Any, viewer: Any, factory: Any
) -> None:
    tenant_id: UUID = people.tenants["globex"].id
    held = await factory.connection(tenant_id, connector="acme", connector_version="0.1.0", name="Acme")
    async with services.db.tenant(tenant_id) as session:
        made = await services.hooks.make_for_connection(session, tenant_id, held, "acme@0.1.0")
        assert made is not None
        url = await services.hooks.address(session, made)
    home, path = f"/portal/connections/{held}", f"/portal/connections/{held}/webhook"
    assert await proven(services, url) == []
    assert "Secret missing" in (await owner.get(home)).text
    page = (await owner.get(path)).text
    for words in ("Open Settings, Endpoints.", "Paste the address &amp; save.", "Endpoint secret", url):
        assert words in page
    assert "What has come" not in page
    assert (await viewer.get(path)).status_code == 403

    for wrong in ("", "short", "x" * 201, "späte-geheimnisse"):
        assert "Paste the whole secret" in await owner.flash(await owner.post(path, secret=wrong))
        assert await proven(services, url) == []
    answer = await owner.post(path, secret=f" {ENTERED}\n")
    assert "The secret is kept." in answer.text
    assert ENTERED not in answer.text
    assert "Choose Send test." in answer.text
    assert "Nothing yet" in answer.text
    assert await proven(services, url) == [ENTERED.encode()]
    async with services.db.tenant(tenant_id) as session:
        (row,) = await session.execute(text("SELECT secret FROM hook_endpoints"))
        assert ENTERED.encode() not in row.secret

    # the one before counts for a day, whatever is pasted after it until it is the right one
    await owner.post(path, secret=f"{ENTERED}-two")
    assert await proven(services, url) == [f"{ENTERED}-two".encode(), ENTERED.encode()]
    await owner.post(path, secret=f"{ENTERED}-three")
    assert await proven(services, url) == [f"{ENTERED}-three".encode(), ENTERED.encode()]

    # a test message: refused, then taken
    async with services.db.tenant(tenant_id) as session:
        day = now() - timedelta(minutes=5)
        await refused(session, tenant_id, made.id, "unverifiable", day=day.date(), count=1, at=day, sample={})
    assert "whose signature does not fit" in (await owner.get(path)).text
    await factory.inbound(Made(tenant_id, held, "contacts", UUID(int=0), UUID(int=0), ""))
    part = (await owner.get(path, target="heard")).text
    assert part.strip().startswith('<div id="heard"')
    assert "Received" in part
    assert "its signature fits" in part
    assert "does not fit" not in part
    assert "hx-get" not in part
    assert "Entered by hand" in (await owner.get(home)).text


@pytest.mark.parametrize("acme", [OF_THE_APP], indirect=True)
@pytest.mark.usefixtures("acme")
async def test_so_is_the_one_of_an_organisations_own_app(
    services: Services, people: Seeded, owner: Any, viewer: Any
) -> None:
    tenant_id: UUID = people.tenants["globex"].id
    home, path = "/portal/oauth-clients", "/portal/oauth-clients/webhook-secret"
    assert "Endpoint secret" not in (await owner.get(home)).text
    given = {"connector": "acme", "client_id": "globex-app", "secret": "the-secret-of-the-app"}
    page = await owner.flash(await owner.post(home, **given))
    for words in ("Webhooks of Acme are refused until then", "Open Settings, Endpoints.", "Endpoint secret"):
        assert words in page
    async with services.db.tenant(tenant_id) as session:
        url = (await services.hooks.of_client(session, tenant_id, "acme")).url
    assert url in page
    assert await proven(services, url) == []  # not by the secret of the client

    assert "Paste the whole secret" in await owner.flash(await owner.post(path, connector="acme"))
    wanted = {"connector": "acme", "hook_secret": ENTERED}
    assert (await viewer.post(path, **wanted)).status_code == 403
    page = await owner.flash(await owner.post(path, **wanted))
    assert "Paste another secret for webhooks" in page
    assert "are refused until then" not in page
    assert ENTERED not in page
    assert await proven(services, url) == [ENTERED.encode()]

    # what a test event made of it
    async with services.db.tenant(tenant_id) as session:
        held = (await services.hooks.of_client(session, tenant_id, "acme")).id
    for minutes, cause, words in (
        (5, "unverifiable", "Its signature does not fit"),
        (1, "unknown_account", "Its signature fits"),
    ):
        at = now() - timedelta(minutes=minutes)
        async with services.db.tenant(tenant_id) as session:
            await refused(session, tenant_id, held, cause, day=at.date(), count=1, at=at, sample={})
        assert words in (await owner.get(home)).text

    # another secret of the client's changes nothing about the address
    await owner.post(home, **{**given, "secret": "another-secret-of-it"})
    assert await proven(services, url) == [ENTERED.encode()]
    activity = (await owner.get("/portal/activity")).text
    assert "pasted the secret by which webhooks of" in activity
    assert ENTERED not in activity
    assert (await owner.post(path, connector="hubspot", hook_secret=ENTERED)).status_code == 303
