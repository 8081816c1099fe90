"""A partner's carrier: basic access by two inputs, events of each shipment, a secret that somebody pastes.

Made with the guide alone; each test is something that was in the way, or went wrong without a word.
"""

import json
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import pytest

from trunkline.kit.checking import check
from trunkline.kit.documenting import document
from trunkline.kit.grading import grade
from trunkline.kit.package import NoSimulatorError, open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.kit.suite import run
from trunkline.sandbox.actions import Actions
from trunkline.sandbox.app import create_sandbox
from trunkline.sdk.simulator_clock import VirtualClock

MANIFEST = """\
name = "parcelbase"
label = "Parcelbase"
version = "0.1.0"
category = "Logistics"
description = "Shipments of a Parcelbase account and where they are."
base_url = "https://api.parcelbase.example"
hosts = ["api.parcelbase.example"]
api = { version = "2026-02", source = "https://parcelbase.example/docs/changes", no_end_announced = 2026-11-20 }

correlation = "trace"

[auth]
kind = "basic"
username = "{account_no}"
password = "{api_key}"
scope_words = { read = "Read shipments and where they are", write = "Add notes" }

[[auth.inputs]]
name = "account_no"
label = "Account number"
example = "77"

[[auth.inputs]]
name = "api_key"
label = "API key"
help = "In Parcelbase, under Company, API access."
form = "key"
secret = true

[account]
path = "/v2/company"
id = "id"
label = "name"

[[rates]]
bucket = "default"
requests = 120
seconds = 60
scope = "account"

[[failures]]
status = 429
text = "Slow down"
failure = "rate_limited"

[[streams]]
name = "shipments"
label = "Shipments"
description = "What was booked."
id = "shipment_no"
modified = "changed_at"
fields = ["reference", "status", "consignee", ["changed_at", "Changed", "datetime"]]

[streams.list]
path = "/v2/shipments"
query = { limit = "{page_size}", offset = "{offset}" }
records = "shipments"
paginator = { kind = "offset" }
page_size = 50

[streams.incremental]
query = { limit = "{page_size}", offset = "{offset}", changed_after = "{since_iso}", sort = "changed_at" }

[[streams]]
name = "tracking"
label = "Tracking"
description = "Where a shipment has been."
id = "event_id"
parent = { stream = "shipments", field = "shipment_no" }
fields = ["code", "note", ["at", "At", "datetime"]]
list = { path = "/v2/shipments/{shipment_no}/events", records = "", paginator = { kind = "whole" } }
complete_seconds = 604800

[[actions]]
name = "add_note"
title = "Add a note"
description = "Beside what the carrier says of it."
stream = "tracking"
path = "/v2/shipments/{shipment}/events"
body = { note = "{note}", code = "note" }
id = "event_id"
repeat = "find"
find = { path = "/v2/shipments/{shipment}/events", records = "", match = { note = "{note}" }, id = "event_id" }
input = [
  { name = "shipment", label = "Shipment", required = true, example = "@shipments" },
  { name = "note", label = "Note", required = true, max_length = 500 },
]

[[recipes]]
stream = "shipments"
model = "ticket"
description = "Each shipment as a ticket."
fields = { subject = "reference", updated_at = "changed_at" }
mappings = [{ target = "status", field = "status", table = { booked = "new", moving = "open", delivered = "solved" } }]

[webhooks]
owner = "connection"
keyed_by = "pasted"
signatures = [{ header = "X-Parcel-Signature", encoding = "base64" }]
type = "event"
id = ["delivery_id"]
at = "sent_at"

[[webhooks.kinds]]
type = "shipment.*"
stream = "shipments"
ids = ["shipment.shipment_no"]
document = "shipment"


[webhooks.by_hand]
steps = [
  "In Parcelbase, open Company, Notifications, and choose New endpoint.",
  "Paste the address into URL, and choose Shipment under Events.",
  "Save. The page shows the endpoint's secret once: copy it.",
]
secret = "Endpoint secret"
test = "On the endpoint's page choose Send test."
"""
BY_ID = 'match = { note = "{note}" }, id = "event_id"'


