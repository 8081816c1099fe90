"""Every connector's events against its contract: the simulators', and those that were recorded."""

import json
from pathlib import Path
from typing import Any

import pytest

from trunkline.kit.checking import check
from trunkline.main import packages
from trunkline.sandbox.actions import Actions, ControlError
from trunkline.sdk.contracts import Contract
from trunkline.sdk.simulator_hooks import Webhook
from trunkline.webhooks.events import UnparsableError, split
from trunkline_connectors.catalogue import contracts, manifests, simulators

MANIFESTS = {one.name: one for one in manifests()}
TOLD = sorted(one.name for one in manifests() if one.webhooks is not None)
FIXTURES = Path(__file__).parents[4] / "shared" / "fixtures"
RECORDED = {
    "hubspot": ("permissive/hookdeck-webhook-samples",),
    "stripe": ("permissive/hookdeck-webhook-samples", "permissive/dj-stripe"),
    "zendesk": ("permissive/zendesk-go",),
    "intercom": ("permissive/zulip",),
    "pipedrive": ("permissive/hookdeck-webhook-samples",),
}
FILES = [
    (name, path)
    for name, folders in RECORDED.items()
    for folder in folders
    for path in sorted((FIXTURES / name / folder).glob("*.json"))
    if folder != "permissive/dj-stripe" or path.name.startswith("event_")
]


def deviations(name: str, body: bytes) -> list[str]:
    """In words, of each event of a body that the manifest has a kind for."""
    hooks = MANIFESTS[name].webhooks
    assert hooks is not None
    found: list[str] = []
    for event in split(hooks, body):
        if hooks.kind(event.type) is not None:
            told = contracts()[name].deviations(event.type, json.loads(event.raw))
            assert told is not None, f"{event.type} has no contract"
            found += [one.words for one in told]
    return found


def test_every_connector_that_is_told_of_changes_has_one_without_a_finding() -> None:
    assert TOLD == ["hubspot", "intercom", "pipedrive", "stripe", "zendesk"]
    assert sorted(contracts()) == TOLD
    for package in packages():
        assert [str(one) for one in check(package.folder, hooks=package.hooks)] == []


@pytest.mark.parametrize("name", TOLD)
def test_every_event_of_its_simulator_fits(name: str) -> None:
    simulator = next(one for one in simulators(lambda _: []) if one.name == name)
    hooks = MANIFESTS[name].webhooks
    assert hooks is not None
    teller = simulator.teller("secret", lambda: "https://hooks.example.test")
    assert teller is not None
    told = list(hooks.registration.events) if hooks.registration else []
    shown = {"event_object": "*", "event_action": "*", "http_auth_user": ""}
    account = simulator.accounts[0].id
    hook = Webhook(id="1", account=account, url="https://x.test", secret="s", events=told, shown=shown)
    actions = Actions(simulator)
    before = len(simulator.store.ledger)
    for kind in simulator.object_types:
        for deed in (actions.create, actions.change, actions.archive):
            try:
                deed(account, kind.name, 2)
            except ControlError:
                continue  # the provider cannot do that to it
    bodies = [
        json.dumps(teller.tried([event], 0), default=str).encode()
        for entry in simulator.store.ledger[before:]
        for event in teller.events(entry, hook)
    ]
    seen = {event.type for body in bodies for event in split(hooks, body)}
    assert len(seen) >= 8, seen
    assert [words for body in bodies for words in deviations(name, body)] == []


WORKFLOW = "not taken in: subscriptionType is missing"
"""A workflow's own request to any address, the whole object in an older form: no delivery of a subscription."""
VERSION_1 = "not taken in: meta.entity is missing"
"""Pipedrive's version 1, `meta.object` and `current`; we register for version 2.0."""
CONTRADICTIONS = {
    "hubspot/current.COMPANY.json": WORKFLOW,
    "hubspot/current.CONTACT.json": WORKFLOW,
    "pipedrive/1.added.activity.json": VERSION_1,
    "pipedrive/1.added.deal.json": VERSION_1,
    "pipedrive/1.added.organization.json": VERSION_1,
    "pipedrive/1.added.product.json": VERSION_1,
    "pipedrive/1.updated.activity.json": VERSION_1,
    "pipedrive/1.updated.deal.json": VERSION_1,
    "pipedrive/1.updated.person.json": VERSION_1,
    "pipedrive/1.updated.product.json": VERSION_1,
}
"""Recording -> why it is none of what the connector takes in, or how it deviates."""
UNREAD = {
    "account.application.deauthorized",
    "account.external_account.created",
    "account.external_account.deleted",
    "account.external_account.updated",
    "account.updated",
    "invoice.payment_succeeded",
    "payment_link.updated",
    "payment_method.attached",
    "ping",
    "setup_intent.created",
    "setup_intent.succeeded",
}
"""Recorded types that no kind of a manifest reads: nothing is relied on."""


