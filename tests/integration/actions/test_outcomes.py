"""What becomes of a call that meets trouble: nothing is said that is not sure, and nothing is there twice."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from trunkline.kernel.errors import ConflictError, ForbiddenError
from trunkline.sdk.manifest import Manifest

TICKET = {"subject": "It broke", "body": "All of it."}


def sent_never_again(manifest: Manifest) -> Manifest:
    """HubSpot's notes as if nothing found them again."""
    actions = tuple(
        msgspec.structs.replace(one, repeat="never", find=None) if one.name == "add_note" else one
        for one in manifest.actions
    )
    return msgspec.structs.replace(manifest, actions=actions)


def contact_of(acting: Any) -> str:
    return str(next(acting.simulator.store.walk(acting.row.account, "contacts")).id)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Waits for a limit are over at once, as often as a call has patience."""

    def stop(acting: Any) -> None:
        async def slept(seconds: float) -> None:
            return None

        monkeypatch.setattr(acting.services.provider.calls, "_sleep", slept)

    return stop


async def decide(acting: Any, call_id: Any, outcome: str) -> Any:
    async with acting.services.db.tenant(acting.tenant) as session:
        return await acting.service.decide(session, acting.tenant, acting.who, call_id, outcome)


async def retry(acting: Any, call_id: Any) -> Any:
    async with acting.services.db.tenant(acting.tenant) as session:
        return await acting.service.retry(session, acting.tenant, acting.who, call_id)


async def test_what_nobody_can_tell_waits_for_a_person(scene):
    hubspot = (await scene("hubspot", change=sent_never_again))["hubspot"]
    given = {"contact_id": contact_of(hubspot), "body": "Called."}
    before = len(hubspot.ledger)
    hubspot.simulator.faults.add("lost", requests=1)
    written = await hubspot.act("add_note", given)
    hubspot.simulator.faults.add("500", requests=1)
    not_written = await hubspot.act("add_note", given)
    for call in (written, not_written):
        assert (call.state, call.cause, call.can_retry) == ("unknown", "unknown_outcome", False)
        assert "We did not send it again." in call.message
    assert len(hubspot.ledger) - before == 1
    assert await hubspot.issues() == ["unknown_outcome"]
    for call in (written, not_written):  # a worker that comes by changes nothing
        assert await hubspot.attempt(call.id) == call

    there = await decide(hubspot, written.id, "written")
    assert (there.state, there.cause, there.decided_by, there.can_retry) == ("done", None, "Ada", False)
    assert await hubspot.issues() == ["unknown_outcome"]  # one still waits
    missing = await decide(hubspot, not_written.id, "not_written")
    assert (missing.state, missing.cause, missing.can_retry, missing.decided_by) == (
        "failed", None, True, "Ada",
    )  # fmt: skip
    assert await hubspot.issues() == []
    with pytest.raises(ConflictError, match="not waiting for a decision"):
        await decide(hubspot, written.id, "not_written")

    await retry(hubspot, not_written.id)
    again = await hubspot.ended(not_written.id)
    assert (again.state, again.decided_by, len(hubspot.ledger) - before) == ("done", None, 2)
    with pytest.raises(ConflictError, match="Only a call that failed"):
        await retry(hubspot, not_written.id)
    said = await hubspot.rows(
        "SELECT action, detail FROM audit_entries WHERE tenant_id = :tenant AND action LIKE 'action.%' "
        "ORDER BY sequence"
    )
    assert [one.action for one in said] == [
        "action.asked", "action.asked", "action.decided", "action.decided", "action.retried",
    ]  # fmt: skip
    assert [one.detail.get("outcome") for one in said[2:4]] == ["written", "not_written"]


async def test_a_key_that_the_provider_may_have_forgotten_is_not_sent_again(scene, no_waiting):
    """The answer was lost, then a limit held the repetition up until long after the key's two hours."""
    zendesk = (await scene("zendesk"))["zendesk"]
    no_waiting(zendesk)
    before = len(zendesk.ledger)
    zendesk.simulator.faults.add("lost", requests=1)
    call_id = await zendesk.ask("create_ticket", TICKET)
    assert (await zendesk.attempt(call_id)).state == "checking"
    made = len(zendesk.ledger) - before
    assert made > 0
    zendesk.simulator.faults.add("429", requests=50)
    await zendesk.later(call_id, 60)
    held_up = await zendesk.attempt(call_id)
    assert (held_up.state, held_up.cause) == ("checking", "rate_limited")
    zendesk.simulator.faults.clear()
    await zendesk.later(call_id, 3 * 3600)
    call = await zendesk.attempt(call_id)
    assert (call.state, call.cause, len(zendesk.ledger) - before) == ("unknown", "unknown_outcome", made)


