"""A partner's events are described to those who may connect its connector, and to nobody else."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs
import pytest

from trunkline.kernel.principal import SYSTEM
from trunkline.kit.scaffolding import scaffold
from trunkline.packages import repository
from trunkline.packages.archive import pack

HOOKS = """
[webhooks]
owner = "connection"
keyed_by = "us"
type = "event"
signatures = [{ header = "X-Quay-Signature", prefix = "v1=" }]
kinds = [
  { type = "contact.created", stream = "contacts", ids = ["contact.id"], document = "contact" },
  { type = "contact.*", stream = "contacts", ids = ["contact.id"], document = "contact" },
]
"""
CONTRACT = """{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "$defs": {"contact_created": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}},
  "events": {
    "contact.created": {
      "type": "object",
      "required": ["event", "contact"],
      "properties": {"event": {"type": "string"}, "contact": {"$ref": "#/$defs/contact_created"}}
    },
    "contact.*": {
      "type": "object",
      "required": ["event", "contact"],
      "properties": {"event": {"type": "string"}, "contact": {"$ref": "#/$defs/contact_created"}}
    }
  }
}"""


async def taken_in(stand: Any, folder: Path, name: str, tenants: Any) -> None:
    scaffold(name, folder)
    manifest = folder / name / "manifest.toml"
    manifest.write_text(manifest.read_text() + HOOKS)
    (folder / name / "webhooks.json").write_text(CONTRACT)
    made = await stand.services.packages.take_in(SYSTEM, pack(folder / name), f"{name} Ltd", "Asked for")
    async with stand.services.db.system() as session:
        await repository.examined(session, made.id, [], None)
        await repository.count(session)
    await stand.services.packages.approve(SYSTEM, made.id, tenants, "Asked for")


@pytest.fixture
async def other(stand: Any) -> Any:
    slug = f"t{uuid4().hex[:8]}"
    await stand.directory.create_tenant(slug, slug)
    key, _ = await stand.directory.create_api_key(slug)
    bound, _ = await stand.directory.create_api_key(
        slug, tenant_id=(await stand.directory.create_tenant(f"{slug}b", slug)).id
    )
    return stand.client(bound), stand.client(key)


async def test_only_who_may_connect_it_is_told(stand: Any, tmp_path: Path, other: Any) -> None:
    mine, (theirs, installation) = stand.client(), other
    await taken_in(stand, tmp_path, "quay", [stand.tenant_id])
    told = await mine.get("/v1/connectors/quay/events")
    assert told.status_code == 200, told.text
    document = told.json()
    assert document["openapi"] == "3.1.0"
    assert set(document["webhooks"]) == {"quay:contact.created", "quay:contact.*"}
    created = document["webhooks"]["quay:contact.created"]["post"]
    (header,) = created["parameters"]
    assert header["name"] == "X-Quay-Signature"
    validator = jsonschema_rs.Draft202012Validator(
        {
            "$ref": created["requestBody"]["content"]["application/json"]["schema"]["$ref"],
            "components": document["components"],
        }
    )
    assert validator.is_valid({"event": "contact.created", "contact": {"id": 1}})
    assert not validator.is_valid({"event": "contact.created", "contact": {"id": "1"}})
    assert not validator.is_valid({"id": 1})

    unknown = await theirs.get("/v1/connectors/nowhere/events")
    for client in (theirs, installation):
        refused = await client.get("/v1/connectors/quay/events")
        assert refused.status_code == 404
        assert refused.json()["detail"] == unknown.json()["detail"].replace("nowhere", "quay")
    # nor does the document that is one for all
    whole = await installation.get("/schema/openapi.json")
    assert "quay" not in whole.text
    assert "/v1/connectors/{connector}/events" in whole.json()["info"]["description"]


async def test_one_for_everybody_and_ours_are_told_to_all(stand: Any, tmp_path: Path, other: Any) -> None:
    await taken_in(stand, tmp_path, "pier", None)
    for client in (stand.client(), *other):
        assert (await client.get("/v1/connectors/pier/events")).status_code == 200
        ours = (await client.get("/v1/connectors/stripe/events")).json()
        assert "stripe:invoice.paid" in ours["webhooks"]
        assert "custom:*" in (await client.get("/v1/connectors/custom/events")).json()["webhooks"]
        polled = await client.get("/v1/connectors/freshdesk/events")
        assert (polled.status_code, "by webhooks" in polled.json()["detail"]) == (404, True)
