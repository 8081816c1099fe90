"""What a simulator tells of changes, and that HubSpot's own verifier accepts how it is signed."""

import importlib.util
import json
import time

import pytest

from trunkline.sandbox.actions import Actions
from trunkline.sdk.pointers import point
from trunkline.sdk.signatures import known, resolve
from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_hooks import Webhook
from trunkline.sdk.simulator_store import Store
from trunkline.webhooks.events import split
from trunkline.webhooks.signatures import Delivery, Scheme
from trunkline_connectors.catalogue import manifests, simulators
from trunkline_connectors.hubspot.simulator_hooks import HubSpotHooks

URL = "https://hooks.example.test/hooks/hubspot/x"


def test_each_change_is_told_by_its_type() -> None:
    store, hooks = Store(VirtualClock()), HubSpotHooks("secret")
    made = store.create("5", "contacts", {"email": "a@example.com"}).id
    store.update("5", "contacts", made, {"email": "b@example.com", "phone": "1"})
    store.archive("5", "contacts", made)
    store.restore("5", "contacts", made)
    store.purge("5", "contacts", made)
    told = [event for entry in store.ledger for event in hooks.events(entry)]
    assert [event["subscriptionType"].partition(".")[2] for event in told] == [
        "creation", "propertyChange", "propertyChange", "deletion", "restore",
    ]  # fmt: skip
    assert {event["propertyName"] for event in told if "propertyName" in event} == {"email", "phone"}
    assert {(event["portalId"], str(event["objectId"])) for event in told} == {(5, made)}
    assert hooks.tried(told, 3)[0]["attemptNumber"] == 3


def test_its_signature_is_the_vendors() -> None:
    if importlib.util.find_spec("hubspot") is None:
        pytest.skip("hubspot-api-client is not installed: its verifier cannot be asked")
    from hubspot.utils.signature import Signature

    body, at = json.dumps([{"eventId": 1, "note": "Zoë"}]).encode(), time.time()
    headers = HubSpotHooks("secret").sign(Webhook(id="app", account="", url=URL, secret="secret"), body, at)
    assert Signature.is_valid(
        signature=headers["X-HubSpot-Signature-v3"],
        client_secret="secret",
        request_body=body.decode(),
        http_uri=URL,
        http_method="POST",
        signature_version="v3",
        timestamp=headers["X-HubSpot-Request-Timestamp"],
    )
    ours = Scheme(known()["hubspot-v3"])
    delivery = Delivery("POST", URL, {name.lower(): value for name, value in headers.items()}, body)
    assert ours.verify([b"secret"], delivery, at).ok


@pytest.mark.parametrize("name", ["hubspot", "intercom", "stripe", "zendesk", "pipedrive"])
def test_each_signs_as_our_template_reads_it(name: str) -> None:
    """The two were written apart, from the vendor's words: each is judged by the other."""
    simulator = next(one for one in simulators(lambda _: []) if one.name == name)
    teller = simulator.teller("secret", lambda: URL)
    assert teller is not None
    shown = {"http_auth_user": "trunkline"}
    hook = Webhook(id="1", account="1", url=URL, secret="trunkline:secret", shown=shown)
    body, at = json.dumps({"note": "Zoë"}).encode(), time.time()
    sent = {one.lower(): value for one, value in teller.sign(hook, body, at).items()}
    hooks = next(one for one in manifests() if one.name == name).webhooks
    assert hooks is not None
    scheme = Scheme(resolve(hooks.signatures[0]))
    assert scheme.verify([b"trunkline:secret"], Delivery("POST", URL, sent, body), at).ok
    assert not scheme.verify([b"trunkline:other"], Delivery("POST", URL, sent, body), at).ok


def test_stripes_own_verifier_takes_it() -> None:
    stripe = pytest.importorskip("stripe", reason="stripe is not installed: its verifier cannot be asked")
    simulator = next(one for one in simulators(lambda _: []) if one.name == "stripe")
    teller = simulator.teller("", str)
    assert teller is not None
    hook = Webhook(id="1", account="1", url=URL, secret="whsec_secret")
    body = json.dumps({"id": "evt_1", "object": "event", "note": "Zoë"})
    header = teller.sign(hook, body.encode(), time.time())["Stripe-Signature"]
    assert stripe.WebhookSignature.verify_header(body, header, "whsec_secret", 300)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(body + " ", header, "whsec_secret", 300)


TELLS = {
    "stripe": (
        "acct_1TLnorthwind0001",
        "customers",
        ["customer.created", "customer.updated", "customer.deleted"],
    ),
    "intercom": (
        "tlbh02bb",
        "contacts",
        ["contact.user.created", "contact.user.updated", "contact.archived"],
    ),
    "pipedrive": ("9120002", "deals", ["create", "change", "delete"]),
    "zendesk": ("12510002", "tickets", ["created", "subject_changed", "soft_deleted"]),
}


@pytest.mark.parametrize("name", TELLS)
def test_what_each_says_is_understood_by_its_manifest(name: str) -> None:
    account, kind, expected = TELLS[name]
    simulator = next(one for one in simulators(lambda _: []) if one.name == name)
    hooks = next(one for one in manifests() if one.name == name).webhooks
    assert hooks is not None
    told = list(hooks.registration.events) if hooks.registration else []
    shown = {"event_object": "*", "event_action": "*", "http_auth_user": ""}
    hook = Webhook(id="1", account=account, url=URL, secret="s", events=told, shown=shown)
    teller = simulator.teller("secret", lambda: URL)
    assert teller is not None
    actions = Actions(simulator)
    (public,) = actions.create(account, kind)
    actions.change(account, kind, ids=[public])
    actions.archive(account, kind, ids=[public])
    bodies = [
        json.dumps(teller.tried([event], 0), default=str).encode()
        for entry in simulator.store.ledger
        for event in teller.events(entry, hook)
    ]
    events = [split(hooks, body)[0] for body in bodies]
    assert [event.type.endswith(end) for event, end in zip(events, expected, strict=True)] == [True] * 3
    rules = [hooks.kind(event.type) for event in events]
    assert [rule is not None and (rule.stream, rule.deleted) for rule in rules] == [
        (kind, False), (kind, False), (kind, True),
    ]  # fmt: skip
    for rule, body in zip(rules, bodies, strict=True):
        assert rule is not None
        assert str(point(json.loads(body), rule.ids[0])) == public
    assert len({event.identity for event in events}) == 3
    assert all(event.occurred_at is not None for event in events)