async def test_a_key_counts_from_the_sending_that_may_have_arrived(scene, no_waiting):
    """Held up by a limit for hours before anything was written, a lost answer is still asked for again."""
    zendesk = (await scene("zendesk"))["zendesk"]
    no_waiting(zendesk)
    before = len(zendesk.ledger)
    zendesk.simulator.faults.add("429", requests=50)
    call_id = await zendesk.ask("create_ticket", TICKET)
    waiting = await zendesk.attempt(call_id)
    assert (waiting.state, waiting.cause, len(zendesk.ledger)) == ("queued", "rate_limited", before)
    assert waiting.due_at is not None
    zendesk.simulator.faults.clear()
    await zendesk.later(call_id, 3 * 3600)
    zendesk.simulator.faults.add("lost", requests=1)
    assert (await zendesk.attempt(call_id)).state == "checking"
    made = len(zendesk.ledger) - before
    call = await zendesk.ended(call_id)
    assert (call.state, len(zendesk.ledger) - before) == ("done", made)


async def test_a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_written(scene):
    hubspot = (await scene("hubspot"))["hubspot"]
    deal = next(hubspot.simulator.store.walk(hubspot.row.account, "deals"))
    before = len(hubspot.ledger)
    hubspot.simulator.faults.add("lost", requests=1)
    call_id = await hubspot.ask("update_deal_stage", {"deal_id": deal.id, "stage": "contractsent"})
    assert (await hubspot.attempt(call_id)).state == "checking"
    assert len(hubspot.ledger) - before == 1
    hubspot.simulator.store.archive(hubspot.row.account, "deals", deal.id)
    await hubspot.later(call_id, 5)
    call = await hubspot.attempt(call_id)
    assert call.state == "unknown"
    assert await hubspot.issues() == ["unknown_outcome"]


async def test_access_that_goes_after_a_lost_answer_leaves_it_to_be_cleared_up(scene):
    hubspot = (await scene("hubspot"))["hubspot"]
    before = len(hubspot.ledger)
    hubspot.simulator.faults.add("lost", requests=1)
    call_id = await hubspot.ask("upsert_contact", {"email": "new@acts.example"})
    assert (await hubspot.attempt(call_id)).state == "checking"
    hubspot.revoke()
    await hubspot.later(call_id, 5)
    call = await hubspot.attempt(call_id)
    assert (call.state, call.can_retry) == ("checking", False)
    assert call.cause in {"grant_revoked", "token_rejected"}
    assert await hubspot.state() == "reconnect_required"
    await hubspot.connect(actions=None)
    await hubspot.later(call_id, 600)
    call = await hubspot.ended(call_id)
    assert (call.state, len(hubspot.ledger) - before) == ("done", 1)