@pytest.mark.skipif(not FILES, reason="the shared fixtures are not beside this checkout")
@pytest.mark.parametrize(("name", "path"), FILES, ids=lambda one: one if isinstance(one, str) else one.name)
def test_every_recorded_delivery_fits_or_its_contradiction_is_listed(name: str, path: Path) -> None:
    recorded = json.loads(path.read_bytes())
    body = recorded["body"] if isinstance(recorded, dict) and "headers" in recorded else recorded
    try:
        found = "; ".join(deviations(name, json.dumps(body).encode()))
    except UnparsableError as error:
        found = f"not taken in: {error}"
    assert found == CONTRADICTIONS.get(f"{name}/{path.name}", "")


@pytest.mark.skipif(not FILES, reason="the shared fixtures are not beside this checkout")
def test_what_is_read_of_the_recorded_is_judged() -> None:
    read, unread = [], set()
    for name, path in FILES:
        recorded = json.loads(path.read_bytes())
        body = recorded.get("body", recorded)
        hooks = MANIFESTS[name].webhooks
        assert hooks is not None
        if f"{name}/{path.name}" in CONTRADICTIONS:
            continue
        for event in split(hooks, json.dumps(body).encode()):
            if hooks.kind(event.type) is None:
                unread.add(event.type)
            else:
                read.append(event.type)
    assert unread == UNREAD
    assert sorted(read) == [
        *("contact.deleted", "contact.merged", "conversation.deleted", "conversation.user.created"),
        *("customer.subscription.created", "customer.updated", "invoice.created", "invoice.paid"),
        "zen:event-type:user.group_membership_created",
    ]


def test_a_contract_that_forgets_what_is_read_is_found(tmp_path: Path) -> None:
    """`connector check` names the file and the line."""
    folder = tmp_path / "hubspot"
    folder.mkdir()
    (own,) = [one for one in packages() if one.manifest.name == "hubspot"]
    (folder / "manifest.toml").write_text((own.folder / "manifest.toml").read_text())
    text = (own.folder / "webhooks.json").read_text()
    target = folder / "webhooks.json"

    def found(old: str, new: str) -> list[str]:
        assert old in text
        target.write_text(text.replace(old, new, 1))
        return [str(one).removeprefix(f"{tmp_path}/") for one in check(folder)]

    def line(of: str) -> int:
        return next(n for n, one in enumerate(target.read_text().splitlines(), 1) if of in one)

    (first, *_) = found('"objectId": {"type": ["string", "integer"]},', '"objectId": {"typ": "string"},')
    wrong = line('{"typ"')
    assert first.startswith(f'hubspot/webhooks.json:{wrong}: "typ" is not taken')
    missing = found(
        '"required": ["subscriptionType", "portalId", "objectId", ',
        '"required": ["subscriptionType", "portalId", ',
    )
    assert missing
    assert all("is nothing without objectId" in one for one in missing)
    assert missing[0].startswith(f"hubspot/webhooks.json:{line('contact.*')}: ")
    (gone, *_) = found('    "deal.*": {"$ref": "#/$defs/event"},\n', "")
    assert gone.startswith(f"hubspot/webhooks.json:{line('events')}: deal.")
    (extra,) = found('"ticket.*":', '"note.*": {"type": "object"},\n    "ticket.*":')
    assert extra.startswith(f"hubspot/webhooks.json:{line('note.*')}: The manifest has no kind")
    (broken,) = found('"events": {', '"events": [')
    assert broken.startswith("hubspot/webhooks.json:1: It cannot be read")


def test_contracts_are_data() -> None:
    assert all(isinstance(one, Contract) for one in contracts().values())
    kept: Any = contracts()["stripe"].definitions
    assert kept["event"]["properties"]["object"] == {"const": "event"}
