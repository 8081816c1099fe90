"""A manifest's [webhooks] says nothing that cannot be carried out."""

from typing import Any

import msgspec
import pytest

from trunkline.sdk.webhooks import Webhooks
from trunkline_connectors.catalogue import manifests

GOOD: dict[str, Any] = {
    "owner": "connection",
    "signatures": ["stripe"],
    "keyed_by": "us",
    "type": "type",
    "kinds": [
        {"type": "invoice.*", "stream": "invoices", "ids": ["data.object.id"], "document": "data.object"}
    ],
}


def test_the_first_rule_that_fits_counts() -> None:
    hooks = msgspec.convert(GOOD, Webhooks)
    found = hooks.kind("invoice.paid")
    assert found is not None
    assert found.stream == "invoices"
    assert hooks.kind("invoices.paid") is None
    assert hooks.kind("customer.created") is None


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ({"signatures": []}, "signatures"),
        ({"signatures": ["strip"]}, "strip"),
        ({"owner": "client", "keyed_by": "client"}, "account"),
        ({"keyed_by": "client"}, "client"),
        ({"keyed_by": "provider"}, "registration"),
        ({"kinds": [{"type": "a.b", "stream": "x", "ids": ["id"]}]}, "fetch"),
        ({"kinds": [{"type": "a.*.b", "stream": "x", "ids": ["id"]}]}, "type"),
        ({"body_limit": 10**9}, "body_limit"),
        ({"id_header": "webhook-id"}, "webhook-id"),
    ],
)
def test_what_cannot_work_is_refused_by_name(fault: dict[str, Any], word: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=word):
        msgspec.convert({**GOOD, **fault}, Webhooks)


def test_every_stream_that_events_name_is_one_of_the_connector() -> None:
    for manifest in manifests():
        for event in manifest.webhooks.kinds if manifest.webhooks else ():
            assert manifest.stream(event.stream) is not None, f"{manifest.name}: {event.type}"
