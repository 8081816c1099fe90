"""Recorded answers of Pipedrive, Zendesk and Freshdesk, read as the engine reads them: nothing is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from trunkline.kernel import strictjson
from trunkline.resilience.classify import classify_code
from trunkline.runs.documents import entries_of, page_of
from trunkline.sdk.paging import Seen, Turn, turn
from trunkline_connectors.catalogue import manifests

FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
MANIFESTS = {manifest.name: manifest for manifest in manifests()}
FILES = [
    path
    for name in ("pipedrive", "zendesk", "freshdesk")
    for path in sorted((FIXTURES / name).rglob("*.json"))
]
PAGES = {
    # file: (connector, stream, how it is read, entries)
    "v2.get.deals.200.json": ("pipedrive", "deals", "list", 1),
    "v2.get.deals.archived.200.json": ("pipedrive", "deals", "also", 1),
    "v2.get.organizations.200.json": ("pipedrive", "organizations", "list", 1),
    "v1.get.users.200.json": ("pipedrive", "users", "list", 2),
    "get.api.v2.incremental.tickets.cursor.200.default.json": ("zendesk", "tickets", "incremental", 1),
    "get.api.v2.incremental.organizations.200.default.json": ("zendesk", "organizations", "incremental", 1),
    "get.api.v2.incremental.users.200.default.json": ("zendesk", "users", "incremental", 1),
    "get.api.v2.users.200.default.json": ("zendesk", "users", "list", 2),
    "get.api.v2.organizations.search.200.default.json": ("zendesk", "organizations", "list", 2),
    "all_tickets.json": ("freshdesk", "tickets", "list", 1),
    "agents.json": ("freshdesk", "agents", "list", 2),
    "companies.json": ("freshdesk", "companies", "list", 2),
}
SINGLE = {
    "v2.get.persons._id_.200.json": ("pipedrive", "persons", "data"),
    "v2.post.persons.200.json": ("pipedrive", "persons", "data"),
    "v2.patch.deals._id_.200.json": ("pipedrive", "deals", "data"),
    "get.api.v2.users.me.200.default.json": ("zendesk", "users", "user"),
    "contact.json": ("freshdesk", "contacts", ""),
    "contact_1_agent.json": ("freshdesk", "contacts", ""),
    "ticket_1_updated.json": ("freshdesk", "tickets", ""),
    "company_updated.json": ("freshdesk", "companies", ""),
    "note_1.json": ("freshdesk", "conversations", ""),
}

pytestmark = pytest.mark.skipif(not FILES, reason="the shared fixtures are not beside this checkout")


def body_of(name: str) -> Any:
    (path,) = [path for path in FILES if path.name == name]
    found = json.loads(path.read_bytes())
    return found["body"] if isinstance(found, dict) and "request" in found else found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-4]}-{path.name}"[:90])
def test_every_recording_survives_what_the_engine_does_to_a_document(path):
    raw = path.read_bytes()
    kept = strictjson.canonical(strictjson.decode(raw))
    assert json.loads(kept) == json.loads(raw)


@pytest.mark.parametrize("name", PAGES)
def test_recorded_lists_are_pages_of_their_streams(name):
    connector, stream, kind, count = PAGES[name]
    spec = MANIFESTS[connector].stream(stream)
    assert spec is not None
    read = spec.also[0] if kind == "also" else getattr(spec, kind)
    body = body_of(name)
    page = page_of(spec, read, body, None, Turn(None))
    gone = [one.document for one in page.gone]
    assert [one.document for one in page.items] + gone == entries_of(read, body)
    assert len(page.items) + len(gone) == count


@pytest.mark.parametrize("name", SINGLE)
def test_recorded_objects_are_records_of_their_streams(name):
    connector, stream, key = SINGLE[name]
    spec = MANIFESTS[connector].stream(stream)
    assert spec is not None
    document = body_of(name)[key] if key else body_of(name)
    body = [document] if spec.list.records == "" else {spec.list.records: [document]}
    page = page_of(spec, spec.list, body, None, Turn(None))
    assert [(one.external_id, one.document) for one in page.items] == [(str(document["id"]), document)]
    assert page.items[0].modified_at is not None


def at(connector: str, stream: str, body: Any) -> Turn:
    spec = MANIFESTS[connector].stream(stream)
    assert spec is not None
    assert spec.incremental is not None
    entries = entries_of(spec.incremental, body)
    return turn(
        spec.incremental, Seen(body=body, headers={}, entries=entries, here=None, stay=lambda _: None)
    )


def test_where_recorded_pages_say_to_go_on():
    deals = body_of("v2.get.deals.200.json")
    assert at("pipedrive", "deals", deals).next == deals["additional_data"]["next_cursor"]
    tickets = body_of("get.api.v2.incremental.tickets.cursor.200.default.json")
    assert at("zendesk", "tickets", tickets) == Turn(None, tickets["after_cursor"])
    empty = {**tickets, "tickets": [], "after_cursor": None}
    assert at("zendesk", "tickets", empty) == Turn(None, None)
    organizations = body_of("get.api.v2.incremental.organizations.200.default.json")
    assert at("zendesk", "organizations", organizations).next is None


@pytest.mark.parametrize(
    ("connector", "status", "body", "headers", "code"),
    [
        (
            "pipedrive",
            401,
            b'{"success":false,"error":"unauthorized access","errorCode":401}',
            {},
            "token_expired",
        ),
        ("pipedrive", 400, b'{"success":false,"error":"invalid_grant"}', {}, "grant_revoked"),
        ("pipedrive", 429, b'{"success":false,"error":"request over limit"}', {}, "rate_limited"),
        ("pipedrive", 429, b"{}", {"x-daily-ratelimit-token-remaining": "0"}, "daily_limit"),
        ("pipedrive", 403, b'{"success":false,"error":"Scope and URL mismatch"}', {}, "missing_scope"),
        (
            "zendesk",
            429,
            b"Number of allowed API requests per minute exceeded",
            {"retry-after": "9"},
            "rate_limited",
        ),
        ("zendesk", 401, b'{"error":"invalid_token","error_description":"x"}', {}, "token_expired"),
        ("zendesk", 403, b'{"error":{"title":"Forbidden","message":"x"}}', {}, "missing_scope"),
        ("zendesk", 404, b'{"error":"RecordNotFound","description":"Not found"}', {}, "not_found"),
        ("freshdesk", 401, b'{"code":"invalid_credentials","message":"x"}', {}, "token_expired"),
        ("freshdesk", 403, b'{"code":"access_denied","message":"x"}', {}, "missing_scope"),
        ("freshdesk", 404, b"", {}, "not_found"),
        ("freshdesk", 429, b"", {"retry-after": "30"}, "rate_limited"),
    ],
)
def test_refusals_are_told_by_their_own_words(connector, status, body, headers, code):
    assert classify_code(MANIFESTS[connector], status, body, None, headers) == code
