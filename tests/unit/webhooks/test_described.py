"""Every event that is taken in stands in the API's description, with its schema and what proves it."""

from typing import Any

import jsonschema_rs
import pytest
from litestar import Litestar

from trunkline.kernel.openapi import _events, _Reference, complete, openapi_config
from trunkline.main import connectors
from trunkline.sdk.signatures import resolve
from trunkline.webhooks.described import described, types


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    items, schemas = described(connectors())
    app = Litestar([], openapi_config=openapi_config(items, schemas))
    return complete(app.openapi_schema.to_schema(), schemas)


def test_each_kind_of_each_connector_is_there(document: dict[str, Any]) -> None:
    told = {one.name: one for one in connectors().own() if one.webhooks is not None}
    assert len(told) == 5
    names = set(document["webhooks"])
    for name, manifest in told.items():
        hooks = manifest.webhooks
        assert hooks is not None
        contract = connectors().contract(name)
        assert contract is not None
        spelled = {one.type for one in hooks.kinds if not one.type.endswith("*")}
        spelled |= set(hooks.registration.events if hooks.registration else ())
        assert {f"{name}:{one}" for one in spelled} <= names
        for kind in hooks.kinds:
            covered = [one for one, _ in types(hooks, contract) if kind.fits(one.removesuffix("*"))]
            assert covered, f"{name}: {kind.type}"
    assert "custom:*" in names


def test_what_proves_it_is_said(document: dict[str, Any]) -> None:
    for manifest in connectors().own():
        if manifest.webhooks is None:
            continue
        wanted = {resolve(given).header for given in manifest.webhooks.signatures}
        one = next(
            item for name, item in document["webhooks"].items() if name.startswith(f"{manifest.name}:")
        )
        operation = one["post"]
        assert {given["name"] for given in operation["parameters"]} >= wanted
        assert operation["security"] == []
        assert "200" in operation["responses"]
    sent = document["webhooks"]["custom:*"]["post"]["parameters"]
    assert {one["name"] for one in sent} == {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_each_schema_is_whole_and_is_the_contracts(document: dict[str, Any]) -> None:
    meta = jsonschema_rs.meta
    for name, item in document["webhooks"].items():
        body = item["post"]["requestBody"]["content"]["application/json"]["schema"]
        schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
        assert schema["type"] == "object", name
    validator = jsonschema_rs.Draft202012Validator(
        {
            "$ref": document["webhooks"]["stripe:invoice.paid"]["post"]["requestBody"]["content"][
                "application/json"
            ]["schema"]["$ref"],
            "components": document["components"],
        }
    )
    event = {
        "id": "evt_1",
        "object": "event",
        "type": "invoice.paid",
        "created": 1,
        "data": {"object": {"id": "in_1", "object": "invoice"}},
    }
    assert validator.is_valid(event)
    assert not validator.is_valid({**event, "data": {"object": {}}})


def test_the_page_tells_of_alike_ones_once(document: dict[str, Any]) -> None:
    groups = _events(document)["Events from HubSpot"]
    told = [name for names, _ in groups for name in names]
    assert sorted(told) == sorted(name for name in document["webhooks"] if name.startswith("hubspot:"))
    assert len(groups) < len(told) / 2
    page = _Reference({}, path="/").render(None, document).decode()  # type: ignore[arg-type]
    for name in document["webhooks"]:
        assert f"<code>{name}</code>" in page or f"<h2>{name}</h2>" in page
    assert (
        page.count('href="#event-') == page.count('id="event-') == sum(map(len, _events(document).values()))
    )
