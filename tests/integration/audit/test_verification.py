"""Whatever is done to a log by whoever may do anything: it is found, and where."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from trunkline.audit.service import append
from trunkline.audit.verification import MOST
from trunkline.kernel.db import Database

LENGTH = 12
PLACES = st.integers(1, LENGTH)
tampering = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

EDITS = {
    "at": "at + interval '1 microsecond'",
    "actor_kind": "'staff'",
    "actor_id": "'2'",
    "actor": "'Mallory'",
    "action": "'recipe.read'",
    "target_kind": "'run'",
    "target_id": "target_id || '0'",
    "detail": "(detail::text || ' ')::json",
    "before": "NULL",
    "after": "'{}'",
    "reason": "''",
    "address": "''",
    "hash": "sha256(hash)",
}
"""Column -> another value, also such as a sloppy encoding would take for the same."""


async def test_a_log_that_was_left_alone_is_whole(log: Any) -> None:
    result = await log.verify(await log.signed())
    assert (result.entries, result.faults) == (LENGTH, [])


@given(place=PLACES, column=st.sampled_from(sorted(EDITS)))
@settings(tampering, max_examples=40)
async def test_an_edit_is_found(log: Any, place: int, column: str) -> None:
    await log.restore()
    await log.owner.execute(f"UPDATE audit_entries SET {column} = {EDITS[column]} WHERE sequence = $1", place)
    assert (place, "edited") in await log.faults()


async def test_each_column_is_part_of_the_chain(log: Any) -> None:
    """A column that a later migration adds must be hashed, or named here."""
    rows = await log.owner.fetch(
        "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'audit_entries'"
    )
    # renumbering and another tenant's entries are tried below
    assert {row[0] for row in rows} == {*EDITS, "previous", "sequence", "tenant_id"}
    for column, value in EDITS.items():
        await log.restore()
        await log.owner.execute(f"UPDATE audit_entries SET {column} = {value} WHERE sequence = 5")
        assert (5, "edited") in await log.faults(), column


@given(place=PLACES)
@tampering
async def test_a_deletion_is_found(log: Any, place: int) -> None:
    await log.restore()
    await log.owner.execute("DELETE FROM audit_entries WHERE sequence = $1", place)
    assert await log.faults() == [(place, "cut" if place == LENGTH else "missing")]


@given(place=st.integers(1, LENGTH - 1))
@tampering
async def test_a_deletion_that_is_closed_up_is_found(log: Any, place: int) -> None:
    await log.restore()
    await log.owner.execute("DELETE FROM audit_entries WHERE sequence = $1", place)
    await log.owner.execute("UPDATE audit_entries SET sequence = -sequence WHERE sequence > $1", place)
    await log.owner.execute("UPDATE audit_entries SET sequence = -sequence - 1 WHERE sequence < 0")
    await log.owner.execute("UPDATE audit_heads SET sequence = sequence - 1")
    assert (await log.faults())[0] == (place, "moved")


@given(places=st.lists(PLACES, min_size=2, max_size=2, unique=True))
@tampering
async def test_a_reordering_is_found(log: Any, places: list[int]) -> None:
    await log.restore()
    await log.owner.execute("UPDATE audit_entries SET sequence = -1 WHERE sequence = $1", places[0])
    await log.owner.execute("UPDATE audit_entries SET sequence = $1 WHERE sequence = $2", *places)
    await log.owner.execute("UPDATE audit_entries SET sequence = $1 WHERE sequence = -1", places[1])
    first = (await log.faults())[0]
    assert first[0] == min(places)
    assert first[1] in {"moved", "edited"}


@given(place=PLACES)
@tampering
async def test_an_entry_that_was_put_in_is_found(log: Any, place: int) -> None:
    await log.restore()
    await log.owner.execute("UPDATE audit_entries SET sequence = -sequence WHERE sequence >= $1", place)
    await log.owner.execute("UPDATE audit_entries SET sequence = 1 - sequence WHERE sequence < 0")
    await log.owner.execute(
        "INSERT INTO audit_entries SELECT (jsonb_populate_record(e, jsonb_build_object('sequence', $1::int))).*"
        " FROM audit_entries e WHERE sequence = $2",
        place,
        place + 1,
    )
    faults = await log.faults()
    assert faults[0][0] in {place, place + 1}


@given(left=st.integers(0, LENGTH - 1))
@tampering
async def test_a_tail_that_was_cut_off_is_found_by_the_head_or_by_a_signed_one(log: Any, left: int) -> None:
    await log.restore()
    signed = await log.signed()
    await log.owner.execute("DELETE FROM audit_entries WHERE sequence > $1", left)
    assert await log.faults() == [(left + 1, "cut")]
    # the head set back as well, as if the rest had never been
    if left:
        await log.owner.execute(
            "UPDATE audit_heads SET sequence = $1, hash = (SELECT hash FROM audit_entries WHERE sequence = $1)",
            left,
        )
    else:
        await log.owner.execute("DELETE FROM audit_heads")
    assert await log.faults() == []
    assert await log.faults(signed) == [(left + 1, "cut")]


@given(place=PLACES)
@tampering
async def test_a_log_that_was_written_anew_is_found_by_a_signed_head(log: Any, place: int) -> None:
    await log.restore()
    signed = await log.signed()
    await log.owner.execute("UPDATE audit_entries SET actor = 'Mallory' WHERE sequence = $1", place)
    await log.rewrite(place)
    assert await log.faults() == []
    assert await log.faults(signed) == [(LENGTH, "rewritten")]
    # also when the forged head was signed since: each signed head counts
    both = {LENGTH: [*(await log.signed())[LENGTH], *signed[LENGTH]]}
    assert await log.faults(both) == [(LENGTH, "rewritten")]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("UPDATE audit_heads SET sequence = sequence - 3", (LENGTH - 2, "head")),
        ("UPDATE audit_heads SET sequence = sequence + 3", (LENGTH + 1, "cut")),
        ("UPDATE audit_heads SET hash = sha256(hash)", (LENGTH, "head")),
        ("DELETE FROM audit_heads", (LENGTH, "head")),
    ],
)
async def test_a_head_that_lies_is_found(log: Any, change: str, fault: tuple[int, str]) -> None:
    await log.owner.execute(change)
    assert await log.faults() == [fault]


async def test_a_log_given_to_another_tenant_is_found(log: Any) -> None:
    other = log.tenant.__class__(int=7)
    for table in ("audit_entries", "audit_heads"):
        await log.owner.execute(f"UPDATE {table} SET tenant_id = $1", other)
    faults = (await log.verify(tenant=other)).faults
    assert [(one.sequence, one.kind) for one in faults] == [(n, "edited") for n in range(1, LENGTH + 1)]


async def test_faults_beyond_what_anybody_reads_are_counted(log: Any) -> None:
    await log.write(MOST)
    await log.owner.execute("UPDATE audit_entries SET actor = 'Mallory'")
    result = await log.verify()
    assert (len(result.faults), result.more) == (MOST, LENGTH)


async def test_sixteen_writers_at_once_make_one_chain(log: Any, database_url: str) -> None:
    db, seen = Database(database_url, pool_size=16, application="test"), []

    async def writer(name: int) -> None:
        for number in range(6):
            async with db.tenant(log.tenant) as session:
                for part in range(1 + number % 2):
                    await append(session, log.ada, "recipe.saved", "recipe", f"{name}/{number}/{part}")
            if name == 0:
                seen.append(await log.verify())  # while the others go on

    await asyncio.gather(*(writer(name) for name in range(16)))
    await db.dispose()
    result = await log.verify(await log.signed())
    assert (result.entries, result.faults) == (LENGTH + 16 * 9, [])
    assert [one.faults for one in seen] == [[]] * 6
    mine = await log.owner.fetch(
        "SELECT target_id FROM audit_entries WHERE target_id LIKE '3/%' ORDER BY sequence"
    )
    assert [row[0] for row in mine] == [
        "3/0/0", "3/1/0", "3/1/1", "3/2/0", "3/3/0", "3/3/1", "3/4/0", "3/5/0", "3/5/1",
    ]  # fmt: skip