def events() -> list[dict[str, Any]]:
    """None of every fourth shipment, else one to three."""
    listed = [(shipment, number) for shipment in range(1, 14) for number in range(shipment % 4)]
    return [
        {
            "event_id": identity,
            "shipment_no": f"SH{shipment:04}",
            "code": ("picked", "hub", "out")[number],
            "note": "At the door",
            "at": f"2026-01-{shipment:02}T0{number}:00:00Z",
        }
        for identity, (shipment, number) in enumerate(listed, 1)
    ]


@pytest.fixture
def carrier(tmp_path: Path) -> Path:
    scaffold("parcelbase", tmp_path)
    folder = tmp_path / "parcelbase"
    (folder / "fixtures" / "contacts.json").unlink()
    (folder / "manifest.toml").write_text(MANIFEST)
    accounts = [{"id": "77", "name": "Globex Logistics"}, {"id": "78", "name": "Empty Ltd"}]
    (folder / "fixtures" / "accounts.json").write_text(json.dumps(accounts))
    shipments = [
        {
            "shipment_no": f"SH{number:04}",
            "reference": f"Order {number}",
            "status": ("booked", "moving", "delivered")[number % 3],
            "consignee": f"person{number}@globex.example",
            "changed_at": f"2026-01-{number:02}T00:00:00Z",
        }
        for number in range(1, 14)
    ]
    keep(folder, "shipments", {"shipments": shipments, "paging": {"next": None}})
    keep(folder, "tracking", events())
    return folder


def keep(folder: Path, stream: str, answer: Any) -> None:
    (folder / "fixtures" / f"{stream}.json").write_text(json.dumps(answer))


def with_(folder: Path, old: str, new: str) -> None:
    assert old in MANIFEST
    (folder / "manifest.toml").write_text(MANIFEST.replace(old, new, 1))


async def said(folder: Path, *rules: str) -> dict[str, str]:
    package = open_package(folder)
    found = await run(package.manifest, package.simulator(), list(rules), folder)
    assert [one.detail for one in found if one.state == "failed"] == []
    return {one.rule: one.detail for one in found}


def by_shipment(*, carried: bool) -> dict[str, list[dict[str, Any]]]:
    made: dict[str, list[dict[str, Any]]] = {}
    for one in events():
        shipment = one["shipment_no"]
        made.setdefault(shipment, []).append(
            one if carried else {name: value for name, value in one.items() if name != "shipment_no"}
        )
    return made


async def test_it_is_gold_without_a_line_of_code(carrier: Path) -> None:
    assert [str(one) for one in check(carrier)] == []
    found = await grade(open_package(carrier), date(2026, 11, 26))
    assert (found.grade, found.missing) == ("gold", ["judged", "live"])


@pytest.mark.parametrize("answer", [events(), by_shipment(carried=False), by_shipment(carried=True)])
async def test_events_are_listed_of_their_shipment_alone(carrier: Path, answer: Any) -> None:
    keep(carrier, "tracking", answer)
    found = await said(carrier, "page_to_the_end", "incremental", "deletions")
    assert found["page_to_the_end"].endswith("tracking 19 in 13 pages")
    assert found["incremental"].endswith("tracking 1 of 19")
    assert found["deletions"].endswith("tracking told")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([{"event_id": 1, "code": "hub"}], "document 1 has no 'shipment_no'"),
        ({"SH0001": [{"event_id": 1}], "SH0099": [{"event_id": 2}]}, "2 is of SH0099, and there is no such"),
        ({"SH0001": {"events": []}}, "or by the ids of shipments"),
        ({"SH0001": ["hub"]}, "document 1 of 'SH0001' is no object"),
        ({"SH0001": [{"event_id": 1}], "SH0002": [{"event_id": 1}]}, "have one id, 1. Keep one"),
    ],
)
def test_a_fixture_that_does_not_say_whose_it_is(carrier: Path, answer: Any, words: str) -> None:
    keep(carrier, "tracking", answer)
    with pytest.raises(NoSimulatorError) as raised:
        open_package(carrier).simulator()
    assert words in str(raised.value)


