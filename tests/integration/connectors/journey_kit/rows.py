"""One row a connector, and what each provider's lists hold."""

from types import SimpleNamespace
from typing import Any

from journey_kit.way import Row

from trunkline_connectors.catalogue import manifests
from trunkline_connectors.freshdesk.simulator import FreshdeskSimulator
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_owners import OWNERS
from trunkline_connectors.hubspot.simulator_owners import render as owner
from trunkline_connectors.intercom.simulator import IntercomSimulator
from trunkline_connectors.pipedrive.simulator import PipedriveSimulator
from trunkline_connectors.salesforce.simulator import SalesforceSimulator
from trunkline_connectors.salesforce.simulator_org import document
from trunkline_connectors.stripe.simulator import StripeSimulator
from trunkline_connectors.stripe.simulator_schema import CURRENT
from trunkline_connectors.stripe.simulator_shapes import Shapes
from trunkline_connectors.zendesk.simulator import ZendeskSimulator


def pipedrive_truth(simulator: Any, account: str) -> dict[str, Any]:
    crm = simulator.crm
    return {
        kind: {item.id: crm.render(kind, item) for item in crm.store.walk(account, kind)}
        for kind in ("persons", "organizations", "deals")
    }


def zendesk_truth(simulator: Any, account: str) -> dict[str, Any]:
    desk = simulator.desk
    events = [desk.event(item, whole=True) for item in desk.store.walk(account, "comments")]
    comments = [
        {**event["child_events"][0], "ticket_id": event["ticket_id"], "timestamp": event["timestamp"]}
        for event in events
    ]
    return {
        "comments": {str(comment["id"]): comment for comment in comments},
        **{
            kind: {item.id: desk.render(account, kind, item) for item in desk.store.walk(account, kind)}
            for kind in ("tickets", "users", "organizations")
        },
    }


def freshdesk_truth(simulator: Any, account: str) -> dict[str, Any]:
    desk = simulator.desk
    return {
        kind: {
            item.id: desk.render(kind, item)
            for item in desk.store.walk(account, kind)
            if item.id in simulator.truth(account, kind)
        }
        for kind in ("tickets", "conversations", "contacts", "companies", "agents")
    }


def purge_users(simulator: Any, account: str, kind: str, own: str) -> None:
    (simulator.store.purge if kind == "users" else simulator.store.archive)(account, kind, own)


def purge_companies(simulator: Any, account: str, kind: str, own: str) -> None:
    if kind == "companies":
        simulator.store.purge(account, kind, own)
    else:
        simulator.store.archive(account, kind, own)


STRIPE_MAPPED = ("customers", "subscriptions", "invoices", "charges", "refunds", "disputes")


def stripe_truth(simulator: Any, account: str) -> dict[str, Any]:
    shapes = Shapes(simulator.store, account)
    found: dict[str, Any] = {}
    for kind in STRIPE_MAPPED:
        rows = simulator.store.walk(account, kind, archived=None)
        whole = [shapes.document(kind, item, CURRENT) for item in rows]
        found[kind] = {one["id"]: one for one in whole if not one.get("deleted")}
    return found


def intercom_truth(simulator: Any, account: str) -> dict[str, Any]:
    desk = simulator.desk
    shapes = desk.shapes(SimpleNamespace(account=account), 16)
    found = {
        kind: {
            simulator.public_id(kind, item.id): shapes.document(kind, item)
            for item in desk.store.walk(account, kind)
        }
        for kind in ("contacts", "companies", "conversations", "tickets", "admins")
    }
    found["conversation_parts"] = {
        part["id"]: {**part, "conversation_id": item.id}
        for item in desk.store.walk(account, "conversations")
        for part in shapes.document("conversations", item, parts=True)["conversation_parts"][
            "conversation_parts"
        ]
    }
    listed = desk.companies(account)
    ids = {simulator.public_id("companies", item.id) for item in listed}
    return {**found, "companies": {own: one for own, one in found["companies"].items() if own in ids}}


def hubspot_truth(simulator: Any, account: str) -> dict[str, Any]:
    crm, manifest = simulator.crm, next(one for one in manifests() if one.name == "hubspot")
    return {
        spec.name: {
            item.id: owner(item) if spec.name == OWNERS else crm.render(spec.name, item, spec.field_names)
            for item in crm.store.walk(account, spec.name)
        }
        for spec in manifest.streams
    }


SALESFORCE = ("contacts", "accounts", "opportunities", "users")


def salesforce_truth(simulator: Any, account: str) -> dict[str, Any]:
    specs = next(one for one in manifests() if one.name == "salesforce")
    found: dict[str, Any] = {}
    for kind in SALESFORCE:
        spec = specs.stream(kind)
        assert spec is not None
        rows = [simulator.records.row(kind, item) for item in simulator.store.walk(account, kind)]
        found[kind] = {row["Id"]: document(kind, row, spec.field_names) for row in rows}
    return found


ROWS = {
    "hubspot": Row(
        make=HubSpotSimulator,
        account="48120002",
        truth=hubspot_truth,
        kinds={kind: kind for kind in ("contacts", "companies", "deals", "tickets")},
        tombstones=("contacts", "companies", "deals", "tickets"),
        vanishing=(),
    ),
    "salesforce": Row(
        make=SalesforceSimulator,
        account="00DTL0000000002AAA",
        truth=salesforce_truth,
        kinds={kind: kind for kind in SALESFORCE},
        tombstones=("contacts", "accounts", "opportunities"),
        vanishing=("users",),
        prepare=lambda simulator: simulator.change_setting("batch", 15),
        remove=purge_users,
    ),
    "intercom": Row(
        make=IntercomSimulator,
        account="tlbh02bb",
        truth=intercom_truth,
        kinds={kind: kind for kind in ("contacts", "companies", "conversations", "tickets")},
        tombstones=("conversations",),
        vanishing=("contacts", "companies"),
        typed=lambda simulator, account: {"region": "eu"},
    ),
    "stripe": Row(
        make=StripeSimulator,
        account="acct_1TLnorthwind0001",
        truth=stripe_truth,
        kinds={kind: kind for kind in STRIPE_MAPPED},
        tombstones=("customers", "invoices"),
        vanishing=(),
    ),
    "pipedrive": Row(
        make=PipedriveSimulator,
        account="9120002",
        truth=pipedrive_truth,
        kinds={"persons": "persons", "organizations": "organizations", "deals": "deals"},
        tombstones=("deals",),
        vanishing=("persons", "organizations"),
    ),
    "zendesk": Row(
        make=ZendeskSimulator,
        account="12510002",
        truth=zendesk_truth,
        kinds={name: name for name in ("tickets", "users", "organizations", "comments")},
        tombstones=("tickets", "users"),
        vanishing=("organizations", "comments"),
        typed=lambda simulator, account: {"subdomain": "TinyRobots.zendesk.com"},
    ),
    "freshdesk": Row(
        make=FreshdeskSimulator,
        account="2043002",
        truth=freshdesk_truth,
        kinds={name: name for name in ("tickets", "contacts", "companies", "conversations")},
        tombstones=("tickets", "contacts"),
        vanishing=("companies", "conversations"),
        silent=("conversations",),
        typed=lambda simulator, account: {
            "domain": "paperlantern",
            "api_key": simulator.oauth.make_key(account),
        },
        remove=purge_companies,
    ),
}
