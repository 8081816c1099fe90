"""The suite holds what a simulator tells, and what was captured, to the manifest and to webhooks.json."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from trunkline.kit.checking import check
from trunkline.kit.grading import grade
from trunkline.kit.package import open_package
from trunkline.kit.scaffolding import scaffold
from trunkline.kit.suite import Result, run
from trunkline.main import packages
from trunkline.sdk.simulator_fixture_hooks import FixtureHooks

HOOKS = """
[webhooks]
owner = "connection"
keyed_by = "us"
type = "event"
id = ["event_id"]
at = "sent_at"
signatures = [{ header = "X-Dock-Signature", signed = "{timestamp}.{body}", timestamp = { header = "X-Dock-At" } }]
kinds = [
  { type = "contact.erased", stream = "contacts", ids = ["contact.id"], deleted = true },
  { type = "contact.*", stream = "contacts", ids = ["contact.id"], document = "contact" },
]
"""
CONTRACT: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$defs": {
        "event": {
            "type": "object",
            "required": ["event", "contact"],
            "properties": {
                "event": {"type": "string"},
                "event_id": {"type": "string"},
                "sent_at": {"type": "string"},
                "contact": {
                    "type": "object",
                    "required": ["id"],
                    "properties": {"id": {"type": "integer"}, "email": {"type": ["string", "null"]}},
                },
            },
        }
    },
    "events": {"contact.*": {"$ref": "#/$defs/event"}},
}
EVENT: dict[str, Any] = {
    "event": "contact.renamed",
    "event_id": "e-1",
    "sent_at": "2026-11-02T10:00:00Z",
    "workspace": {"id": 12, "plan": "team"},
    "contact": {"id": 77, "email": "a@x.example"},
}


@pytest.fixture
def dock(tmp_path: Path) -> Path:
    scaffold("dock", tmp_path)
    folder = tmp_path / "dock"
    (folder / "manifest.toml").write_text((folder / "manifest.toml").read_text() + HOOKS)
    say(folder, CONTRACT)
    (folder / "fixtures" / "events").mkdir()
    return folder


def say(folder: Path, contract: dict[str, Any]) -> None:
    (folder / "webhooks.json").write_text(json.dumps(contract))


def capture(folder: Path, event: Any, name: str = "renamed") -> None:
    (folder / "fixtures" / "events" / f"{name}.json").write_text(json.dumps(event))


def asking(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The contract, with one more member of an event that it relies on."""
    made: dict[str, Any] = json.loads(json.dumps(CONTRACT))
    made["$defs"]["event"]["required"].append(name)
    made["$defs"]["event"]["properties"][name] = schema
    return made


async def judged(folder: Path) -> Result:
    package = open_package(folder)
    (found,) = await run(package.manifest, package.simulator(), ["events"], folder)
    return found


async def test_a_simulator_that_tells_as_promised_passes_and_says_what_was_seen(dock: Path) -> None:
    assert [str(one) for one in check(dock)] == []
    capture(dock, EVENT)
    found = await judged(dock)
    assert (found.state, found.detail) == (
        "passed",
        "4 events of 2 kinds; as webhooks.json says; 1 captured",
    )
    rules = {one.rule: one for one in (await grade(open_package(dock))).rules}
    assert (rules["events"].standing, rules["events"].detail) == ("done", found.detail)
    assert rules["registration"].standing == "exempt"


async def test_what_the_contract_asks_for_and_the_simulator_does_not_tell_is_named(dock: Path) -> None:
    say(dock, asking("workspace", {"type": "object"}))
    found = await judged(dock)
    assert found.state == "failed"
    assert (
        "created contacts: contact.created is not as webhooks.json says: workspace is gone." in found.detail
    )
    assert "put one that the provider delivered into fixtures/events" in found.detail
    rules = {one.rule: one for one in (await grade(open_package(dock))).rules}
    assert (rules["events"].grade, rules["events"].standing) == ("gold", "todo")
    # an event that was captured is the form of what is told
    capture(dock, EVENT)
    assert (await judged(dock)).state == "passed"


