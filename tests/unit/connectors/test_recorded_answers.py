"""Recorded answers of HubSpot, Stripe, Intercom and Salesforce, read as the engine reads them: nothing is lost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trunkline.kernel import strictjson
from trunkline.resilience.classify import classify_code
from trunkline.runs.documents import page_of
from trunkline.sdk.paging import Seen, Turn, turn
from trunkline.sdk.pointers import point
from trunkline_connectors.catalogue import manifests

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
MANIFESTS = {manifest.name: manifest for manifest in manifests()}
FILES = [
    path
    for name in ("hubspot", "stripe", "intercom", "salesforce")
    for path in sorted((FIXTURES / name).rglob("*.json"))
]
STRIPE = {
    "customer": "customers",
    "product": "products",
    "price": "prices",
    "subscription": "subscriptions",
    "invoice": "invoices",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
}

pytestmark = pytest.mark.skipif(not FILES, reason="the shared fixtures are not beside this checkout")


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document, itself included."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from inside(item)


def read(name: str, stream: str, kind: str, body: Any) -> Any:
    spec = MANIFESTS[name].stream(stream)
    assert spec is not None
    return page_of(spec, getattr(spec, kind), body, None, Turn(None))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-4]}-{path.name}"[:90])
def test_every_recording_survives_what_the_engine_does_to_a_document(path):
    raw = path.read_bytes()
    kept = strictjson.canonical(strictjson.decode(raw))
    assert json.loads(kept) == json.loads(raw)


@pytest.mark.parametrize("stream", ["companies", "tickets"])
def test_hubspots_lists_are_pages_of_their_streams(stream):
    folder = FIXTURES / "hubspot/permissive/dlt-verified-sources"
    body = json.loads((folder / f"mock_{stream}_data.json").read_bytes())
    page = read("hubspot", stream, "list", body)
    assert [(one.external_id, one.document) for one in page.items] == [
        (one["id"], one) for one in body["results"]
    ]
    assert all(one.modified_at for one in page.items)
    assert len(page.items) > 1


def stripe_objects(event: bool) -> list[Any]:
    found = []
    for path in FILES:
        if "stripe" in path.parts:
            for item in inside(json.loads(path.read_bytes())):
                is_event = item.get("object") == "event" and isinstance(item.get("data"), dict)
                if is_event if event else (str(item.get("object")) in STRIPE and item.get("id")):
                    found.append(item)
    return found


def test_stripes_objects_are_records_of_their_streams():
    seen = set()
    for item in stripe_objects(event=False):
        page = read(
            "stripe", STRIPE[item["object"]], "list", {"object": "list", "data": [item], "has_more": False}
        )
        assert [(one.external_id, one.document) for one in page.items] == [(item["id"], item)]
        seen.add(item["object"])
    assert seen >= {"customer", "product", "price", "subscription", "invoice", "charge", "dispute", "refund"}


def test_stripes_events_reach_the_stream_of_what_they_happened_to():
    reached = set()
    for event in stripe_objects(event=True):
        stream = STRIPE.get(event["data"]["object"].get("object"))
        whole = event["type"].count(".") == 1 or event["type"].startswith(
            ("customer.subscription", "charge.dispute")
        )
        if stream is None or not whole:
            continue  # of a source, a discount, an account: none of our streams
        page = read("stripe", stream, "incremental", {"object": "list", "data": [event], "has_more": False})
        document = event["data"]["object"]
        if event["type"].endswith("_will_end") or event["type"].endswith("_action_required"):
            assert len(page.items) <= 1
            continue
        assert [one.document for one in [*page.items, *page.gone]] == [document], event["type"]
        reached.add(event["type"])
    assert len(reached) >= 12


def intercom(status: range) -> list[tuple[str, Any]]:
    recorded = [json.loads(path.read_bytes()) for path in FILES if "intercom-openapi-examples" in path.parts]
    return [(one["request"]["path"], one) for one in recorded if one["status"] in status]


def test_intercoms_lists_are_pages_of_their_streams():
    streams = {
        "/companies": ("companies", "list", "data"),
        "/contacts/search": ("contacts", "incremental", "data"),
        "/conversations": ("conversations", "list", "conversations"),
        "/conversations/search": ("conversations", "incremental", "conversations"),
        "/admins": ("admins", "list", "admins"),
    }
    count = 0
    for path, recorded in intercom(range(200, 201)):
        if path not in streams or recorded["request"]["method"] != ("POST" if "search" in path else "GET"):
            continue
        stream, kind, key = streams[path]
        body = recorded["body"]
        page = read("intercom", stream, kind, body)
        assert [one.document for one in page.items] == body[key]
        count += 1
    assert count >= 4


def test_intercoms_deleted_conversations():
    (body,) = [one["body"] for path, one in intercom(range(200, 201)) if path == "/conversations/deleted"]
    spec = MANIFESTS["intercom"].stream("conversations")
    assert spec is not None
    (deletions,) = spec.deletions
    page = page_of(spec, deletions, body, None, Turn(None))
    assert [one.external_id for one in page.items] == ["512", "513"]
    seen = Seen(body=body, headers={}, entries=body["conversations"], here=None, stay=lambda _: None)
    assert turn(deletions, seen).next == "2"


def test_what_was_said_in_intercoms_conversations():
    spec = MANIFESTS["intercom"].stream("conversation_parts")
    assert spec is not None
    count = 0
    for path, recorded in intercom(range(200, 201)):
        body = recorded["body"]
        if not path.startswith("/conversations/") or "conversation_parts" not in body:
            continue
        parts = body["conversation_parts"]["conversation_parts"]
        page = page_of(spec, spec.list, body, None, Turn(None), parent=body["id"])
        assert [one.document for one in page.items] == [
            {**part, "conversation_id": body["id"]} for part in parts
        ]
        assert page.total == body["conversation_parts"]["total_count"] == len(parts)
        count += len(parts)
    assert count


def test_errors_are_told_by_their_own_words():
    known = {
        401: {"grant_revoked", "token_rejected"},
        403: {"forbidden", "missing_scope"},
        404: {"not_found"},
    }
    count = 0
    for path, recorded in intercom(range(400, 500)):
        raw = json.dumps(recorded["body"]).encode()
        code = classify_code(MANIFESTS["intercom"], recorded["status"], raw, None, {})
        assert code in known.get(recorded["status"], {"bad_request", "not_found"}), path
        count += 1
    assert count > 10
    folder = FIXTURES / "salesforce/permissive/restforce"
    for name, status, code in (
        ("expired_session_response", 401, "token_expired"),
        ("refresh_error_response", 400, "grant_revoked"),
        ("auth_error_response", 400, "grant_revoked"),
        ("sobject.write_error_response", 400, "schema_drift"),
        ("sobject.sobject_find_error_response", 404, "not_found"),
    ):
        raw = (folder / f"{name}.json").read_bytes()
        assert classify_code(MANIFESTS["salesforce"], status, raw, None, {}) == code, name


def test_salesforces_pages_and_tokens():
    folder = FIXTURES / "salesforce/permissive/restforce"

    def fixture(name: str) -> Any:
        return json.loads((folder / f"{name}.json").read_bytes())

    body = fixture("sobject.org_query_response")
    page = read("salesforce", "contacts", "list", body)
    assert [one.document for one in page.items] == body["records"]
    assert len(page.items) == body["totalSize"]
    assert read("salesforce", "contacts", "list", fixture("sobject.query_empty_response")).items == []
    first = fixture("sobject.query_paginated_first_page_response")
    spec = MANIFESTS["salesforce"].stream("contacts")
    assert spec is not None
    seen = Seen(body=first, headers={}, entries=first["records"], here=None, stay=lambda address: address)
    assert turn(spec.list, seen).next == first["nextRecordsUrl"]
    tokens = fixture("reauth_success_response")
    (kept,) = [way.keep for way in MANIFESTS["salesforce"].ways]
    assert {name: point(tokens, at) for name, at in kept.items()} == {
        "instance_url": "https://na1.salesforce.com"
    }
    assert "expires_in" not in tokens
