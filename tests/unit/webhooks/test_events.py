"""A body is taken apart whole or not at all, and what tells events apart is what the manifest says."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sdk.webhooks import Webhooks
from trunkline.webhooks.events import UnparsableError, split
from trunkline.webhooks.intake import redacted
from trunkline_connectors.catalogue import manifests

HUBSPOT = next(one for one in manifests() if one.name == "hubspot").webhooks
assert HUBSPOT is not None
GOOD = {"eventId": 1, "portalId": 5, "subscriptionType": "contact.creation", "objectId": 9, "occurredAt": 1}
STRIPE = msgspec.convert(
    {
        "owner": "connection",
        "signatures": ["stripe"],
        "keyed_by": "us",
        "type": "type",
        "id": ["id"],
        "at": "created",
        "events": "data.events",
        "kinds": [],
    },
    Webhooks,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_each_part_is_its_own_bytes() -> None:
    body = b'[ {"portalId":5 , "subscriptionType":"a.b","eventId":1},{"subscriptionType":"c","portalId":"6"}]'
    one, two = split(HUBSPOT, body)
    assert one.raw == b'{"portalId":5 , "subscriptionType":"a.b","eventId":1}'
    assert (two.type, two.account, two.event_id) == ("c", "6", "")


@pytest.mark.parametrize("key", ["eventId", "subscriptionType", "objectId", "occurredAt"])
def test_what_the_rule_names_tells_events_apart(key: str) -> None:
    (one,) = split(HUBSPOT, json.dumps(GOOD).encode())
    other = GOOD | {key: "another"} if key == "subscriptionType" else GOOD | {key: 77}
    (two,) = split(HUBSPOT, json.dumps(other).encode())
    (again,) = split(HUBSPOT, json.dumps(GOOD | {"attemptNumber": 3, "changeSource": "X"}).encode())
    assert one.identity == again.identity != two.identity


def test_events_within_a_body_and_without_an_id() -> None:
    body = {"data": {"events": [{"type": "a"}, {"type": "b", "id": "x", "created": 1_700_000_000}]}}
    one, two = split(STRIPE, json.dumps(body).encode())
    assert (one.type, two.event_id) == ("a", "x")
    assert two.occurred_at is not None
    assert one.identity != two.identity
    with pytest.raises(UnparsableError, match=r"data\.events"):
        split(STRIPE, b"{}")


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"null", b"7", b"[7]", b'{"portalId":1}', b"[" * 5000, b'{"a":' * 5000, b"\xff",
     json.dumps([GOOD] * 501).encode(), json.dumps(GOOD | {"portalId": True}).encode(),
     json.dumps(GOOD | {"subscriptionType": "x" * 300}).encode(), json.dumps(GOOD | {"eventId": {}}).encode()],
)  # fmt: skip
def test_what_is_no_event_is_refused_without_being_quoted(body: bytes) -> None:
    with pytest.raises(UnparsableError) as raised:
        split(HUBSPOT, body)
    assert len(str(raised.value)) < 300


@given(body=plain.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
def test_any_body_is_events_or_refused(body: bytes) -> None:
    for hooks in (HUBSPOT, STRIPE):
        try:
            found: list[Any] = split(hooks, body)
        except UnparsableError:
            continue
        assert all(len(event.identity) == 16 for event in found)


def test_no_header_that_authenticates_is_kept() -> None:
    given = {
        "authorization": "Basic x", "cookie": "x", "x-hub-signature": "x", "x-api-key": "x", "x-token": "x",
        "x-shopify-hmac-sha256": "x", "client-secret": "x", "content-type": "application/json", "x-long": "y" * 5000,
    }  # fmt: skip
    kept = redacted(given)
    assert [name for name, value in kept.items() if value == "x"] == []
    assert kept["content-type"] == "application/json"
    assert len(kept["x-long"]) == 500
