"""Each connector's actions against its provider: done once, whatever happens to the request or the answer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from journey_kit.acting import Acting
from journey_kit.journey import quick
from journey_kit.rows import ROWS
from journey_kit.way import Ahead, live

from trunkline.sdk.registry import Connectors
from trunkline.services import build_services
from trunkline_connectors.catalogue import manifests

Given = Callable[[Any, str], dict[str, Any]]


def first(kind: str, name: str, **more: Any) -> Given:
    """The input of an action on the first live record of a kind."""

    def made(simulator: Any, account: str) -> dict[str, Any]:
        own = live(simulator, account, kind)[0].id
        public = simulator.public_id(kind, own)
        whole = simulator.name in {"zendesk", "freshdesk", "pipedrive"}
        return {name: int(public) if whole else public, **more}

    return made


def plain(**given: Any) -> Given:
    return lambda simulator, account: given


@dataclass(frozen=True, kw_only=True)
class Case:
    """An action, what is given to it, and how many mutations of the provider once is."""

    given: Given
    mutations: int = 1
    wrong: tuple[dict[str, Any], str] | None = None
    """What the provider refuses, and the input that it blames."""
    lost: str = "done"
    """What becomes of it where the answer was lost."""
    scripts: tuple[str, ...] = field(default=())


CASES: dict[str, dict[str, Case]] = {
    "hubspot": {
        "upsert_contact": Case(
            given=plain(email="new@acts.example", first_name="Nora", fields={"favourite_plan": "team"}),
            wrong=({"email": "other@acts.example", "fields": {"no_such": "x"}}, "fields.no_such"),
        ),
        "upsert_company": Case(
            given=plain(domain="acts.example", name="Acts"),
            wrong=({"domain": "acts2.example", "fields": {"industry": "FISHING"}}, "fields.industry"),
        ),
        "update_deal_stage": Case(
            given=first("deals", "deal_id", stage="contractsent", fields={"hs_priority": "high"})
        ),
        "add_note": Case(given=first("contacts", "contact_id", body="Called, <b>wants</b> a quote.")),
    },
    "salesforce": {
        "upsert_contact": Case(
            given=plain(email="new@acts.example", last_name='O\'Hara "the" new', fields={"Plan__c": "Team"}),
            wrong=(
                {"email": "x@acts.example", "last_name": "X", "fields": {"IsDeleted": True}},
                "fields.IsDeleted",
            ),
        ),
        "upsert_contact_by_key": Case(
            given=plain(key_field="External_Id__c", key="acts-1", last_name="Keyed")
        ),
        "update_contacts": Case(
            given=first("contacts", "contact_id", fields={"Plan__c": "Business"}),
        ),
        "upsert_company": Case(given=plain(name="Acts' own", fields={"Type": "Prospect"})),
        "update_deal_stage": Case(given=first("opportunities", "deal_id", stage="Closed Lost")),
        "add_note": Case(given=first("contacts", "contact_id", title="Call", body="Wants a quote.")),
    },
    "pipedrive": {
        "upsert_contact": Case(given=plain(email="new@acts.example", name="Nora New")),
        "upsert_company": Case(given=plain(name="Acts")),
        "update_deal_stage": Case(given=first("deals", "deal_id", stage_id=3, status="won")),
        "add_note": Case(given=first("persons", "person_id", body="Called.")),
    },
    "zendesk": {
        "create_ticket": Case(
            given=plain(subject="It broke", body="All of it.", priority="high", fields={"27642002": "EMEA"}),
            mutations=2,
            wrong=({"subject": "s", "body": "b", "requester_id": 1}, "requester_id"),
        ),
        "update_ticket": Case(
            given=first("tickets", "ticket_id", subject="Changed", fields={"27642002": "APAC"})
        ),
        "add_comment": Case(given=first("tickets", "ticket_id", body="We look into it.", public=False)),
        "add_tags": Case(given=first("tickets", "ticket_id", tags=["acts"])),
        "upsert_contact": Case(given=plain(email="new@acts.example", name="Nora", fields={"plan": "team"})),
        "upsert_company": Case(given=plain(external_id="acts-1", name="Acts", fields={"tier": "gold"})),
    },
    "freshdesk": {
        "create_ticket": Case(
            given=plain(
                email="new@acts.example",
                subject="It broke",
                body="<p>All of it.</p>",
                status="open",
                priority="high",
                fields={"cf_plan": "team"},
            ),
            mutations=2,
        ),
        "update_ticket": Case(
            given=first("tickets", "ticket_id", fields={"cf_region": "acts"}),
            wrong=({"agent_id": 1}, "agent_id"),
        ),
        # which moves the ticket's own time too
        "add_comment": Case(given=first("tickets", "ticket_id", body="We look into it."), mutations=2),
        "set_tags": Case(given=first("tickets", "ticket_id", tags=["acts"])),
        "upsert_contact": Case(
            given=plain(email="other@acts.example", name="Nora", fields={"newsletter": "yes"})
        ),
        "upsert_company": Case(given=plain(name="Acts", fields={"segment": "new"})),
    },
    "intercom": {
        "upsert_contact": Case(
            given=plain(email="new@acts.example", name="Nora", fields={"plan": "team"}),
            wrong=({"email": "no address"}, "email"),
        ),
        "upsert_company": Case(given=plain(company_id="acts-1", name="Acts", fields={"tier": "gold"})),
        "create_ticket": Case(
            given=lambda simulator, account: {
                **first("contacts", "contact_id")(simulator, account),
                "ticket_type_id": "1",
                "title": "It broke",
                "body": "All of it.",
            },
        ),
        "update_ticket": Case(given=first("tickets", "ticket_id", title="Changed by acts")),
        "add_comment": Case(
            given=lambda simulator, account: {
                **first("conversations", "conversation_id")(simulator, account),
                "admin_id": live(simulator, account, "admins")[0].id,
                "kind": "note",
                "body": "A <b>note</b>.",
            },
        ),
        "add_tag": Case(
            given=lambda simulator, account: {
                **first("conversations", "conversation_id")(simulator, account),
                "admin_id": live(simulator, account, "admins")[0].id,
                "tag_id": "acts",
            },
        ),
    },
    "stripe": {
        "create_customer": Case(
            given=plain(name="Nora & Sons", email="new@acts.example", metadata={"plan": "team", "seats": 5}),
        ),
        "update_customer": Case(
            given=first("customers", "customer_id", metadata={"acts": "yes"}),
            wrong=({"customer_id": "cus_none"}, "customer_id"),
        ),
    },
}


@pytest.fixture(params=CASES)
async def acting(request, settings_for) -> AsyncIterator[Acting]:
    row, clock = ROWS[request.param], Ahead()
    simulator = row.make(now=clock)
    settings = settings_for(simulator)
    connectors = Connectors([quick(manifest) for manifest in manifests()])
    services = build_services(settings, connectors, application="test")
    made = Acting(row, request.param, services, simulator, clock)
    await made.register()
    await made.connect(actions=None)
    yield made
    await made.service.close()
    await services.close()


async def test_every_action_is_done_once(acting):
    cases = CASES[acting.name]
    assert set(cases) == {action.name for action in acting.manifest.actions}
    for name, case in cases.items():
        action = acting.manifest.action(name)
        given = case.given(acting.simulator, acting.row.account)

        # the answer is lost; of the first one also a limit comes before, and others have it in hand too
        before = len(acting.ledger)
        acting.simulator.faults.add("lost", requests=1)
        call_id = await acting.ask(name, given)
        if name == next(iter(cases)) and acting.name not in {"salesforce", "intercom"}:
            acting.simulator.faults.add("429", requests=1)
            await asyncio.gather(*(acting.service.carry_out(acting.tenant, call_id) for _ in range(3)))
        else:
            await acting.service.carry_out(acting.tenant, call_id)
        call = await acting.ended(call_id)
        acting.simulator.faults.clear()
        assert (call.state, call.cause) == (case.lost, None), (name, call)
        assert call.result_id, name
        assert len(acting.ledger) - before == case.mutations, name
        # what ended is not carried out again
        again = await acting.service.carry_out(acting.tenant, call_id)
        assert (again, len(acting.ledger) - before) == (call, case.mutations)

        if action.change is not None:
            before = len(acting.ledger)
            changed = await acting.act(name, given)
            assert (changed.state, changed.result_id) == ("done", call.result_id), name
            assert [one.change for one in acting.ledger[before:]] in ([], ["updated"]), name

        if case.wrong is not None:
            wrong, field = case.wrong
            before = len(acting.ledger)
            refused = await acting.act(name, {**given, **wrong})
            assert (refused.state, refused.cause, refused.results[0].field) == (
                "failed",
                "write_refused",
                field,
            )
            assert refused.can_retry
            assert len(acting.ledger) == before

    if acting.name == "salesforce":  # which says of a limit that it is the day's
        acting.simulator.faults.add("429", requests=1)
        case, before = cases["update_deal_stage"], len(acting.ledger)
        call_id = await acting.ask("update_deal_stage", case.given(acting.simulator, acting.row.account))
        call = await acting.service.carry_out(acting.tenant, call_id)
        assert (call.state, call.cause, len(acting.ledger)) == ("queued", "daily_limit", before)
        assert call.due_at is not None
