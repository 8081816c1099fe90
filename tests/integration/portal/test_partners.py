"""What customers see of a partner's connector: how well it is proven, and how its webhooks are entered."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from trunkline.kernel.principal import SYSTEM
from trunkline.kit.scaffolding import scaffold
from trunkline.packages import repository
from trunkline.packages.archive import pack
from trunkline.sdk.quality import Graded, Judged
from trunkline.services import Services
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


@pytest.fixture
async def acme(services: Services, tmp_path: Path) -> None:
    """The scaffold with webhooks, graded and open to every tenant."""
    scaffold("acme", tmp_path)
    manifest = tmp_path / "acme" / "manifest.toml"
    manifest.write_text(manifest.read_text() + HOOKS)
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
