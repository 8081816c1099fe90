"""Requests as they leave and what becomes of them; the official library is the judge of every signature."""

import asyncio
import os
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from trunkline.deliveries import schedule, sender
from trunkline.deliveries.schedule import TRIES
from trunkline.main import run_worker
from trunkline.work.errors import LeaseLostError
from trunkline.work.fairness import Caps


@pytest.fixture(autouse=True)
def _longest_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what chance allows: nothing is due again before a test goes `forward`."""
    monkeypatch.setattr(schedule, "full_jitter", lambda _trial, base, *_cap: base)


async def test_what_arrives_verifies_with_the_official_library(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, judge = await harbor.endpoint(tenant, "/verified")
    event = await harbor.tell(tenant, name="Grüße „CRM“")
    await harbor.settle("deliver")
    (got,) = harbor.receiver.of("/verified")
    payload = judge.verify(got.body, got.headers)
    assert payload["type"] == "connection.confirmed"
    assert payload["data"]["name"] == "Grüße „CRM“"
    assert payload["tenant"].startswith("t")
    assert got.id == f"msg_{event.hex}"
    assert abs(datetime.now(UTC).timestamp() - int(got.headers["webhook-timestamp"])) < 60
    assert got.headers["content-type"] == "application/json"
    for other in (got.body + b" ", got.body.replace(b"hubspot", b"hubsput")):
        with pytest.raises(WebhookVerificationError):
            judge.verify(other, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 43 + "=").verify(got.body, got.headers)
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.attempts, delivery.last_status) == ("succeeded", 1, 200)
    assert (await harbor.view(tenant, view.id)).failing_since is None


async def test_it_is_tried_ten_times_under_one_id_and_then_given_up(harbor: Any) -> None:
    tenant = await harbor.tenant()
    _, judge = await harbor.endpoint(tenant, "/down")
    harbor.receiver.always["/down"] = harbor.receiver_answer(status=500, body=b"x" * 5000)
    await harbor.tell(tenant)
    for number in range(TRIES):
        await harbor.settle("deliver")
        (delivery,) = await harbor.listed(tenant)
        assert delivery.attempts == number + 1
        if number < TRIES - 1:
            assert delivery.state == "pending"
            assert delivery.next_at
        await harbor.forward(tenant)
    await harbor.settle("deliver")
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.cause, delivery.attempts) == ("failed", "exhausted", 10)
    got = harbor.receiver.of("/down")
    assert len(got) == TRIES
    assert len({one.id for one in got}) == 1
    assert len({one.body for one in got}) == 1
    for one in got:
        judge.verify(one.body, one.headers)
    detail = await harbor.detail(tenant, delivery.id)
    assert [one.trigger for one in detail.attempts] == ["initial"] + ["automatic"] * 9
    kept = detail.attempts[0].exchange
    assert kept.body == "x" * sender.BODY_BYTES
    assert kept.cut
    assert kept.request["webhook-signature"] == sender.REDACTED
    assert kept.request["webhook-id"] == got[0].id
    assert detail.payload == got[0].json | {"timestamp": detail.payload["timestamp"]}


async def test_headers_that_could_be_secret_are_not_kept(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/chatty")
    harbor.receiver.always["/chatty"] = harbor.receiver_answer(
        headers=(("set-cookie", "session=abc"), ("x-internal-token", "t0p"), ("content-type", "text/plain"))
    )
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    (delivery,) = await harbor.listed(tenant)
    (attempt,) = (await harbor.detail(tenant, delivery.id)).attempts
    assert attempt.exchange.response["content-type"] == "text/plain"
    assert attempt.exchange.response["x-internal-token"] == sender.REDACTED
    assert "set-cookie" not in attempt.exchange.response
    sealed = await harbor.owner.fetchval(
        "SELECT answer FROM delivery_attempts WHERE delivery_id = $1", delivery.id
    )
    assert b"thank you" not in sealed


@pytest.mark.parametrize(
    ("name", "given", "status", "cause"),
    [
        ("moved", {"status": 307, "headers": (("location", "http://127.0.0.1:1/"),)}, 307, "redirected"),
        ("broken", {"broken": True}, None, "unreachable"),
        ("refusing", {"status": 403}, 403, "status"),
        ("packed", {"headers": (("content-encoding", "br"),)}, None, "unreadable"),
    ],
)
async def test_what_is_no_success(harbor: Any, name: str, given: Any, status: int | None, cause: str) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, f"/{name}")
    harbor.receiver.always[f"/{name}"] = harbor.receiver_answer(**given)
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.last_status, delivery.last_cause) == ("pending", status, cause)
    assert len(harbor.receiver.of(f"/{name}")) == 1, "nothing is followed, nothing repeated at once"


async def test_nobody_answers_in_time(harbor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "SECONDS", 0.3)
    tenant, held = await harbor.tenant(), asyncio.Event()
    await harbor.endpoint(tenant, "/slow")
    harbor.receiver.always["/slow"] = harbor.receiver_answer(then=held.wait)
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    held.set()
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.last_status, delivery.last_cause) == ("pending", None, "timeout")


async def test_nobody_is_there(harbor: Any) -> None:
    tenant = await harbor.tenant()
    for url in ("http://127.0.0.1:9/x", "https://nobody.invalid/x"):
        view, _ = await harbor.endpoint(tenant, url=url)
        await harbor.tell(tenant)
        await harbor.settle("deliver")
        delivery = (await harbor.listed(tenant, endpoint_id=view.id))[0]
        assert (delivery.state, delivery.last_status, delivery.last_cause) == ("pending", None, "unreachable")


async def test_a_refused_address_is_not_called(harbor: Any) -> None:
    """As if its name had come to lead to a private address since."""
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant)
    await harbor.owner.execute(
        "UPDATE webhook_endpoints SET url = 'http://169.254.169.254/latest' WHERE id = $1", view.id
    )
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.last_cause) == ("pending", "refused")


async def test_gone_disables_at_once(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/gone")
    harbor.receiver.always["/gone"] = harbor.receiver_answer(status=410)
    await harbor.endpoint(tenant, "/told", types=["endpoint.*"])
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    found = await harbor.view(tenant, view.id)
    assert (found.disabled_cause, found.disabled_at is not None) == ("gone", True)
    (delivery,) = await harbor.listed(tenant, endpoint_id=view.id)
    assert (delivery.state, delivery.cause) == ("failed", "gone")
    (told,) = harbor.receiver.of("/told")
    assert told.json["type"] == "endpoint.disabled"
    assert told.json["data"]["endpoint_id"] == str(view.id)
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    assert len(harbor.receiver.of("/gone")) == 1, "nothing is sent to a disabled endpoint"
    assert "endpoint.disabled" in await harbor.audited(tenant)


IN_TWO_HOURS = "a date in two hours"


def _asks(value: str) -> Any:
    if value == IN_TWO_HOURS:
        value = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    return (("retry-after", value), ("date", format_datetime(datetime.now(UTC), usegmt=True)))


OURS = 10
"""Seconds: twice the first step of our own schedule."""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3600", 3605),
        (IN_TWO_HOURS, 7205),
        ("99999999999", OURS),  # absurd: our own schedule decides
        ("-5", OURS),
        ("soon", OURS),
    ],
)
async def test_retry_after_is_honoured_where_it_can_be_believed(
    harbor: Any, value: str, seconds: int
) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/busy")
    harbor.receiver.answers["/busy"] = [harbor.receiver_answer(status=429, headers=_asks(value))]
    await harbor.tell(tenant)
    before = datetime.now(UTC)
    await harbor.step("deliver")
    (delivery,) = await harbor.listed(tenant)
    wait, second = timedelta(seconds=seconds), timedelta(seconds=1)  # a date is whole seconds
    assert before + wait - second <= delivery.next_at <= datetime.now(UTC) + wait
    resting = (await harbor.view(tenant, view.id)).resting_until
    assert (resting is not None) == (seconds > OURS)
    sent = len(harbor.receiver.of("/busy"))
    if resting is not None:
        await harbor.tell(tenant)
        await harbor.settle("deliver")
        assert len(harbor.receiver.of("/busy")) == sent, "nothing else is sent there meanwhile either"


async def test_notice_after_a_day_and_disabled_after_five(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/dead")
    harbor.receiver.always["/dead"] = harbor.receiver_answer(status=502)
    await harbor.endpoint(tenant, "/notices", types=["endpoint.*"])
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    assert (await harbor.view(tenant, view.id)).failing_since
    assert harbor.receiver.of("/notices") == []
    for _ in range(2):
        await harbor.failing_for(view, timedelta(days=1, minutes=1))
        await harbor.forward(tenant)
        await harbor.settle("deliver")
    (notice,) = harbor.receiver.of("/notices")
    assert notice.json["type"] == "endpoint.failing"
    at = datetime.fromisoformat(notice.json["data"]["disables_at"])
    assert timedelta(days=3, hours=23) < at - datetime.now(UTC) < timedelta(days=4, hours=1)
    await harbor.failing_for(view, timedelta(days=5, minutes=1))
    await harbor.forward(tenant)
    await harbor.settle("deliver")
    assert (await harbor.view(tenant, view.id)).disabled_cause == "failing"
    assert [one.json["type"] for one in harbor.receiver.of("/notices")] == [
        "endpoint.failing",
        "endpoint.disabled",
    ]
    (delivery,) = await harbor.listed(tenant, endpoint_id=view.id)
    assert (delivery.state, delivery.cause) == ("failed", "disabled")
    assert {"endpoint.failing", "endpoint.disabled"} <= set(await harbor.audited(tenant))


async def test_one_success_ends_the_failing(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/back")
    harbor.receiver.answers["/back"] = [harbor.receiver_answer(status=500)]
    await harbor.tell(tenant)
    await harbor.settle("deliver")
    await harbor.failing_for(view, timedelta(days=2))
    await harbor.forward(tenant)
    await harbor.settle("deliver")
    found = await harbor.view(tenant, view.id)
    assert (found.failing_since, found.noticed_at, found.disabled_at) == (None, None, None)


async def test_one_subject_at_a_time_and_in_order(harbor: Any) -> None:
    tenant, a, b = await harbor.tenant(), uuid4(), uuid4()
    await harbor.endpoint(tenant, "/ordered", ordering="connection")
    harbor.receiver.answers["/ordered"] = [harbor.receiver_answer(status=500)]
    told = [await harbor.tell(tenant, subject=a, name=f"a{n}") for n in range(4)]
    await harbor.settle("deliver")
    await harbor.tell(tenant, subject=b, name="b0")
    await harbor.settle("deliver")
    names = [one.json["data"]["name"] for one in harbor.receiver.of("/ordered")]
    assert names == ["a0", "b0"], "what failed holds up its own subject and no other"
    await harbor.forward(tenant)
    await harbor.settle("deliver")
    names = [one.json["data"]["name"] for one in harbor.receiver.of("/ordered")]
    assert names == ["a0", "b0", "a0", "a1", "a2", "a3"]
    assert len(told) == 4


async def test_without_order_a_failure_holds_up_nothing(harbor: Any) -> None:
    tenant, a = await harbor.tenant(), uuid4()
    await harbor.endpoint(tenant, "/free", concurrency=4)
    harbor.receiver.answers["/free"] = [harbor.receiver_answer(status=500)]
    for number in range(9):
        await harbor.tell(tenant, subject=a, name=f"{number}")
    await harbor.settle("deliver")
    assert len(harbor.receiver.of("/free")) == 9
    states = [one.state for one in await harbor.listed(tenant)]
    assert sorted(states) == ["pending"] + ["succeeded"] * 8
    assert harbor.receiver.most["/free"] <= 4


async def test_concurrency_is_kept(harbor: Any) -> None:
    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/narrow", concurrency=3)
    waiting = asyncio.Event()

    async def until_three() -> None:
        if harbor.receiver.now["/narrow"] == 3:
            waiting.set()
        await waiting.wait()

    harbor.receiver.always["/narrow"] = harbor.receiver_answer(then=until_three)
    for _ in range(7):
        await harbor.tell(tenant)
    await harbor.settle("deliver")
    assert harbor.receiver.most["/narrow"] == 3
    assert len(harbor.receiver.of("/narrow")) == 7


async def test_a_dead_endpoint_slows_nobody(harbor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one holds its requests, everything goes to the other; both are the same tenant's."""
    tenant, held = await harbor.tenant(), asyncio.Event()
    await harbor.endpoint(tenant, "/held")
    await harbor.endpoint(tenant, "/alive")
    harbor.receiver.always["/held"] = harbor.receiver_answer(then=held.wait)
    for _ in range(20):
        await harbor.tell(tenant)
    stuck = asyncio.create_task(harbor.step("deliver", caps=Caps(tenant=2, connection=4)))
    async with asyncio.timeout(20):
        while len(harbor.receiver.of("/alive")) < 20:  # noqa: ASYNC110 - the receiver tells nobody
            await asyncio.sleep(0.01)
    assert not stuck.done()
    assert harbor.receiver.most["/held"] <= 8
    held.set()
    await stuck
    await harbor.settle("deliver")


