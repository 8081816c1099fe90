"""Simulated documents against Stripe's specification, the vendor's sample objects and its client's annotations."""

import json
from pathlib import Path

import pytest

from trunkline.sdk.simulator_clock import VirtualClock
from trunkline_connectors.stripe.simulator import StripeSimulator
from trunkline_connectors.stripe.simulator_schema import CURRENT, KINDS
from trunkline_connectors.stripe.simulator_seed import BUSINESSES
from trunkline_connectors.stripe.simulator_shapes import Shapes

BIG = BUSINESSES[0].id
SPEC = "stripe/stripe-v1-2023-08-16.json"
OLD = "2023-08-16"
SPECIFIED = [kind for kind in KINDS if kind != "disputes"]  # the slice leaves disputes out


@pytest.fixture(scope="module")
def documents():
    simulator = StripeSimulator(now=VirtualClock())
    shapes = Shapes(simulator.store, BIG)

    def made(kind, version):
        rows = simulator.store.walk(BIG, kind, archived=None)
        return [shapes.document(kind, item, version) for item in rows]

    return made


@pytest.mark.parametrize("kind", SPECIFIED)
def test_every_document_is_what_the_specification_says(documents, spec, kind):
    checked = spec(SPEC)
    body = {"object": "list", "url": f"/v1/{kind}", "has_more": False, "data": []}
    live = [document for document in documents(kind, OLD) if not document.get("deleted")]
    assert len(live) > 3
    assert checked.wrong(checked.schema("get", f"/v1/{kind}"), {**body, "data": live}) == set()


@pytest.mark.parametrize("kind", SPECIFIED)
def test_nothing_the_specification_knows_is_made_up(documents, spec, kind):
    known = set(spec(SPEC).document["components"]["schemas"][KINDS[kind].noun]["properties"])
    newer = {
        "customers": {"customer_account"},
        "products": {"default_price", "type"},
        "prices": set(),
        "subscriptions": {"billing_cycle_anchor_config", "customer_account", "invoice_settings"},
        "invoices": {"automatically_finalizes_at", "customer_account", "issuer", "rendering"},
        "charges": set(),
        "refunds": {"destination_details", "livemode"},
    }[kind]
    for document in documents(kind, OLD):
        assert set(document) - known - newer - {"deleted"} == set()


@pytest.mark.parametrize("kind", list(KINDS))
def test_current_documents_have_the_members_of_the_vendors_samples(documents, kind):
    path = Path(__file__).parents[5] / "shared/specs/stripe/fixtures3.json"
    if not path.exists():
        pytest.skip("the shared specs are not beside this checkout")
    sample = json.loads(path.read_text(encoding="utf-8"))["resources"][KINDS[kind].noun]
    for document in documents(kind, CURRENT):
        if document.get("deleted"):
            continue
        assert set(document) - set(sample) <= {"payments", "livemode", "customer_account"}
        for name in set(document) & set(sample):
            mine, theirs = document[name], sample[name]
            if mine is not None and theirs is not None:
                assert isinstance(mine, type(theirs)), name


@pytest.mark.parametrize("kind", list(KINDS))
def test_current_documents_have_what_the_clients_annotations_require(documents, kind):
    path = Path(__file__).parents[5] / "shared/specs/stripe/stripe-sdk-current-shapes.json"
    if not path.exists():
        pytest.skip("the shared specs are not beside this checkout")
    shape = json.loads(path.read_text(encoding="utf-8"))["resources"].get(KINDS[kind].noun)
    if shape is None:
        pytest.skip("not among the annotated ones")
    fields = shape["fields"]
    always = {
        name for name, kind in fields.items() if not kind.startswith(("Optional", "NotRequired", "ClassVar"))
    }
    for document in documents(kind, CURRENT):
        if document.get("deleted"):
            continue
        assert set(document) - set(fields) - {"object"} <= {"livemode"}
        assert {name for name in always if document.get(name) is None} == set()


def test_a_deleted_one_is_its_id_and_the_fact(documents, spec):
    gone = [document for document in documents("customers", CURRENT) if document.get("deleted")]
    assert gone
    checked = spec(SPEC)
    for document in gone:
        assert checked.wrong({"$ref": "#/components/schemas/deleted_customer"}, document) == set()