async def test_a_revoked_grant_fails_the_call_and_asks_for_a_reconnect(scene):
    hubspot = (await scene("hubspot"))["hubspot"]
    before = len(hubspot.ledger)
    given = {"email": "new@acts.example"}
    hubspot.revoke()
    call = await hubspot.act("upsert_contact", given)
    assert (call.state, call.can_retry, len(hubspot.ledger)) == ("failed", True, before)
    assert call.cause in {"grant_revoked", "token_rejected"}
    assert await hubspot.state() == "reconnect_required"
    with pytest.raises(ConflictError, match="connected again") as refused:
        await hubspot.ask("upsert_contact", given)
    assert refused.value.code == "connection_reconnect_required"
    with pytest.raises(ConflictError, match="connected again"):
        await retry(hubspot, call.id)

    await hubspot.connect()  # by itself a reconnect keeps what may be written
    await retry(hubspot, call.id)
    again = await hubspot.ended(call.id)
    assert (again.state, len(hubspot.ledger) - before) == ("done", 1)


async def test_a_permission_that_was_not_given_is_named(scene):
    hubspot = (await scene("hubspot"))["hubspot"]
    before = len(hubspot.ledger)
    async with hubspot.services.db.tenant(hubspot.tenant) as session:
        await session.execute(
            text("UPDATE connections SET scopes = array_remove(scopes, 'crm.objects.deals.write')")
        )
    with pytest.raises(ForbiddenError) as refused:
        await hubspot.ask("update_deal_stage", {"deal_id": "1", "stage": "contractsent"})
    assert refused.value.code == "missing_scope"
    assert 'was not given the permission "Change deals"' in refused.value.message
    assert '"update_deal_stage"' in refused.value.message
    assert refused.value.extra["missing"] == ["crm.objects.deals.write"]
    offered = {one.name: one for one in await offered_by(hubspot)}
    assert offered["update_deal_stage"].missing_scopes == ["crm.objects.deals.write"]
    assert offered["upsert_contact"].missing_scopes == []
    assert len(hubspot.ledger) == before


async def offered_by(acting: Any) -> Any:
    async with acting.services.db.tenant(acting.tenant) as session:
        return await acting.service.offered(session, acting.tenant, acting.connection)


async def test_a_limit_in_the_middle_is_waited_for(scene, no_waiting):
    """Before the sending, and while it is looked after."""
    hubspot = (await scene("hubspot"))["hubspot"]
    no_waiting(hubspot)
    given, before = {"contact_id": contact_of(hubspot), "body": "Called."}, len(hubspot.ledger)
    hubspot.simulator.faults.add("429", requests=50)
    call_id = await hubspot.ask("add_note", given)
    call = await hubspot.attempt(call_id)
    assert (call.state, call.cause, len(hubspot.ledger)) == ("queued", "rate_limited", before)
    assert call.due_at is not None
    hubspot.simulator.faults.clear()
    await hubspot.later(call_id, 30)
    hubspot.simulator.faults.add("lost", requests=1)
    assert (await hubspot.attempt(call_id)).state == "checking"
    hubspot.simulator.faults.add("429", requests=50)
    await hubspot.later(call_id, 30)
    call = await hubspot.attempt(call_id)
    assert (call.state, call.cause, len(hubspot.ledger) - before) == ("checking", "rate_limited", 1)
    hubspot.simulator.faults.clear()
    await hubspot.later(call_id, 600)
    call = await hubspot.ended(call_id)
    assert (call.state, len(hubspot.ledger) - before) == ("done", 1)


@pytest.mark.parametrize("lost", [False, True], ids=["never sent", "perhaps written"])
async def test_after_a_day_it_is_given_up(scene, no_waiting, lost):
    hubspot = (await scene("hubspot"))["hubspot"]
    no_waiting(hubspot)
    call_id = await hubspot.ask("upsert_contact", {"email": "new@acts.example"})
    if lost:
        hubspot.simulator.faults.add("lost", requests=1)
        assert (await hubspot.attempt(call_id)).state == "checking"
    hubspot.simulator.faults.add("429", requests=200)
    await hubspot.later(call_id, 23 * 3600, asked=True)
    call = await hubspot.attempt(call_id)
    assert call.state == ("checking" if lost else "queued")
    await hubspot.later(call_id, 2 * 3600, asked=True)
    call = await hubspot.attempt(call_id)
    if lost:
        assert (call.state, call.cause) == ("unknown", "unknown_outcome")
        assert await hubspot.issues() == ["unknown_outcome"]
    else:
        assert (call.state, call.cause, call.can_retry) == ("failed", "write_given_up", True)
        assert "nothing was written" in call.message
    # and what could be retried goes out when somebody says so, not by itself
    before = len(hubspot.ledger)
    hubspot.simulator.faults.clear()
    assert await hubspot.attempt(call_id) == call
    assert len(hubspot.ledger) == before