async def test_killed_between_sending_and_recording_it_is_sent_again_under_its_id(
    harbor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = await harbor.tenant()
    _, judge = await harbor.endpoint(tenant, "/twice")
    event = await harbor.tell(tenant)

    class Killed(BaseException):
        pass

    handler = harbor.handlers["deliver"]

    async def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(handler, "_record", die)
        with pytest.raises(Killed):
            await harbor.step("deliver")
    assert (await harbor.listed(tenant))[0].attempts == 0
    await harbor.owner.execute(
        "UPDATE work SET lease_until = now() - interval '1 s' WHERE tenant_id = $1", tenant
    )
    await harbor.settle("deliver")
    first, second = harbor.receiver.of("/twice")
    assert first.id == second.id == f"msg_{event.hex}"
    assert first.body == second.body
    judge.verify(second.body, second.headers)
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.attempts) == ("succeeded", 1)


async def test_a_worker_that_lost_its_lease_records_nothing(harbor: Any) -> None:
    tenant = await harbor.tenant()
    view, _ = await harbor.endpoint(tenant, "/late")

    async def taken_over() -> None:
        await harbor.owner.execute(
            "UPDATE work SET attempt = attempt + 1, leased_by = 'other' WHERE tenant_id = $1"
            " AND kind = 'deliver'",
            tenant,
        )

    harbor.receiver.answers["/late"] = [harbor.receiver_answer(status=500, then=taken_over)]
    await harbor.tell(tenant)
    with pytest.raises(LeaseLostError):
        await harbor.step("deliver")
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.attempts, delivery.state) == (0, "pending")
    assert (await harbor.view(tenant, view.id)).failing_since is None


