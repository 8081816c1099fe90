"""Deterministic data of the simulated Intercom workspaces; what belongs together points to each other."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import Account
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.intercom.simulator_schema import (
    ADMINS,
    APP_HOSTS,
    COMPANIES,
    CONTACTS,
    CONVERSATIONS,
    HOSTS,
    TICKETS,
)

Values = dict[str, Any]


class Workspace(msgspec.Struct, frozen=True):
    """`contacts` people; the other types follow from it. `zone`: whose days the search of contacts counts."""

    id: str
    name: str
    region: str
    zone: str
    contacts: int

    @property
    def account(self) -> Account:
        detail = (
            f"{self.contacts:,} contacts · {self.region}" if self.contacts else "Empty: nothing in it yet"
        )
        return Account(self.id, self.name, detail, APP_HOSTS[self.region])

    @property
    def host(self) -> str:
        return HOSTS[self.region]


WORKSPACES = (
    Workspace("tlnw01aa", "Northwind Outfitters", "US", "America/Los_Angeles", 260),
    Workspace("tlbh02bb", "Blue Harbor Studio", "EU", "Europe/Dublin", 40),
    Workspace("tlqv03cc", "Quiet Valley Labs", "AU", "Australia/Sydney", 0),
)
_START = datetime(2024, 1, 8, 8, tzinfo=UTC)
_DAYS = 600
BASES = {
    CONTACTS: 4_000_000,
    COMPANIES: 7_000_000,
    CONVERSATIONS: 200_000,
    TICKETS: 600_000,
    ADMINS: 5_000,
}
_FIRST = (
    "Anna",
    "Ben",
    "Chloé",
    "Diego",
    "Emeka",
    "Fatima",
    "Søren",
    "Tomás",
    "美咲",
    "Дмитрий",
    "محمد",
    "Zoë",
)
_LAST = (
    "Adler",
    "Brown",
    "Castillo",
    "Dvořák",
    "Müller",
    "O'Brien",
    "Tanaka",
    "van der Berg",
    "الفارسي",
    "Xu",
)
_FIRM = (
    "Alder & Sons",
    "Brightwater",
    "Cobalt <Freight>",
    "Fjord Optics",
    "株式会社 Lumen",
    'Oakline "East"',
)
_ODD = (
    "  padded  ",
    "<b>Bold</b> & Söhne",
    "null",
    "👩\u200d💻",
    "Phone & SMS",
    "Robert'); DROP TABLE students;--",
)
_SUBJECT = (
    "Cannot log in",
    "Invoice is wrong",
    "Export stops at 1,000 rows",
    "حساب مقفل",
    "Wrong <b>address</b>",
)
_STATES = ("submitted", "in_progress", "waiting_on_customer", "resolved")


def seed_objects(seed: int, workspace: Workspace) -> Iterator[tuple[str, list[SimulatedObject]]]:
    """Every type with its objects, ids ascending; the same for the same seed."""
    rng = repeatable(f"{seed}:{workspace.id}")
    size = workspace.contacts
    admins = _rows(rng, ADMINS, min(6, size), lambda place: _admin(rng, place))
    companies = _rows(rng, COMPANIES, size // 6, lambda place: _company(rng, place))
    linked = companies[:-2]  # two have nobody: the lists leave them out
    contacts = _rows(rng, CONTACTS, size, lambda place: _contact(rng, place, linked, admins))
    yield ADMINS, admins
    yield COMPANIES, companies
    yield CONTACTS, contacts
    yield (
        CONVERSATIONS,
        _rows(rng, CONVERSATIONS, size * 2 // 3, lambda _: _conversation(rng, contacts, admins), gone=0.03),
    )
    yield TICKETS, _rows(rng, TICKETS, size // 4, lambda place: _ticket(rng, place, contacts, admins))


def _rows(
    rng: random.Random, kind: str, count: int, make: Any, *, gone: float = 0.0
) -> list[SimulatedObject]:
    rows = []
    number = BASES[kind]
    for place in range(count):
        number += rng.randint(1, 5)
        created = _START + timedelta(seconds=rng.randrange(_DAYS * 86_400))
        updated = created + timedelta(seconds=rng.randrange(90 * 86_400))
        ended = updated + timedelta(days=1) if rng.random() < gone else None
        rows.append(SimulatedObject(str(number), make(place), created, ended or updated, ended))
    return rows


def sample(kind: str, number: int) -> Values:
    """A new object for the control page; the same for the same number. References are left out."""
    rng = repeatable(f"sample:{kind}:{number}")
    if kind == CONTACTS:
        name = f"{rng.choice(_FIRST[:6])} {rng.choice(_LAST[:6])}"
        return {"name": name, "email": f"new.person{number}@chat.example", "role": "user"}
    if kind == COMPANIES:
        return {"name": f"{rng.choice(_FIRM)} {number}", "company_id": f"sandbox-{number}", "forced": True}
    if kind == ADMINS:
        return {"name": f"Teammate {number}", "email": f"teammate{number}@desk.example"}
    if kind == TICKETS:
        return {"title": rng.choice(_SUBJECT), "description": "Made in the sandbox", "state": "submitted"}
    return {"subject": rng.choice(_SUBJECT), "body": "Made in the sandbox", "state": "open"}


def _admin(rng: random.Random, place: int) -> Values:
    return {
        "name": f"{rng.choice(_FIRST[:6])} {rng.choice(_LAST[:6])}",
        "email": f"teammate{place}@desk.example",
        "job_title": rng.choice(("Associate", "Lead", "")),
    }


def _company(rng: random.Random, place: int) -> Values:
    return {
        "name": f"{rng.choice(_FIRM)} {place}",
        "company_id": f"crm-{1000 + place}",
        "website": f"http://firm{place}.example" if rng.random() < 0.6 else None,
        "industry": rng.choice(("Retail", "Food & Beverages", None)),
        "size": rng.choice((1, 7, 180, None)),
        "monthly_spend": rng.choice((0, 49, 990)),
        "plan": rng.choice(("Pro", "Starter", None)),
        "custom_attributes": {"paid_subscriber": True} if rng.random() < 0.3 else {},
    }


def _contact(
    rng: random.Random, place: int, companies: list[SimulatedObject], admins: list[SimulatedObject]
) -> Values:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    plain = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == "."))
    company = companies[place % len(companies)].id if companies and place < len(companies) * 3 else None
    return {
        "role": "user" if rng.random() < 0.8 else "lead",
        "name": rng.choice(_ODD)
        if rng.random() < 0.06
        else f"{first} {last}"
        if rng.random() < 0.95
        else None,
        "email": f"{plain.strip('.') or 'x'}{place}@chat.example",
        "phone": f"+1415{rng.randint(1_000_000, 9_999_999)}" if rng.random() < 0.4 else None,
        "external_id": f"crm-{20_000 + place}" if rng.random() < 0.7 else None,
        "owner": rng.choice(admins).id if rng.random() < 0.3 else None,
        "companies": [company] if company else [],
        "country": rng.choice(("Germany", "Brazil", "United States", None)),
        "city": rng.choice(("Berlin", "São Paulo", "Austin", None)),
        "unsubscribed_from_emails": rng.random() < 0.1,
        "custom_attributes": {"plan": rng.choice(("free", "team")), "seats": rng.randint(1, 50)}
        if rng.random() < 0.5
        else {},
    }


def _conversation(
    rng: random.Random, contacts: list[SimulatedObject], admins: list[SimulatedObject]
) -> Values:
    assigned = rng.choice(admins).id if rng.random() < 0.6 else None
    return {
        "contact": rng.choice(contacts).id,
        "subject": rng.choice(_SUBJECT) if rng.random() < 0.5 else "",
        "body": rng.choice(("It worked last week.", "Please call me back after 5 pm.", rng.choice(_ODD))),
        "state": rng.choice(("open", "closed", "snoozed")),
        "title": rng.choice(_SUBJECT) if rng.random() < 0.3 else None,
        "priority": rng.random() < 0.2,
        "admin": assigned,
        "parts": [
            {"by": assigned if assigned and number % 2 else None, "body": f"<p>Answer {number}</p>"}
            for number in range(rng.randint(0, 3))
        ],
        "custom_attributes": {"Copilot used": rng.random() < 0.5} if rng.random() < 0.5 else {},
    }


def _ticket(
    rng: random.Random, place: int, contacts: list[SimulatedObject], admins: list[SimulatedObject]
) -> Values:
    return {
        "number": place + 1,
        "contact": rng.choice(contacts).id,
        "title": rng.choice(_SUBJECT),
        "description": rng.choice(("It worked last week.", rng.choice(_ODD), None)),
        "state": rng.choice(_STATES),
        "admin": rng.choice(admins).id if rng.random() < 0.6 else None,
    }
