"""Types and patterns, and their place in the API's description."""

import msgspec
import pytest

from trunkline.deliveries.catalogue import NAMES, TYPES, known, matching, patterns_of
from trunkline.deliveries.described import SCHEMAS, WEBHOOKS
from trunkline.deliveries.outbox import _wants
from trunkline.deliveries.schemas import Event, Wanted


@pytest.mark.parametrize("pattern", ["*", "record.*", "record.created", "connection.reconnect_needed"])
def test_patterns_that_match_something(pattern: str) -> None:
    assert known(pattern)
    assert matching([pattern])


@pytest.mark.parametrize(
    "pattern",
    ["", "record", "record.", ".*", "*.*", "*.created", "record.creat*", "nothing.*", "record.lost"],
)
def test_patterns_that_match_nothing_are_unknown(pattern: str) -> None:
    assert not known(pattern)


def test_a_test_goes_to_nobody_else() -> None:
    assert "webhook.test" not in matching(["*"])


def test_what_is_sent_follows_the_patterns() -> None:
    from datetime import UTC, datetime
    from uuid import UUID

    at = datetime(2026, 1, 1, tzinfo=UTC)
    for name in NAMES:
        for pattern in ("*", "record.*", "run.failed"):
            one = Wanted(
                owner=UUID(int=0),
                id=UUID(int=1),
                types=[pattern],
                full_data=False,
                created_at=at,
                disabled_at=None,
            )
            event = Event(id=UUID(int=2), type=name, subject="x", data={}, occurred_at=at)
            assert _wants(one, event) == (pattern in patterns_of(name))


def test_every_type_is_described_with_a_schema_of_its_own() -> None:
    assert list(WEBHOOKS) == [one.name for one in TYPES]
    for name, item in WEBHOOKS.items():
        assert item.post
        reference = item.post.request_body.content["application/json"].schema.ref  # type: ignore[union-attr]
        schema = SCHEMAS[reference.rpartition("/")[2]]
        assert schema["properties"]["type"] == {"const": name}
        data = schema["properties"]["data"]["$ref"].rpartition("/")[2]
        assert SCHEMAS[data]["type"] == "object"
    assert msgspec.json.encode(SCHEMAS)