async def test_a_rate_is_kept_to(harbor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Told by what is waited for, while the clock stands: 5 a second are 0.2 s between two."""
    asked: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        asked.append(seconds)
        await real(0)

    tenant = await harbor.tenant()
    await harbor.endpoint(tenant, "/paced", rate=5)
    for _ in range(4):
        await harbor.tell(tenant)
    monkeypatch.setattr("trunkline.deliveries.jobs.asyncio.sleep", sleep)
    monkeypatch.setattr("trunkline.deliveries.jobs.time", SimpleNamespace(monotonic=lambda: 100.0))
    await harbor.step("deliver")
    monkeypatch.undo()
    assert [one for one in asked if one] == pytest.approx([0.2, 0.4, 0.6, 0.8])


async def test_a_worker_sends_in_a_lane_of_its_own(harbor: Any) -> None:
    """The whole worker as it is run: what waits for an endpoint takes no place from other work."""
    tenant, stop, held = await harbor.tenant(), asyncio.Event(), asyncio.Event()
    await harbor.endpoint(tenant, "/worker", concurrency=1, types=["*"])
    harbor.receiver.always["/worker"] = harbor.receiver_answer(then=held.wait)
    lanes = harbor.services.lanes()
    assert sorted(kind for lane in lanes for kind in lane.handlers) == sorted(harbor.handlers)
    settings = msgspec.structs.replace(harbor.services.settings, worker_jobs=1)
    working = asyncio.create_task(run_worker(settings, stop))
    try:
        await harbor.tell(tenant)
        async with asyncio.timeout(30):
            while not harbor.receiver.of("/worker"):  # noqa: ASYNC110 - the receiver tells nobody
                await asyncio.sleep(0.02)
            # the only place of the other lane is free
            await harbor.owner.execute(
                "INSERT INTO work (tenant_id, id, kind, key) VALUES ($1, uuidv7(), 'purge_answers', 'answers')",
                tenant,
            )
            while await harbor.owner.fetchval(  # noqa: ASYNC110
                "SELECT count(*) FROM work WHERE tenant_id = $1 AND kind = 'purge_answers'", tenant
            ):
                await asyncio.sleep(0.02)
        assert (await harbor.listed(tenant))[0].state == "pending"
        held.set()
        async with asyncio.timeout(30):
            while (await harbor.listed(tenant))[0].state == "pending":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    finally:
        held.set()
        stop.set()
        await working


async def test_killed_with_a_request_under_way_another_worker_sends_it_again(harbor: Any) -> None:
    """Worker processes as they are run, the first ended by SIGKILL while the receiver has its request in hand."""
    tenant, held = await harbor.tenant(), asyncio.Event()
    _, judge = await harbor.endpoint(tenant, "/killed")
    harbor.receiver.answers["/killed"] = [harbor.receiver_answer(then=held.wait)]
    settings = harbor.services.settings
    environment = {
        **os.environ,
        "TRUNKLINE_DATA": str(settings.data),
        "TRUNKLINE_DATABASE_URL": settings.database_url,
        "TRUNKLINE_VALKEY_URL": settings.valkey_url,
        "TRUNKLINE_LEASE_SECONDS": "2",
        "TRUNKLINE_HEARTBEAT_SECONDS": "1",
    }

    async def worker() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "trunkline.main", "worker"),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    event = await harbor.tell(tenant)
    first = await worker()
    second = None
    try:
        async with asyncio.timeout(60):
            while not harbor.receiver.of("/killed"):  # noqa: ASYNC110 - the receiver tells nobody
                await asyncio.sleep(0.02)
            first.kill()
            await first.wait()
            held.set()
            assert (await harbor.listed(tenant))[0].attempts == 0
            second = await worker()
            while (await harbor.listed(tenant))[0].state == "pending":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    finally:
        held.set()
        for process in (first, second):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
    got = harbor.receiver.of("/killed")
    assert [one.id for one in got] == [f"msg_{event.hex}"] * 2
    judge.verify(got[1].body, got[1].headers)
    (delivery,) = await harbor.listed(tenant)
    assert (delivery.state, delivery.attempts) == ("succeeded", 1)
