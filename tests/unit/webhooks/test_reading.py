"""What can still be read of an event that is not as agreed."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from trunkline.sdk.webhooks import Webhooks
from trunkline.webhooks.event_repository import Queued
from trunkline.webhooks.events import UnparsableError
from trunkline.webhooks.reading import told

HOOKS: dict[str, Any] = {
    "owner": "connection",
    "signatures": ["stripe"],
    "keyed_by": "us",
    "type": "type",
    "kinds": [
        {"type": "merged", "stream": "contacts", "ids": ["winner", "losers"], "deleted": True},
        {"type": "changed", "stream": "contacts", "ids": ["id"], "document": "data"},
        {"type": "noted", "stream": "notes", "ids": ["id"], "document": "data"},
    ],
    "fetches": [{"stream": "contacts", "path": "/contacts", "records": "items"}],
}


def read(kind: str, document: dict[str, Any]) -> Any:
    event = Queued(
        id=UUID(int=1),
        type=kind,
        body=b"",
        key_version=1,
        occurred_at=None,
        received_at=datetime(2026, 11, 26, tzinfo=UTC),
        label="initial",
        tries=0,
        attempts=0,
        replay_id=None,
    )
    return told(msgspec.convert(HOOKS, Webhooks), event, document)


def test_ids_that_are_ids_are_used() -> None:
    assert read("merged", {"winner": {"id": 5}, "losers": [6, None, {"id": 7}, "8", True]}).ids == ("6", "8")
    for document in ({}, {"winner": [], "losers": {}}, {"winner": None, "losers": [""]}):
        with pytest.raises(UnparsableError, match="winner and losers"):
            read("merged", document)


def test_a_record_that_is_not_there_is_fetched_where_it_can_be() -> None:
    assert read("changed", {"id": 5, "data": {"a": 1}}).document == {"a": 1}
    for data in ("a text", None, [1]):
        assert read("changed", {"id": 5, "data": data}).document is None
        with pytest.raises(UnparsableError, match="data is not a record"):
            read("noted", {"id": 5, "data": data})
    assert read("other", {"id": 5}) is None
