"""The numbers of a budget keep its rate, and its reserve, whatever they are."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trunkline.resilience.budgets import MICRO, Caller, budget, kept
from trunkline.sdk.manifest import Rate

WHO = Caller(
    tenant_id=UUID(int=1),
    connection_id=UUID(int=2),
    host="x@y",
    client_id=UUID(int=3),
    account="customer-4711",
)
rates = st.builds(
    Rate,
    bucket=st.sampled_from(["b", "*"]),
    requests=st.integers(1, 10_000),
    seconds=st.floats(0.1, 86_400),
    reserve=st.floats(0, 0.25),
    scope=st.sampled_from(["connection", "account", "client"]),
)


@given(rates)
def test_no_window_can_hold_more(rate: Rate) -> None:
    """GCRA grants at most (W + tolerance) / interval in a half-open window of W."""
    gate = budget([rate], WHO, "b", tenant_rate=rate, workers=4).gates[0]
    window = rate.seconds * MICRO
    assert (window + gate.tolerance) / gate.interval <= rate.requests + 1  # strictly fewer are granted
    assert (window + gate.background) / gate.interval <= rate.requests + 1 - kept(rate)
    assert gate.interval <= gate.background <= gate.tolerance
    # and is no stingier than the burst makes it: at least half is granted in the long run
    assert window / gate.interval >= (rate.requests - kept(rate)) / 2


@given(rates)
def test_what_is_kept(rate: Rate) -> None:
    assert 0 <= kept(rate) <= rate.requests / 4
    if rate.requests >= 20:
        assert kept(rate) >= rate.requests * rate.reserve - 1


@given(rates, st.integers(1, 64))
def test_alone_all_processes_together_keep_half(rate: Rate, workers: int) -> None:
    gate = budget([rate], WHO, "b", tenant_rate=rate, workers=workers).gates[0]
    assert workers * rate.seconds * MICRO / gate.strict <= rate.requests / 2 * (1 + 1e-12)  # as floats go


def test_only_the_buckets_own_rates_count_and_no_account_is_named() -> None:
    rates = [
        Rate(bucket="b", requests=5, seconds=1, scope="account"),
        Rate(bucket="c", requests=6, seconds=1),
        Rate(bucket="*", requests=7, seconds=1, scope="client"),
    ]
    made = budget(rates, WHO, "b", tenant_rate=Rate(bucket="t", requests=8, seconds=1), workers=4)
    assert [gate.rate.requests for gate in made.gates] == [5, 7, 8]
    assert made.most == 5
    assert len(set(made.keys)) == len(made.keys) == 3 + 2 * 3
    assert not [key for key in made.keys if "4711" in key]


def test_without_a_known_client_or_account_a_connection_counts_alone() -> None:
    alone = Caller(tenant_id=UUID(int=1), connection_id=UUID(int=2), host="x@y")
    for scope in ("connection", "account", "client"):
        rate = Rate(bucket="b", requests=5, seconds=1, scope=scope)  # type: ignore[arg-type]
        made = budget([rate], alone, "b", tenant_rate=rate, workers=4)
        assert str(alone.connection_id) in made.gates[0].key
