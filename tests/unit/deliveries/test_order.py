"""Whoever takes what the queue lets go, in whatever rounds and with whatever failures, sees each key in order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from trunkline.deliveries.order import Ordering, Queue, Waiting, keys_of

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
A, B, C = 1, 2, 3


def waiting(number: int, *records: int, subject: str = "one", later: int = 0, type_: str = "x") -> Waiting:
    return Waiting(
        id=UUID(int=100 + number),
        number=number,
        next_at=NOW + timedelta(seconds=later),
        subject=subject,
        type=type_,
        record_keys=records,
    )


def ready(ordering: Ordering, *those: Waiting, wanted: int = 99) -> list[int]:
    queue = Queue(ordering, NOW, wanted)
    queue.pass_by(those)
    return [one.int - 100 for one in queue.ready]


def test_one_that_waits_holds_up_its_records_and_what_shares_one_with_those_behind_it() -> None:
    line = [waiting(1, A, later=60), waiting(2, B), waiting(3, A, B), waiting(4, B, C), waiting(5, C)]
    assert ready("record", *line) == [2], "4 shares B with 3, and 5 shares C with 4"
    assert ready("record", *line[:3], waiting(4, C)) == [2, 4]
    assert ready("record", *line[1:]) == [2]
    assert ready("record", *line[2:]) == [3]


def test_keys_by_what_is_asked_for() -> None:
    one, other, apart = waiting(1, A, later=60), waiting(2, B), waiting(3, C, subject="two")
    assert ready("connection", one, other, apart) == [3]
    assert ready("tenant", one, other, apart) == []
    assert ready("record", one, other, apart) == [2, 3]
    assert ready("record", waiting(1, later=60), waiting(2), waiting(3, subject="two")) == [3]


def test_a_test_waits_for_nobody_and_nobody_for_it() -> None:
    line = waiting(1, later=60), waiting(2, type_="webhook.test", later=60), waiting(3, type_="webhook.test")
    assert ready("tenant", *line) == [3]
    assert ready("tenant", line[1], waiting(4)) == [4]


def test_it_ends_with_as_many_as_are_wanted_and_knows_when_the_next_may_go() -> None:
    queue = Queue("record", NOW, 2)
    assert queue.pass_by([waiting(1, A)])
    assert not queue.pass_by([waiting(2, B), waiting(3, C)])
    assert [one.int - 100 for one in queue.ready] == [1, 2]
    queue = Queue("record", NOW, 2)
    # 3 may go before 1, and waits for it nevertheless
    assert queue.pass_by([waiting(1, A, later=60), waiting(2, B, later=30), waiting(3, A, later=10)])
    assert (queue.ready, queue.next_at) == ([], NOW + timedelta(seconds=30))


@given(
    st.sampled_from(["record", "connection", "tenant"]),
    st.lists(
        st.tuples(st.sets(st.sampled_from([A, B, C])), st.sampled_from("xy"), st.booleans()), max_size=12
    ),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_each_key_is_taken_in_order(
    ordering: Ordering, made: list[tuple[set[int], str, bool]], wanted: int, chance: object
) -> None:
    """Some fail the first time and are due again a round later; those of one round go at once, in any order."""
    line = [waiting(number, *sorted(keys), subject=on) for number, (keys, on, _) in enumerate(made)]
    fails = {one.id for one, (*_, failing) in zip(line, made, strict=True) if failing}
    taken: list[Waiting] = []
    for _ in range(4 * len(line) + 1):
        queue = Queue(ordering, NOW, wanted)
        queue.pass_by(line)
        going = [one for one in line if one.id in queue.ready]
        keys = [key for one in going for key in keys_of(ordering, one)]
        assert len(keys) == len(set(keys)), "at a time one of each key"
        chance.shuffle(going)  # type: ignore[attr-defined]
        for one in going:
            at = line.index(one)
            if one.id in fails:
                fails.discard(one.id)
                line[at] = waiting(one.number, *one.record_keys, subject=one.subject, later=60)
            else:
                taken.append(line.pop(at))
        if not going:  # the time of those that failed has come
            line = [waiting(one.number, *one.record_keys, subject=one.subject) for one in line]
    assert not line, "everything is taken in the end"
    for key in {key for one in taken for key in keys_of(ordering, one)}:
        numbers = [one.number for one in taken if key in keys_of(ordering, one)]
        assert numbers == sorted(numbers)
