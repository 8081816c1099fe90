"""A connector unlike the scaffold, made as the guide says: a desk with numbered pages, fields that lie deeper, a
flag for what is deleted, a key, and webhooks that are signed. No code, and fixtures as they came.
"""

import json
from datetime import date
from pathlib import Path

import pytest

from trunkline.kit.checking import check
from trunkline.kit.grading import grade
from trunkline.kit.package import open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.packages.archive import pack, read
from trunkline.sandbox.actions import Actions, ControlError
from trunkline.sdk.signatures import resolve
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.webhooks.events import split
from trunkline.webhooks.signatures import Delivery, Scheme

MANIFEST = """\
name = "harbourdesk"
label = "Harbourdesk"
version = "0.1.0"
category = "Support"
description = "Tickets and requesters of a Harbourdesk."
base_url = "https://{desk}.harbourdesk.example"
hosts = ["{desk}.harbourdesk.example"]
api = { version = "v1", source = "https://harbourdesk.example/docs/changelog" }
correlation = "error.request_id"

[auth]
kind = "api_key"
headers = { x-desk-key = "{api_key}" }
scope_words = { read = "Read tickets and requesters" }

[[auth.inputs]]
name = "desk"
label = "Harbourdesk address"
example = "globex"
suffix = ".harbourdesk.example"

[[auth.inputs]]
name = "api_key"
label = "API key"
help = "In Harbourdesk, under Admin, API."
form = "key"
secret = true

[account]
path = "/api/{api_version}/desk"
id = "desk.id"
label = "desk.name"

[[rates]]
bucket = "default"
requests = 120
seconds = 60
scope = "account"

[[failures]]
status = 403
equals = { "error.code" = "quota_exceeded" }
failure = "daily_limit"

[[streams]]
name = "tickets"
label = "Tickets"
description = "Requests for help."
id = "ticket.number"
modified = "ticket.meta.updated_at"
values = "ticket.attributes"
fields = [
  { name = "subject", label = "Subject" },
  { name = "state", label = "State", type = "enum", options = ["open", "solved"] },
  { name = "requester_id", label = "Requester" },
]
deleted = { pointer = "ticket.meta.deleted" }

[streams.list]
path = "/api/{api_version}/tickets"
query = { page = "{page}", per_page = "{page_size}" }
records = "result.tickets"
page_size = 50
paginator = { kind = "page", pages = "result.pages" }

[streams.incremental]
path = "/api/{api_version}/tickets"
query = { page = "{page}", per_page = "{page_size}", updated_after = "{since_iso}" }
records = "result.tickets"
page_size = 50
paginator = { kind = "page", pages = "result.pages" }
order = "any"
overlap_seconds = 120

[webhooks]
owner = "connection"
keyed_by = "us"
by_hand = { steps = ["In Harbour Desk, under Settings, Webhooks, choose New.", "Enter the address and the secret."] }
type = "event"
id = ["event_id"]
at = "sent_at"
signatures = [{ header = "X-Harbour-Signature", prefix = "sha256=" }]
kinds = [
  { type = "ticket.removed", stream = "tickets", ids = ["ticket.number"], deleted = true },
  { type = "ticket.*", stream = "tickets", ids = ["ticket.number"], document = "" },
]

[[recipes]]
key = "tickets"
name = "Tickets"
description = "Every ticket with its subject and state."
stream = "tickets"
model = "ticket"
fields = { subject = "subject" }
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    scaffold("harbourdesk", tmp_path)
    folder = tmp_path / "harbourdesk"
    (folder / "fixtures" / "contacts.json").unlink()
    (folder / "manifest.toml").write_text(MANIFEST)
    hosts = ("globex.harbourdesk.example", "initech.harbourdesk.example")
    accounts = [{"id": 500 + number, "name": f"Desk {number}", "host": hosts[number]} for number in (0, 1)]
    (folder / "fixtures" / "accounts.json").write_text(json.dumps(accounts))
    tickets = [
        {
            "ticket": {
                "number": 700 + number,
                "attributes": {"subject": f"Printer {number}", "state": "open", "requester_id": "41"},
                "meta": {"updated_at": f"2026-01-{number:02d}T08:00:00Z", "deleted": False},
            }
        }
        for number in range(1, 24)
    ]
    answer = {"result": {"tickets": tickets, "pages": 1}}
    (folder / "fixtures" / "tickets.json").write_text(json.dumps(answer))
    return folder


async def test_it_is_gold_without_a_line_of_code(desk: Path) -> None:
    assert [str(one) for one in check(desk)] == []
    found = await grade(open_package(desk), date(2026, 11, 26))
    assert (found.grade, found.missing) == ("gold", ["api_lasts", "judged", "live", "actions"])
    shown = {one.rule: one.detail for one in found.rules}
    assert shown["page_to_the_end"] == "tickets 23 in 3 pages"
    assert shown["deletions"] == "tickets told"
    assert shown["read"] == "1 stream"
    assert shown["api_lasts"].startswith("Give [api] `ends`")
    assert set(read(pack(desk)).data()) == {
        "manifest.toml",
        "fixtures/accounts.json",
        "fixtures/tickets.json",
    }


async def test_what_its_simulator_tells_is_what_its_manifest_reads(desk: Path) -> None:
    """To the address that a person of the account entered, signed; the two were written apart."""
    package = open_package(desk)
    hooks = package.manifest.webhooks
    assert hooks is not None
    simulator = package.simulator()(clients=[], now=VirtualClock())
    actions = Actions(simulator)
    for url, secret in (("ftp://x", "s" * 8), ("https://x.example", "short"), ("https://", "s" * 8)):
        with pytest.raises(ControlError):
            actions.add_webhook("500", url, secret)
    actions.add_webhook("500", "https://old.example/hooks/x", "s" * 8)
    actions.add_webhook("500", "https://old.example/hooks/x", "s3cret-of-ours")
    teller = simulator.teller("", str)
    assert teller is not None
    (hook,) = teller.hooks("500")
    assert teller.hooks("501") == []
    (public,) = actions.create("500", "tickets")
    actions.change("500", "tickets", ids=["701"])
    actions.archive("500", "tickets", ids=["702"])
    told = [event for entry in simulator.store.ledger for event in teller.events(entry, hook)]
    assert [one["event"] for one in told] == ["ticket.created", "ticket.updated", "ticket.removed"]
    assert [str(one["ticket"]["number"]) for one in told] == [public, "701", "702"]
    assert told[1]["ticket"]["attributes"]["subject"].startswith("changed")
    scheme, at = Scheme(resolve(hooks.signatures[0])), 1_790_000_000.0
    for event in told:
        body = json.dumps(teller.tried([event], 0)).encode()
        sent = {name.lower(): value for name, value in teller.sign(hook, body, at).items()}
        assert scheme.verify([b"s3cret-of-ours"], Delivery("POST", hook.url, sent, body), at).ok
        (found,) = split(hooks, body)
        kind = hooks.kind(found.type)
        assert kind is not None
        assert kind.deleted == (found.type == "ticket.removed")
        assert found.occurred_at is not None
    assert len({split(hooks, json.dumps(one).encode())[0].identity for one in told}) == 3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'stream = "tickets", ids = ["ticket.number"], deleted',
            'stream = "tikets", ids = ["ticket.number"], deleted',
            'Did you mean "tickets"',
        ),
        (
            '{ type = "ticket.*", stream = "tickets", ids = ["ticket.number"]',
            '{ type = "ticket.*", stream = "tickets", ids = []',
            "it names no record",
        ),
        (
            ', document = "" },\n]',
            ' },\n]\n[[webhooks.fetches]]\nstream = "tickets"\npath = "/t"\nrecords = "x"',
            "does not say which records",
        ),
        (
            ', document = "" },\n]',
            ' },\n]\n[[webhooks.fetches]]\nstream = "tickets"\npath = "/t/{id}"\nrecords = "x"',
            "Write batch = 1",
        ),
        (
            ', document = "" },\n]',
            ' },\n]\n[[webhooks.fetches]]\nstream = "tickets"\npath = "/t/{idz}/{ids}"\nrecords = "x"',
            "{idz} is no value",
        ),
        (
            ', document = "" },\n]',
            ' },\n]\n[[webhooks.fetches]]\nstream = "tickets"\nbucket = "x"\npath = "/t/{ids}"\nrecords = "x"',
            "no rate is declared",
        ),
    ],
)
def test_a_mistake_in_its_webhooks_is_found_in_its_line(desk: Path, old: str, new: str, words: str) -> None:
    path = desk / "manifest.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    found = check(desk)
    assert any(words in str(one) for one in found), [str(one) for one in found]
    assert all(one.line > 60 for one in found)