async def test_what_waited_for_more_than_a_day_is_not_sent_at_all(scene):
    """No worker ran: a write of the day before yesterday is no surprise that anybody wants."""
    hubspot = (await scene("hubspot"))["hubspot"]
    before = len(hubspot.ledger)
    call_id = await hubspot.ask("upsert_contact", {"email": "new@acts.example"}, now_and_here=False)
    await hubspot.later(call_id, 25 * 3600, asked=True)
    call = await hubspot.attempt(call_id)
    assert (call.state, call.cause, len(hubspot.ledger)) == ("failed", "write_given_up", before)
    await retry(hubspot, call_id)
    assert (await hubspot.ended(call_id)).state == "done"


async def test_tried_again_it_is_another_request(scene):
    """A provider that keeps a refusal under its key would only repeat it."""
    stage = await scene("stripe")
    stripe = stage["stripe"]
    call = await stripe.act("update_customer", {"customer_id": "cus_none", "name": "Nora"})
    assert (call.state, call.cause) == ("failed", "write_refused")
    await retry(stripe, call.id)
    assert (await stripe.ended(call.id)).state == "failed"
    assert len(set(stage.wire.keys)) == len(stage.wire.keys) == 2


async def test_of_several_those_that_are_refused_are_named(scene):
    hubspot = (await scene("hubspot"))["hubspot"]
    before = len(hubspot.ledger)
    inputs = [
        {"email": "one@acts.example", "first_name": "One"},
        {"email": "two@acts.example", "fields": {"lifecyclestage": "king"}},
        {"email": "three@acts.example"},
    ]
    hubspot.simulator.faults.add("lost", requests=1)
    call_id = await hubspot.ask("upsert_contact", inputs=inputs)
    call = await hubspot.ended(call_id)
    hubspot.simulator.faults.clear()
    assert (call.state, call.count, call.cause) == ("partial", 3, "write_refused")
    assert [(one.error, one.field) for one in call.results] == [
        (None, None), ("write_refused", "fields.lifecyclestage"), (None, None),
    ]  # fmt: skip
    ids = [one.id for one in call.results]
    assert ids[1] is None
    assert len({ids[0], ids[2]} - {None}) == 2
    assert call.result_id is None
    assert len(hubspot.ledger) - before == 2
    assert not call.can_retry
    kept = await hubspot.rows("SELECT input FROM action_calls WHERE tenant_id = :tenant")
    assert [one.input for one in kept] == [None]


async def test_of_several_in_one_transaction_each_is_told_by_its_place(scene):
    """Salesforce answers in the order of what was sent."""
    salesforce = (await scene("salesforce"))["salesforce"]
    contacts = [one.id for one, _ in zip(
        salesforce.simulator.store.walk(salesforce.row.account, "contacts"), range(2), strict=False)]  # fmt: skip
    ids = [salesforce.simulator.public_id("contacts", one) for one in contacts]
    before = len(salesforce.ledger)
    inputs = [
        {"contact_id": ids[0], "fields": {"Title": "Chief"}},
        {"contact_id": ids[1], "fields": {"IsDeleted": True}},
    ]
    call = await salesforce.ended(await salesforce.ask("update_contacts", inputs=inputs))
    assert call.state == "partial"
    assert [(one.error, one.field) for one in call.results] == [
        (None, None), ("write_refused", "fields.IsDeleted"),
    ]  # fmt: skip
    assert len(salesforce.ledger) - before == 1
