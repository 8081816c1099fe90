"""Models, connectors and recipes over the API."""

from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from trunkline.kernel.db import Database
from trunkline.kernel.principal import SYSTEM
from trunkline.recipes.definition import Mapping, RecipeDefinition
from trunkline.recipes.target import BUILT_IN
from trunkline.services import Services
from trunkline.web import Web
from trunkline_tenants.directory import Directory
from trunkline_tenants.seed import Seeded

from .conftest import ORIGIN

MODEL: dict[str, Any] = {
    "name": "parcel",
    "label": "Parcel",
    "version": 1,
    "fields": [{"name": "total", "label": "Total", "type": "number"}],
}


@pytest.fixture
async def api(web: Web, db: Database) -> Any:
    key, _ = await Directory(db).create_api_key("test")
    transport = httpx2.ASGITransport(app=web, raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
        yield client


async def test_connectors_with_their_suggestions(api: Any) -> None:
    found = (await api.get("/v1/connectors")).json()["connectors"]
    hubspot = next(one for one in found if one["name"] == "hubspot")
    assert {one["key"] for one in hubspot["recipes"]} >= {"contacts", "deals"}
    assert "Read contacts" in hubspot["permissions"]


async def test_declaring_a_model(api: Any, people: Seeded) -> None:
    built_in = {one["name"] for one in (await api.get("/v1/models")).json()["models"]}
    assert built_in == set(BUILT_IN)
    made = await api.post("/v1/models", json=MODEL)
    assert made.status_code == 201, made.text
    for query in ("", "?tenant=globex"):
        models = (await api.get(f"/v1/models{query}")).json()["models"]
        assert "parcel" in {one["name"] for one in models}
    twice = await api.post("/v1/models", json=MODEL)
    assert (twice.status_code, twice.json()["field"]) == (409, "version")
    assert (await api.post("/v1/models", json=MODEL | {"version": 2})).status_code == 201


async def test_a_wrong_model_names_its_fields(api: Any) -> None:
    wrong = MODEL | {"name": "Bad Name", "fields": [{"name": "a", "label": "", "type": "enum"}]}
    answer = await api.post("/v1/models", json=wrong)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert {one["field"] for one in answer.json()["errors"]} == {
        "name",
        "fields.0.label",
        "fields.0.enum_values",
    }
    for body in ({}, MODEL | {"fields": [{"name": "a"}]}, MODEL | {"version": "x"}, [1]):
        assert (await api.post("/v1/models", json=body)).status_code == 400


async def test_only_the_installation_declares(api: Any, db: Database, web: Web, people: Seeded) -> None:
    bound, _ = await Directory(db).create_api_key("bound", tenant_id=people.tenants["globex"].id)
    headers = {"authorization": f"Bearer {bound}"}
    assert (await api.post("/v1/models", json=MODEL, headers=headers)).status_code == 403
    assert (await api.post("/v1/models?tenant=globex", json=MODEL)).status_code == 403


async def test_recipes_of_a_connection(
    api: Any, services: Services, people: Seeded, tenant_id: UUID, connection_id: UUID
) -> None:
    async with services.db.tenant(tenant_id) as session:
        await services.recipes.install_suggested(
            session, tenant_id, SYSTEM, connection_id=connection_id, connector="hubspot", keys=["deals"]
        )
    address = f"/v1/connections/{connection_id}/recipes"
    found = (await api.get(f"{address}?tenant=globex")).json()["recipes"]
    assert [one["name"] for one in found] == ["Deals"]
    assert found[0]["definition"]["mappings"][0]["source"] == "dealname"
    assert (await api.get(f"{address}?tenant=initech")).status_code == 404
    assert (await api.get(f"/v1/connections/{uuid4()}/recipes?tenant=globex")).status_code == 404
    assert (await api.get(address)).status_code == 400


async def test_organisations_are_accounts_and_what_maps_them_to_companies_is_left_alone(
    services: Services, tenant_id: UUID, connection_id: UUID
) -> None:
    """Of before: suggested then, or made by hand with a name of its own."""
    place = {"connection_id": connection_id, "connector": "hubspot"}
    before = RecipeDefinition("companies", "company", (Mapping("name", source="name"),))
    async with services.db.tenant(tenant_id) as session:
        held = await services.recipes.create(
            session, tenant_id, SYSTEM, name="Our firms", definition=before, schedule_seconds=60, **place
        )
        made = await services.recipes.install_suggested(
            session, tenant_id, SYSTEM, keys=["companies", "contacts"], **place
        )
        present = await services.recipes.of_connection(session, tenant_id, connection_id)
        assert len(made) == 1
        kept = await services.recipes.get(session, tenant_id, held)
        assert (kept.model, kept.version, kept.definition) == ("company", 1, before)
        # it can still be changed
        version = await services.recipes.save(
            session, tenant_id, SYSTEM, held, connector="hubspot", name="Our firms", definition=before,
            schedule_seconds=900, based_on=1,
        )  # fmt: skip
        assert version == 2
    assert {(one.stream, one.model) for one in present} == {("companies", "company"), ("contacts", "contact")}
    async with services.db.tenant(tenant_id) as session:
        await services.recipes.set_archived(
            session, tenant_id, SYSTEM, held, connector="hubspot", archived=True
        )
        (new,) = await services.recipes.install_suggested(
            session, tenant_id, SYSTEM, keys=["companies"], **place
        )
        assert (await services.recipes.get(session, tenant_id, new)).model == "account"


async def test_the_schema_describes_it(web: Web, api: Any) -> None:
    paths = (await api.get("/schema/openapi.json")).json()["paths"]
    assert set(paths) >= {"/v1/models", "/v1/connectors", "/v1/connections/{connection_id}/recipes"}