async def test_in_the_sandbox_an_event_is_the_newest_shipments_and_moves_its_time(carrier: Path) -> None:
    clock = VirtualClock()
    simulator = open_package(carrier).simulator()(clients=[], now=clock)
    key = simulator.oauth.make_key("77")
    transport = httpx2.ASGITransport(app=create_sandbox([simulator]))  # type: ignore[arg-type]
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://s/parcelbase", auth=("77", key)
    ) as http:

        async def listed(shipment: str) -> list[Any]:
            answer = await http.get(f"/v2/shipments/{shipment}/events")
            return list(answer.json()) if answer.status_code == 200 else [answer.status_code]

        assert len(await listed("SH0013")) == 1
        actions = Actions(simulator)
        (made,) = actions.create("77", "tracking")
        assert simulator.store.ledger[-1].object_type == "shipments"
        assert [str(one["event_id"]) for one in await listed("SH0013")][-1:] == [made]
        assert {one["shipment_no"] for one in await listed("SH0013")} == {"SH0013"}

        actions.archive("77", "shipments", ids=["SH0013"])
        assert await listed("SH0013") == [404]
        assert await listed("SH9999") == [404]
        there = simulator.truth("77", "tracking")
        assert there is not None
        assert made not in there


async def test_what_was_found_without_an_id_is_not_written_again(carrier: Path) -> None:
    assert await said(carrier, "actions") == {"actions": "each with a lost answer: add_note"}
    with_(carrier, BY_ID, 'match = { note = "{note}" }')
    (found,) = check(carrier)
    assert 'in tracking it is at "event_id"' in found.message
    package = open_package(carrier)
    (tried,) = await run(package.manifest, package.simulator(), ["actions"], carrier)
    assert tried.detail == "a call failed as malformed_answer"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("username =", "user =", 'unknown field `user` (at auth). Did you mean "username"?'),
        ("owner =", "zzz =", "There it may say"),
        ('"pasted"', '"copied"', "Write one of client, pasted, provider, us."),
        ("[webhooks.by_hand]", "[webhooks.by_hnd]", 'Did you mean "by_hand"?'),
        ("Paste the address", "Paste {address}", "nothing is filled in"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(carrier: Path, old: str, new: str, words: str) -> None:
    with_(carrier, old, new)
    assert any(words in str(one) for one in check(carrier)), [str(one) for one in check(carrier)]


async def test_where_a_person_enters_the_address_gold_says_how(carrier: Path) -> None:
    text = MANIFEST.partition("[webhooks.by_hand]")[0].replace('"pasted"', '"us"')
    (carrier / "manifest.toml").write_text(text)
    found = await grade(open_package(carrier), date(2026, 11, 26))
    assert (found.grade, found.missing) == ("silver", ["webhooks", "judged", "live"])


def test_its_page_says_what_a_person_does(carrier: Path) -> None:
    page = document(open_package(carrier).manifest)
    assert "pastes the provider's endpoint secret there." in page
    assert "3. Save. The page shows the endpoint's secret once: copy it." in page
    assert "4. For a trial: On the endpoint's page choose Send test." in page


def test_the_sandbox_shows_a_secret_of_its_own(carrier: Path) -> None:
    simulator = open_package(carrier).simulator()(clients=[], now=VirtualClock())
    made = Actions(simulator).add_webhook("77", "https://x.example/hooks/parcelbase/k", "")
    assert len(made.secret) >= 32
    assert simulator.webhooks.of("77")[0].secret == made.secret
