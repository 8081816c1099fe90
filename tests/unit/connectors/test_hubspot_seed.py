"""The seeded HubSpot accounts: repeatable, and untidy in the ways that matter."""

import unicodedata

import pytest

from trunkline.sdk.simulator_clock import VirtualClock
from trunkline_connectors.hubspot.simulator import HubSpotSimulator
from trunkline_connectors.hubspot.simulator_schema import CONTACTS, OBJECT_TYPES, PROPERTIES
from trunkline_connectors.hubspot.simulator_seed import PORTALS, seed_objects

BIG, SMALL, EMPTY = PORTALS
KINDS = [kind.name for kind in OBJECT_TYPES]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_data_and_another_does_not(kind):
    first, again, other = (list(seed_objects(seed, SMALL, kind)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_belongs_to_a_property_that_can_hold_it(kind):
    for item in seed_objects(1, BIG, kind):
        for name, value in item.values.items():
            definition = PROPERTIES[kind][name]
            assert value is None or isinstance(value, str)
            if value is not None and definition.options:
                assert value in dict(definition.options)
            assert "\x00" not in (value or "")


def test_sizes_order_and_times():
    items = list(seed_objects(1, BIG, CONTACTS))
    ids = [int(item.id) for item in items]
    assert len(items) == 5000
    assert ids == sorted(set(ids))
    assert all(item.created_at <= item.updated_at < VirtualClock()() for item in items)
    assert list(seed_objects(1, EMPTY, CONTACTS)) == []


def test_the_mess_of_a_real_account_is_there():
    items = list(seed_objects(1, BIG, CONTACTS))
    texts = [value for item in items for value in item.values.values() if value]
    assert any(unicodedata.bidirectional(c) in {"R", "AL"} for text in texts for c in text)
    assert any(unicodedata.combining(c) for text in texts for c in text)
    assert any("<b>" in text for text in texts)
    assert any(text != text.strip() for text in texts)
    assert any(len(text) > 5000 for text in texts)
    assert any(item.values["email"] is None for item in items)
    assert any(item.archived_at for item in items)
    names = [(item.values["firstname"], item.values["lastname"], item.values["phone"]) for item in items]
    assert len(set(names)) < len(names)
    moments = [item.updated_at for item in items]
    assert max(moments.count(moment) for moment in set(moments)) > 50


def test_emails_are_unique_among_contacts_as_hubspot_demands():
    for portal in PORTALS:
        emails = [item.values["email"] for item in seed_objects(1, portal, CONTACTS) if item.values["email"]]
        assert len({email.casefold() for email in emails}) == len(emails)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_touches_are_valid_writes(kind):
    simulator = HubSpotSimulator(now=VirtualClock(), portals=(SMALL,))
    item = next(simulator.store.walk(SMALL.id, kind))
    assert set(simulator.sample(kind, 7)) <= simulator.fields(kind)
    touched = simulator.touch(kind, item, 7)
    assert simulator.store.update(SMALL.id, kind, item.id, touched) != item
    simulator.crm.create(SMALL.id, kind, {"properties": simulator.sample(kind, 7)})
