"""The checker sees what it is for: four bugs, each put into a process from outside, each turns it red."""

import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from trunkline.runs.writes import LATE

from .conftest import CONTACTS, Small, eventually

pytestmark = pytest.mark.timeout(240)

JUMP_SECONDS = LATE.total_seconds() + 1
"""Between a page and the edits after it: closer by, the provider's dates, which may be late, give the older form away."""


async def pages(small: Any, number: int) -> bool:
    run = await small.run()
    return run["pages"] >= number


@pytest.mark.parametrize("bug", ["fencing", ""], ids=["fencing off", "as it is"])
async def test_a_worker_that_wakes_up_late(small: Any, bug: str) -> None:
    """Stopped for longer than its lease, with a page in its hand that was changed meanwhile."""
    await small.customers.control("script", kind="latency", seconds=120, milliseconds=300)
    both = [small.worker(name, bug) for name in ("one", "two")]
    await eventually(lambda: pages(small, 2))
    late = await small.holder(both)
    other = next(one for one in both if one is not late)
    await small.freeze(other)
    await small.freeze(late, with_page=True)
    await eventually(small.lapsed)
    await small.customers.control("jump", seconds=JUMP_SECONDS)
    await small.customers.control("touch", account=small.account, kind="contacts")
    stood = (await small.run())["pages"]
    other.signal(signal.SIGCONT)
    await eventually(lambda: pages(small, stood + 2))
    await small.freeze(other)  # so that the pass is not over before the late one has had its say
    late.signal(signal.SIGCONT)

    async def written_over() -> bool:
        return bool(
            await small.db.fetchval(
                "SELECT count(*) FROM changes GROUP BY stream, external_id ORDER BY 1 DESC LIMIT 1"
            )
            > 1
        )

    async def noticed() -> bool:
        return b"lease lost" in late.log.read_bytes()

    await eventually(written_over if bug else noticed)
    other.signal(signal.SIGCONT)
    await small.customers.control("quiet")
    await eventually(lambda: small.ended(1))
    await small.sync()
    await eventually(lambda: small.ended(2))
    found = await small.findings()
    if bug:
        assert any("went back" in finding.what for finding in found)
    else:
        assert found == []
        await what_is_wrong_in_the_database_itself(small)


async def test_what_is_read_again_and_not_recognised(small: Any) -> None:
    small.worker("worker", "dedupe")
    await eventually(lambda: small.ended(1))
    assert await small.findings() == []
    await small.sync()
    await eventually(lambda: small.ended(2))
    found = await small.findings()
    assert {finding.verdict for finding in found} == {"doubled"}
    assert any("the same state twice" in finding.what for finding in found)


async def test_a_checkpoint_that_runs_ahead_of_its_page(small: Any) -> None:
    worker = small.worker("worker", "checkpoint")

    async def ahead() -> bool:
        """Said by the checkpoint itself: one that is seen twice cannot tell, the next may be ahead in the same moment."""
        run = await small.run()
        return run["pages"] >= 2 and json.loads(run["checkpoint"] or "{}").get("steps", 0) > run["pages"]

    await eventually(ahead)
    worker.kill()
    small.worker("after", "")
    await eventually(lambda: small.ended(1))
    found = await small.findings()
    assert {finding.verdict for finding in found} == {"lost"}
    assert any("is not held" in finding.what for finding in found)


async def test_events_that_come_twice_and_are_not_recognised(
    database_url: str, valkey_url: str, tmp_path: Path
) -> None:
    """Sound first: each request comes twice, all are applied, and the product is told once of each change."""
    from chaos_kit.accounts import FIRST_ACCOUNT

    account = str(FIRST_ACCOUNT)
    async with AsyncExitStack() as stack:
        small = Small(tmp_path, database_url, valkey_url, listening=True)
        stack.push_async_callback(small.stop)
        await small.start()
        worker = small.worker("worker", "")
        await eventually(lambda: small.ended(1))
        web = await small.web("web", "")
        await small.customers.control("touch", account=account, kind="contacts")
        await eventually(small.all_told)
        assert await small.findings() == []
        told = await small.customers.control("told")
        assert len(told["events"]) == CONTACTS
        assert {int(status) for status in told["forged"]} <= {401}
        web.kill()
        await small.web("planted", "intake")
        await small.customers.control("touch", account=account, kind="companies")
        await eventually(small.all_told)
        found = await small.findings()
        assert {finding.verdict for finding in found} == {"doubled"}
        assert any("is kept 2 times" in finding.what for finding in found)
        worker.kill()
        await what_was_told_of_wrongly(small)


