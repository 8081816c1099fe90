"""What a partner met who made a connector with the guide alone, and what the tools say of it now."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from trunkline.kit.checking import check
from trunkline.kit.grading import grade
from trunkline.kit.package import open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.kit.suite import Result, run
from trunkline.main import cli
from trunkline.sdk.simulator_clock import VirtualClock

MANIFEST = """\
name = "tidepool"
label = "Tide Pool"
version = "0.1.0"
category = "Bookings"
description = "Bookings of a Tide Pool."
base_url = "https://api.tidepool.example"
hosts = ["api.tidepool.example"]
api = { version = "2026-05", source = "https://tidepool.example/docs" }
correlation = "request_id"

[auth]
kind = "api_key"
headers = { x-tide-token = "{api_key}" }
scope_words = { read = "Read bookings" }
inputs = [{ name = "api_key", label = "API key", form = "key", secret = true }]

[account]
path = "/me"
id = "pool.id"
label = "pool.name"

[[rates]]
bucket = "default"
requests = 50
seconds = 60
scope = "account"

[[failures]]
status = 429
text = "Slow down"
failure = "rate_limited"

[[streams]]
name = "bookings"
label = "Bookings"
description = "Stays."
id = "ref"
modified = "touched"
fields = ["title", "state", ["total_cents", "Total", "number"]]
deleted = { pointer = "removed" }

[streams.list]
path = "/bookings"
query = { page = "{page}", size = "{page_size}" }
records = "items"
paginator = { kind = "page", pages = "page_count" }

[streams.incremental]
path = "/bookings"
query = { page = "{page}", size = "{page_size}", touched_after = "{since_iso}" }
records = "items"
paginator = { kind = "page", pages = "page_count" }

[webhooks]
owner = "connection"
keyed_by = "us"
by_hand = { steps = ["In Tide Pool, under Settings, Hooks, enter the address and the secret."] }
type = "kind"
id = ["uid"]
at = "sent"
signatures = [{ header = "X-Tide", signed = "{timestamp}.{body}", prefix = "v1=", separator = ",", timestamp = { header = "X-Tide", prefix = "t=" } }]
kinds = [{ type = "booking.*", stream = "bookings", ids = ["booking.ref"], document = "booking" }]

[[recipes]]
stream = "bookings"
model = "deal"
description = "Bookings as deals."
fields = [["name", "title"], ["amount", "total_cents"]]
mappings = [{ target = "status", field = "state", table = { held = "open", booked = "won", gone = "lost" } }]
"""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    scaffold("tidepool", tmp_path, "Tide Pool")
    folder = tmp_path / "tidepool"
    (folder / "fixtures" / "contacts.json").unlink()
    (folder / "manifest.toml").write_text(MANIFEST)
    accounts = [{"id": 31, "name": "Globex"}, {"id": 32, "name": "Empty"}]
    (folder / "fixtures" / "accounts.json").write_text(json.dumps(accounts))
    items = [
        {
            "ref": f"TP-{number:04}",
            "title": f"Booking {number}",
            "state": ("held", "booked", "gone")[number % 3],
            "total_cents": number * 1000,
            "touched": f"2026-01-{number:02}T08:00:00+00:00",
            "removed": number % 9 == 0,
        }
        for number in range(1, 26)
    ]
    answer = {"page": 1, "page_count": 1, "items": items}
    (folder / "fixtures" / "bookings.json").write_text(json.dumps(answer))
    return folder


def with_(folder: Path, old: str, new: str) -> None:
    assert old in MANIFEST
    (folder / "manifest.toml").write_text(MANIFEST.replace(old, new, 1))


async def mapped(folder: Path) -> Result:
    package = open_package(folder)
    (found,) = await run(package.manifest, package.simulator(), ["mapping"], folder)
    return found


async def test_captured_records_that_are_deleted_are_no_live_ones(pool: Path) -> None:
    """A provider that flags them lists them, so they are among what is captured."""
    assert [str(one) for one in check(pool)] == []
    found = await grade(open_package(pool))
    assert (found.grade, found.missing) == ("gold", ["api_lasts", "judged", "live", "actions"])
    shown = {one.rule: one.detail for one in found.rules}
    assert shown["mapping"] == "23 records by 1 recipe"
    simulator = open_package(pool).simulator()(clients=[], now=VirtualClock())
    truth = simulator.truth("31", "bookings")
    assert truth is not None
    assert len(truth) == 23
    assert "TP-0009" not in truth


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            ', table = { held = "open", booked = "won", gone = "lost" }',
            "",
            "23 of 23 records cannot be mapped: status",
        ),
        (
            'field = "state", table = { held = "open", booked = "won", gone = "lost" }',
            "expression = \"record.state == 'held' ? 'open' : \"",
            "bookings: ",
        ),
    ],
)
async def test_a_recipe_that_maps_nothing_is_no_suggestion(
    pool: Path, old: str, new: str, words: str
) -> None:
    with_(pool, old, new)
    found = await mapped(pool)
    assert found.state == "failed"
    assert words in found.detail


async def test_what_is_always_empty_is_said(pool: Path) -> None:
    with_(pool, '["amount", "total_cents"]', '["amount", "total_cents"], ["description", "notes"]')
    text = (pool / "manifest.toml").read_text()
    (pool / "manifest.toml").write_text(text.replace('"state", ["total', '"state", "notes", ["total', 1))
    found = await mapped(pool)
    assert (found.state, found.detail) == (
        "passed",
        "23 records by 1 recipe; always empty: bookings.description",
    )


def test_a_finding_says_what_to_write_in_words(pool: Path) -> None:
    with_(pool, 'keyed_by = "us"', 'keyed_by = "provider"')
    (found,) = check(pool)
    assert 'write "us" if they choose the secret, and "pasted" if the provider shows one' in found.message
    assert "`$" not in str(found)


def test_an_unknown_rule_is_told_with_those_that_there_are(pool: Path) -> None:
    said: Any = CliRunner().invoke(
        cli, ["connector", "test", str(pool), "--rule", "mapping", "--rule", "mappings"]
    )
    assert said.exit_code == 1
    assert "There is no rule called mappings; there are " in said.output
    assert "page_to_the_end" in said.output
