"""Deterministic data of the simulated help desks."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import Account
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.freshdesk.simulator_schema import (
    AGENTS,
    COMPANIES,
    CONTACTS,
    CONVERSATIONS,
    TICKETS,
    TYPES,
)

Values = dict[str, Any]


class HelpDesk(msgspec.Struct, frozen=True):
    """A Freshdesk account; counts are of live, spam and deleted objects together."""

    id: str
    name: str
    domain: str
    counts: dict[str, int]

    @property
    def account(self) -> Account:
        parts = [f"{count:,} {kind}" for kind, count in self.counts.items() if count]
        return Account(self.id, self.name, " · ".join(parts), f"{self.domain}.freshdesk.com")


DESKS = (
    HelpDesk(
        "2043001", "Meridian Coffee", "meridian", {AGENTS: 8, COMPANIES: 60, CONTACTS: 210, TICKETS: 340}
    ),
    HelpDesk(
        "2043002", "Paper Lantern", "paperlantern", {AGENTS: 2, COMPANIES: 8, CONTACTS: 22, TICKETS: 28}
    ),
    HelpDesk("2043003", "Just Signed Up", "justsignedup", {AGENTS: 1, COMPANIES: 0, CONTACTS: 0, TICKETS: 0}),
)
_START = datetime(2024, 1, 8, 8, tzinfo=UTC)
_DAYS = 800
_FIRST = {AGENTS: 43_000_000_000, COMPANIES: 43_100_000_000, CONTACTS: 43_200_000_000, TICKETS: 0}
OWNER = _FIRST[AGENTS] + 1
"""Id of every help desk's first agent, whose key it is."""

_NAMES = (
    "Alma", "Bea", "Cosmo", "Dario", "Ewa", "Flora", "Gil", "Hiroko", "Ida", "Jamal", "Kai", "Lucía",
    "Mårten", "Ngozi", "Ola", "Per", "שרה", "Юрий", "Zita",
)  # fmt: skip
_SUBJECTS = (
    "Order never arrived", "Grinder makes noise", "Change my address", "فاتورة خاطئة", "Double charge",
    "Login link <expired>", "Subscription paused?", "Gift card balance", "Invoice for March & April",
)  # fmt: skip
_COMPANIES = ("Roast", "Bean & Leaf", "Cup", "Filter", "Drip", "Crema", "Mokka", "Arabica", "Latte", "Brew")


def seed_desk(seed: int, desk: HelpDesk, now: Now) -> dict[str, list[SimulatedObject]]:
    """Everything of one account, by type. A tenth of the tickets were made in the 20 days before this one."""
    made: dict[str, list[SimulatedObject]] = {CONVERSATIONS: []}
    number = 44_000_000_000
    newest = now().replace(hour=0, minute=0, second=0, microsecond=0)
    for kind in desk.counts:
        rng = repeatable(f"{seed}:{desk.id}:{kind}")
        made[kind] = []
        for own in ids(seed, desk, kind):
            created = _START + timedelta(seconds=rng.randrange(_DAYS * 86_400))
            updated = created + timedelta(seconds=rng.randrange(40 * 86_400))
            if kind == TICKETS and rng.random() < 0.1:
                created = newest - timedelta(seconds=rng.randrange(7200, 20 * 86_400))
                updated = created + timedelta(seconds=rng.randrange(3600))
            values = make(rng, seed, desk, kind, own)
            gone = (
                updated + timedelta(minutes=1)
                if kind in {TICKETS, CONTACTS} and rng.random() < 0.04
                else None
            )
            made[kind].append(SimulatedObject(str(own), values, created, gone or updated, gone))
            if kind == TICKETS:
                for conversation in _conversations(rng, values, own):
                    number += 1
                    made[CONVERSATIONS].append(SimulatedObject(str(number), conversation, created, created))
    return made


def make(rng: random.Random, seed: int, desk: HelpDesk, kind: str, own: int) -> Values:
    """One object's values in the API's names."""
    companies = ids(seed, desk, COMPANIES)
    name = f"{rng.choice(_NAMES)} {rng.choice(_NAMES)}"
    company = rng.choice(companies) if companies and rng.random() < 0.8 else None
    if kind == AGENTS:
        return {"name": name, "email": f"agent{own}@{desk.domain}.example", "occasional": rng.random() < 0.2}
    if kind == COMPANIES:
        return {
            "name": f"{rng.choice(_COMPANIES)} {own % 10_000_000}",
            "description": rng.choice((None, "Since 2019")),
            "note": None,
            "domains": [f"company{own % 10_000_000}.example"] if rng.random() < 0.8 else [],
            "health_score": rng.choice((None, "Happy", "At risk")),
            "account_tier": rng.choice((None, "Basic", "Premium")),
            "renewal_date": rng.choice((None, "2027-12-31T00:00:00Z")),
            "industry": rng.choice((None, "Food", "Retail")),
            "custom_fields": {"segment": rng.choice((None, "SMB", "Großkunde"))},
        }
    if kind == CONTACTS:
        return {
            "name": name,
            "email": f"contact{own % 10_000_000}@mail.example" if rng.random() < 0.93 else None,
            "phone": f"+1 555 {rng.randint(10**6, 10**7)}" if rng.random() < 0.5 else None,
            "mobile": None,
            "company_id": company,
            "job_title": rng.choice((None, "Barista", "Buyer")),
            "language": "en",
            "time_zone": "London",
            "address": None,
            "description": None,
            "unique_external_id": None,
            "view_all_tickets": False,
            "active": rng.random() < 0.6,
            "blocked": rng.random() < 0.03,
            "tags": [],
            "custom_fields": {"newsletter": rng.choice((None, "yes", "no"))},
        }
    contacts = ids(seed, desk, CONTACTS)
    agents = ids(seed, desk, AGENTS)
    return {
        "subject": rng.choice(_SUBJECTS),
        "description": "<div>It worked last week.</div>",
        "status": rng.choice((2, 2, 3, 4, 5, 5)),
        "priority": rng.choice((1, 1, 2, 3, 4)),
        "source": rng.choice((1, 2, 3, 7, 9)),
        "type": rng.choice((None, *TYPES)),
        "requester_id": rng.choice(contacts or agents),
        "responder_id": rng.choice((*agents, None)),
        "company_id": company,
        "group_id": None,
        "due_by": None,
        "cc_emails": [],
        "spam": rng.random() < 0.04,
        "tags": rng.sample(("shipping", "vip", "wholesale"), rng.randint(0, 2)),
        "custom_fields": {
            "cf_plan": rng.choice((None, "weekly", "monthly")),
            "cf_region": rng.choice((None, "EU", "北海道")),
        },
    }


def ids(seed: int, desk: HelpDesk, kind: str) -> list[int]:
    rng = repeatable(f"{seed}:{desk.id}:{kind}:ids")
    number = _FIRST[kind]
    found = []
    for position in range(desk.counts.get(kind, 0)):
        number += rng.randint(1, 3) if position else 1
        found.append(number)
    return found


def _conversations(rng: random.Random, ticket: Values, own: int) -> Iterator[Values]:
    for _ in range(rng.randint(0, 3)):
        incoming = rng.random() < 0.5
        text = rng.choice(("Any news?", "We have sent a new one.", "Danke schön!"))
        yield {
            "ticket_id": own,
            "user_id": ticket["requester_id"] if incoming else OWNER,
            "body": f"<div>{text}</div>",
            "body_text": text,
            "incoming": incoming,
            "private": not incoming and rng.random() < 0.3,
            "source": 0 if incoming else 2,
        }