async def test_a_captured_event_that_deviates_is_named_with_the_difference(dock: Path) -> None:
    capture(dock, {**EVENT, "contact": {"id": "77"}}, "odd")
    capture(dock, {**EVENT, "event_id": ["x"]}, "unreadable")
    capture(dock, {**EVENT, "contact": {"email": "x"}}, "nobody")
    capture(dock, {**EVENT, "sent_at": "yesterday"}, "when")
    found = await judged(dock)
    assert found.state == "failed"
    for words in (
        "fixtures/events/odd.json: contact.renamed is not as webhooks.json says: contact.id is a text now",
        "fixtures/events/unreadable.json: it cannot be read: event_id is not a text",
        "fixtures/events/nobody.json: it cannot be read: contact.id is missing",
        "fixtures/events/when.json: contact.renamed: no time is at sent_at.",
    ):
        assert words in found.detail, found.detail


async def test_a_captured_signature_is_tried_with_its_secret(dock: Path) -> None:
    body, secret = json.dumps(EVENT), "of-an-address-that-is-gone"
    mac = hmac.digest(secret.encode(), f"1790000000.{body}".encode(), "sha256").hex()
    sent = {"X-Dock-At": "1790000000", "X-Dock-Signature": mac}
    capture(dock, {"headers": sent, "body": body, "secret": secret})
    assert (await judged(dock)).detail.endswith("1 captured, 1 with a signature")
    capture(dock, {"headers": sent, "body": body.replace("77", "78"), "secret": secret})
    found = await judged(dock)
    assert "renamed.json: its signature is another than the manifest makes" in found.detail
    capture(dock, {"headers": sent, "body": body, "secret": secret, "at": 1790009999})
    assert "is of another time than it arrived at" in (await judged(dock)).detail
    capture(dock, {"headers": {}, "body": body, "secret": secret})
    assert "its signature is not there" in (await judged(dock)).detail
    capture(dock, {"headers": sent, "body": EVENT, "secret": secret})
    with pytest.raises(Exception, match=r"renamed\.json:1: a signature is of the bytes as they came"):
        open_package(dock).simulator()


async def test_a_simulator_that_signs_or_tells_otherwise_fails(
    dock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = FixtureHooks.sign
    other = base64.b64encode(hashlib.sha256(b"x").digest()).decode()
    monkeypatch.setattr(FixtureHooks, "sign", lambda *given: {**plain(*given), "X-Dock-Signature": other})
    assert "its signature is another than the manifest makes" in (await judged(dock)).detail
    monkeypatch.setattr(FixtureHooks, "sign", plain)
    monkeypatch.setattr(
        FixtureHooks, "tried", lambda _, events, attempt: {**events[0], "event_id": f"{attempt}"}
    )
    assert "what is sent again is not known again by its id" in (await judged(dock)).detail
    monkeypatch.setattr(FixtureHooks, "events", lambda *_: [])
    assert (await judged(dock)).detail == "something changed of each kind, and nothing was told of it."


async def test_a_contract_that_cannot_be_used_is_no_contract_to_pass(dock: Path) -> None:
    (dock / "webhooks.json").write_text('{"events": [')
    found = await judged(dock)
    assert found.state == "failed"
    assert "It cannot be read" in found.detail
    assert "connector check" in found.detail


async def test_ours_fail_on_a_contract_that_says_otherwise(tmp_path: Path) -> None:
    (own,) = [one for one in packages() if one.manifest.name == "pipedrive"]
    text = (own.folder / "webhooks.json").read_text()
    assert '"entity"' in text
    (tmp_path / "webhooks.json").write_text(
        text.replace('"entity": {"type": "string"', '"entity": {"type": "object"')
    )
    assert (tmp_path / "webhooks.json").read_text() != text
    (found,) = await run(own.manifest, own.simulator(), ["events"], tmp_path)
    assert found.state == "failed"
    assert "meta.entity is a text now, no longer an object" in found.detail
