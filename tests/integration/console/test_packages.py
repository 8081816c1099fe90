"""Partners' connectors: taken in, examined, approved, upgraded, withdrawn, and seen by nobody else."""

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from packages_kit.steps import connection, names, settled, taken_in, upload, work

from trunkline.access.schemas import ConnectSessionIn, EndUser
from trunkline.audit.service import history
from trunkline.kernel.db import OPERATOR
from trunkline.kernel.errors import BadInputError, NotFoundError
from trunkline.kernel.ids import new_id
from trunkline.kernel.principal import SYSTEM, Principal
from trunkline.packages import repository
from trunkline.sdk.registry import Connectors
from trunkline.services import Services, build_services
from trunkline_connectors.catalogue import manifests

Make = Callable[..., bytes]


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
            await services.connections.clients.bring(
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


TELLS = """
[webhooks]
owner = "connection"
signatures = ["standard-webhooks"]
keyed_by = "us"
type = "type"
id = ["id"]
kinds = [{ type = "contact.*", stream = "contacts", ids = ["data.id"], document = "data" }]
"""
CONTRACT = """{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "events": {
    "contact.*": {
      "type": "object",
      "required": ["type", "data"],
      "properties": {
        "type": {"type": "string"},
        "id": {"type": "string"},
        "data": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
      }
    }
  }
}"""


async def test_its_contract_of_events_comes_with_it(services: Services, chief: Any, make: Make) -> None:
    tells = ("[[rates]]", f"{TELLS}\n[[rates]]")
    connectors = services.connectors
    await upload(chief, make("0.1.0", tells, contract=CONTRACT))
    assert await connectors.find_contract("acme@0.1.0") is None, "it is not examined yet"
    await taken_in(services, make("0.1.1", tells, contract=CONTRACT), chief)
    await taken_in(services, make("0.1.2", tells), chief)
    await taken_in(services, make("0.1.3", tells, contract='{"events": {"pattern": 1}}'), chief)
    found = await connectors.find_contract("acme@0.1.1")
    assert found is not None
    assert [one.words for one in found.deviations("contact.made", {"type": "contact.made"}) or ()] == [
        "data is gone"
    ]
    assert await connectors.find_contract("acme@0.1.2") is None, "it may send what it likes"
    assert await connectors.find_contract("acme@0.1.3") is None, "what cannot be used stops nothing"


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


async def test_a_withdrawal_that_lets_connections_keep_on(
    services: Services, people: Any, chief: Any, rows: Any, make: Make
) -> None:
    """Nobody connects it any more; who has connected notices nothing, a reconnect included."""
    globex = people.tenants["globex"].id
    path = await taken_in(services, make(), chief)
    await chief.post(f"{path}/approve", whom="some", tenants="globex", reason="Asked for")
    held = await rows.connection(globex, connector="acme", connector_version="0.1.0", name="Acme")
    done = await chief.post(f"{path}/withdraw", effect="keep", reason="No new ones")
    assert "nobody can connect it any more" in await chief.flash(done)
    await settled(services, globex)
    kept = await connection(services, globex, held)
    assert (kept.state, kept.cause, kept.connector_version) == ("active", None, "0.1.0")
    ada = Principal(kind="member", id="1", role="owner", label="Ada", tenant_id=globex)
    async with services.db.tenant(globex) as session:
        begun = await services.connections.begin(session, globex, ada, "acme", connection_id=held)
    assert "/connect/acme?state=" in begun.url
    async with services.db.tenant(globex) as session:
        await services.connections.pause(session, globex, held, ada)
        await services.connections.resume(session, globex, held, ada)
    with pytest.raises(NotFoundError):
        async with services.db.tenant(globex) as session:
            await services.connections.begin(session, globex, ada, "acme")
    page = (await chief.get(path)).text
    assert "Withdrawn" in page
    assert "Withdrawn, connections paused" not in page


async def test_what_is_not_approved_says_nothing_to_customers(
    services: Services, people: Any, chief: Any, make: Make
) -> None:
    """Its words stand on no page for them: they could be anything until somebody has looked."""
    path = await taken_in(services, make(), chief)
    await chief.post(f"{path}/approve", whom="some", tenants="globex", reason="Asked for")
    await taken_in(services, make("0.2.0", ('label = "Acme"', 'label = "Free money"')), chief)
    await services.connectors.refresh()
    assert services.connectors.get("acme").version == "0.1.0"
    assert [one.label for one in services.connectors.all() if one.name == "acme"] == ["Acme"]
    assert services.connectors.get("acme@0.2.0").label == "Free money"


async def test_a_package_that_the_rules_no_longer_allow_stops_nobody_elses(
    services: Services, people: Any, chief: Any, make: Make
) -> None:
    """The rules grow stricter; what was taken in before must not bring every process to a halt."""
    globex = people.tenants["globex"].id
    path = await taken_in(services, make(), chief)
    await chief.post(f"{path}/approve", whom="all", reason="Asked for")
    raw, oldest = make("0.1.0", name="oldest"), new_id()
    async with services.db.system() as session:
        values = {"id": oldest, "connector": "oldest", "version": "0.1.0", "partner": "Oldest Ltd"}
        kept = {"digest": "0" * 64, "archive": raw, "manifest": "label = 1", "uploaded_by": "Chief"}
        await repository.add(session, {**values, **kept})
        await repository.examined(session, oldest, [], None)
        await repository.count(session)
    old = f"/console/packages/{oldest}"
    await chief.post(f"{old}/approve", whom="all", reason="Asked for")
    other = build_services(services.settings, Connectors(manifests()), application="other")
    try:
        await other.start()
        assert names(other, globex)["acme"] == "0.1.0"
        assert "oldest" not in names(other, globex)
    finally:
        await other.close()
    assert "oldest" in (await chief.get("/console/packages")).text
    assert (await chief.get(old)).status_code == 200
    # its name stays its partner's
    answer = await upload(chief, make("0.1.1", name="oldest"), "Somebody Else")
    assert "a further version comes from them only" in answer.text.replace("&#39;", "'")


async def test_a_grade_and_its_evidence_are_shown_and_fall_with_a_rule(
    services: Services, people: Any, chief: Any, make: Make
) -> None:
    """What the worker found of each version, on the console's pages and for the portal's."""
    first = await upload(chief, make())
    path = first.headers["location"]
    await work(services, "examine_connector", OPERATOR, path.rpartition("/")[2])
    page = (await chief.get(path)).text
    assert "Silver" in page
    assert "Access is given" in page
    assert "connected by the usual way" in page
    scaffold = (resources.files("trunkline.kit") / "scaffold" / "manifest.toml").read_text()
    recipes = scaffold[scaffold.index("[[recipes]]") :]
    worse = await upload(chief, make("0.1.1", (recipes, "")))
    path = worse.headers["location"]
    await work(services, "examine_connector", OPERATOR, path.rpartition("/")[2])
    page = (await chief.get(path)).text
    assert "Bronze" in page
    assert "Suggest one for a stream." in page
    await services.connectors.refresh()
    grades = [services.connectors.grade("acme", version) for version in ("0.1.0", "0.1.1")]
    assert [one.grade for one in grades if one is not None] == ["silver", "bronze"]


async def test_the_widget_asks_for_what_will_be_connected(
    services: Services, people: Any, chief: Any, make: Make
) -> None:
    """Not in the words of a version that only another tenant may connect."""
    path = await taken_in(services, make(), chief)
    await chief.post(f"{path}/approve", whom="some", tenants="globex", reason="Asked for")
    path = await taken_in(services, make("0.2.0", ("Read contacts", "Read everything")), chief)
    await chief.post(f"{path}/approve", whom="some", tenants="initech", reason="Asked for")
    product = Principal(kind="product", id="k", role="product", label="Backend", tenant_id=None)
    asked = ConnectSessionIn(
        end_user=EndUser(id="1", name="Ada"), connectors=["acme", "hubspot"], origin="https://product.example"
    )
    for slug, version in (("globex", "0.1.0"), ("initech", "0.2.0")):
        tenant_id = people.tenants[slug].id
        async with services.db.tenant(tenant_id) as session:
            made = await services.access.create(session, tenant_id, product, asked)
        found = await services.access.redeem(made.id, made.token)
        assert found.connectors[0] == f"acme@{version}"
        assert (await services.connectors.find(found.connectors[1])).name == "hubspot"


async def test_markup_in_a_package_is_text_wherever_it_is_shown(
    services: Services, people: Any, chief: Any, visitors: Any, make: Make
) -> None:
    """Of every member that a person reads: console, portal, and the API's own description."""
    bad = "<img src=x onerror=alert(1)>{{ 7*7 }}"
    raw = make(
        "0.1.0",
        ('label = "Acme"', f'label = "Acme {bad}"'),
        ("Contacts of a Acme account.", bad),
        ("In Acme, under Settings, API.", bad),
        ("Read contacts", bad),
        ('label = "Contacts"', f'label = "{bad}"'),
        ("People in Acme.", bad),
        ('label = "Email"', f'label = "{bad}"'),
        ("By the email address.", bad),
        ("Every contact with its name and address.", bad),
        ('"https://developers.acme.example/changelog"', f'"{bad}"'),
    )
    sent = await upload(chief, raw, f"Acme {bad}", f"Asked {bad}")
    assert sent.status_code == 303, sent.text
    path = str(sent.headers["location"])
    await work(services, "examine_connector", OPERATOR, path.rpartition("/")[2])
    waiting = (await chief.get(path)).text
    await chief.post(f"{path}/approve", whom="all", reason=f"Asked {bad}")
    pages = {path: (await chief.get(path)).text, f"{path} before": waiting}
    for where in ("/console/packages", "/console/connectors", "/console/connectors/acme", "/console/audit"):
        pages[where] = (await chief.get(where)).text
    owner = await visitors("ada@globex.example")
    pages["/portal/connect"] = (await owner.get("/portal/connect")).text
    for where, page in pages.items():
        assert "<img src=x" not in page, where
        assert "onerror=alert(1)&gt;49" not in page, where
    assert sum("&lt;img src=x" in page for page in pages.values()) >= 5, {
        where: "&lt;img src=x" in page for where, page in pages.items()
    }
