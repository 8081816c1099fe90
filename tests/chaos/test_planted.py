"""The checker sees what it is for: three bugs, each put into the workers from outside, each turns it red."""

import asyncio
import json
import signal
from typing import Any

import pytest

from trunkline.runs.writes import LATE

from .conftest import eventually

pytestmark = pytest.mark.timeout(240)

PROVIDER_SECONDS = LATE.total_seconds() + 1
"""Between a page and the edits after it: closer by, the older form gives itself away."""


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
    await asyncio.sleep(PROVIDER_SECONDS)
    await eventually(small.lapsed)
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
