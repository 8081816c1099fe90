"""Store and ledger, faults, rate window and request log of the simulators."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.sdk.simulator_clock import VirtualClock
from trunkline.sdk.simulator_faults import FaultRefusedError, Faults, RateWindow
from trunkline.sdk.simulator_log import RequestLog
from trunkline.sdk.simulator_store import Store, UnknownObjectError

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["create", "update", "archive", "restore"]), st.integers(0, 9), st.integers(0, 3)
    ),
    max_size=40,
)


@given(ACTIONS)
def test_the_ledger_alone_rebuilds_the_store(actions):
    clock = VirtualClock()
    store = Store(clock)
    for what, which, value in actions:
        clock.advance(1)
        ids = [item.id for item in store.walk("a", "t", archived=None)]
        if what == "create" or not ids:
            store.create("a", "t", {"v": str(value)})
        elif what == "update":
            store.update("a", "t", ids[which % len(ids)], {"v": str(value)})
        else:
            getattr(store, what)("a", "t", ids[which % len(ids)])
    again = Store(clock)
    again.replay(store.ledger)
    assert list(again.walk("a", "t", archived=None)) == list(store.walk("a", "t", archived=None))
    assert [entry.sequence for entry in store.ledger] == list(range(1, len(store.ledger) + 1))
    assert all(entry.before != entry.after for entry in store.ledger)
    assert again.create("a", "t", {}).id == store.create("a", "t", {}).id


def test_a_write_that_changes_nothing_is_no_mutation():
    clock = VirtualClock()
    store = Store(clock)
    item = store.create("a", "t", {"v": "1"})
    clock.advance(5)
    assert store.update("a", "t", item.id, {"v": "1"}).updated_at == item.updated_at
    assert len(store.ledger) == 1


def test_accounts_do_not_see_each_other():
    store = Store(VirtualClock())
    item = store.create("a", "t", {})
    with pytest.raises(UnknownObjectError):
        store.get("b", "t", item.id)
    assert list(store.walk("b", "t")) == []


def test_what_was_before_a_moment():
    clock = VirtualClock()
    store = Store(clock)
    old = store.create("a", "t", {"v": "1"})
    clock.advance(10)
    moment = clock()
    clock.advance(1)
    store.update("a", "t", old.id, {"v": "2"})
    store.update("a", "t", old.id, {"v": "3"})
    new = store.create("a", "t", {})
    assert store.newer_than(moment, "a", "t") == {old.id: old, new.id: None}


@given(st.lists(st.floats(0, 4), max_size=60), st.integers(1, 5))
def test_no_window_ever_holds_more_than_its_limit(pauses, limit):
    clock = VirtualClock()
    window = RateWindow(clock, limit, 3)
    admitted = []
    for pause in pauses:
        clock.advance(pause)
        before = window.remaining("k")
        if window.admit("k"):
            admitted.append(clock())
            assert window.remaining("k") == before - 1
        else:
            assert before == 0
    for position, moment in enumerate(admitted):
        assert sum(1 for m in admitted[: position + 1] if m > moment - timedelta(seconds=3)) <= limit


def test_windows_are_by_key():
    window = RateWindow(VirtualClock(), 1, 10)
    assert window.admit("a")
    assert not window.admit("a")
    assert window.admit("b")


def test_a_fault_ends_by_requests_or_by_time():
    clock = VirtualClock()
    faults = Faults(clock)
    faults.add("429", requests=2)
    assert [bool(faults.take("/x")) for _ in range(3)] == [True, True, False]
    faults.add("500", seconds=10)
    clock.advance(9.9)
    assert faults.take("/x")
    clock.advance(0.1)
    assert not faults.take("/x")
    assert faults.active() == []


def test_a_fault_can_be_limited_to_a_path_and_latency_adds_to_another():
    faults = Faults(VirtualClock())
    faults.add("429", requests=5, path="/crm/")
    faults.add("500", requests=5)
    faults.add("latency", requests=5, latency_ms=100)
    assert [f.kind for f in faults.take("/crm/x")] == ["429", "latency"]
    assert [f.kind for f in faults.take("/oauth/x")] == ["500", "latency"]
    assert faults.clear() == 3


@pytest.mark.parametrize(
    "bad",
    [{}, {"requests": 0}, {"requests": 10_001}, {"seconds": 0}, {"seconds": 3601}],
)
def test_a_fault_without_a_sensible_end_is_refused(bad):
    with pytest.raises(FaultRefusedError):
        Faults(VirtualClock()).add("500", **bad)
    with pytest.raises(FaultRefusedError, match="latency_ms"):
        Faults(VirtualClock()).add("latency", requests=1, latency_ms=0)


def test_equal_requests_in_a_row_are_one_line():
    log = RequestLog(VirtualClock())
    for status in (200, 200, 429, 200):
        log.note("GET", "/x", status)
    assert [(run.status, run.count) for run in log.runs()] == [(200, 1), (429, 1), (200, 2)]
    assert log.total == 4
    assert dict(log.by_status) == {200: 3, 429: 1}