async def what_was_told_of_wrongly(small: Any) -> None:
    """One thing of each kind, done by hand to what arrived and what was sent."""
    await small.db.execute(
        "DELETE FROM inbound_events WHERE id = (SELECT min(id::text)::uuid FROM inbound_events)"
    )
    await small.db.execute(
        "UPDATE inbound_events SET state = 'queued' WHERE id = (SELECT max(id::text)::uuid FROM inbound_events)"
    )
    await small.db.execute(
        """WITH pair AS (SELECT a.tenant_id, a.number AS low, b.number AS high
               FROM outbound_events a JOIN outbound_events b ON b.tenant_id = a.tenant_id AND b.number > a.number
                   AND b.record_keys && a.record_keys
               WHERE a.number NOT IN (2, 5) AND b.number NOT IN (2, 5) LIMIT 1)
           UPDATE outbound_events e SET number = CASE e.number WHEN pair.low THEN -pair.high ELSE -pair.low END
           FROM pair WHERE e.tenant_id = pair.tenant_id AND e.number IN (pair.low, pair.high)"""
    )
    await small.db.execute("UPDATE outbound_events SET number = -number WHERE number < 0")
    await small.db.execute("DELETE FROM outbound_events WHERE number = 2")
    await small.db.execute("UPDATE deliveries SET state = 'failed', cause = 'exhausted' WHERE number = 5")
    told = [(finding.verdict, finding.what) for finding in await small.findings(patience=1.0)]
    for verdict, words in (
        ("lost", "was acknowledged, and is not held"),
        ("lost", "was never made anything of"),
        ("lost", "the events' numbers have a gap"),
        ("crossed", "is no event of this tenant's"),
        ("doubled", "in another order"),
        ("lost", "is failed, and not delivered: exhausted"),
    ):
        assert any(one == verdict and words in what for one, what in told), (verdict, words, told[:20])


async def what_is_wrong_in_the_database_itself(small: Any) -> None:
    """One thing of each kind, done to sound data by hand."""
    for member in small.crew.members.values():
        if member.name != "provider":
            member.kill()
    foreign = """jsonb_set(data, '{job_title}', '"48299999/1"')"""
    first = "(SELECT external_id FROM entities WHERE stream = 'contacts' ORDER BY 1 LIMIT 1)"
    await small.db.execute(f"UPDATE entities SET data = {foreign} WHERE external_id = {first}")
    await small.db.execute(f"UPDATE changes SET data = {foreign} WHERE external_id = {first}")
    await small.db.execute("DELETE FROM changes WHERE position = 7")
    await small.db.execute(
        "DELETE FROM records WHERE external_id = (SELECT max(external_id) FROM records WHERE stream = 'companies')"
    )
    await small.db.execute("UPDATE runs SET changes = changes + 1 WHERE stream = 'companies'")
    await small.db.execute(
        """UPDATE work SET leased_by = 'nobody:1:x', lease_until = now() - interval '1 minute'
           WHERE kind = 'sync' AND key LIKE '%:contacts'"""
    )
    await small.db.execute("DELETE FROM work WHERE kind = 'sync' AND key LIKE '%:companies'")
    await small.db.execute(
        """INSERT INTO work (tenant_id, id, kind, key, args, due_at)
           VALUES ($1, uuidv7(), 'forgotten', 'k', '{}', now() - interval '1 minute')""",
        small.customer.tenant_id,
    )
    told = [(finding.verdict, finding.what) for finding in await small.findings(patience=1.0)]
    for verdict, words in (
        ("crossed", "an entity holds another account's data"),
        ("crossed", "the change log holds another account's data"),
        ("lost", "the change log has a gap"),
        ("lost", "is not held"),
        ("doubled", "a run counts"),
        ("lost", "a lease of sync is nobody's"),
        ("lost", "work forgotten is due and not done"),
        ("lost", "1 streams are never due again"),
    ):
        assert any(one == verdict and words in what for one, what in told), (verdict, words, told[:20])
