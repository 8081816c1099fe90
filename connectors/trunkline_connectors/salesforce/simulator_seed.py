"""Deterministic data of the simulated Salesforce orgs; what belongs together points to each other."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import Account
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.salesforce.simulator_schema import (
    ACCOUNT,
    CONTACT,
    OPPORTUNITY,
    STAGES,
    TASK,
    USER,
    public_id,
)

Values = dict[str, Any]


class Org(msgspec.Struct, frozen=True):
    """`contacts` people; the other objects follow from it."""

    id: str
    name: str
    host: str
    contacts: int

    @property
    def account(self) -> Account:
        detail = f"{self.contacts:,} contacts" if self.contacts else "Empty: nothing in it yet"
        return Account(self.id, self.name, detail, self.host)

    @property
    def user(self) -> str:
        """Whoever authorises."""
        return public_id(USER, str(BASES[USER]))


BASES = {ACCOUNT: 1_000_000, CONTACT: 2_000_000, OPPORTUNITY: 3_000_000, USER: 5_000_000, TASK: 6_000_000}
ORGS = (
    Org("00DTL0000000001AAA", "Northwind Outfitters", "northwind.my.salesforce.com", 620),
    Org("00DTL0000000002AAA", "Blue Harbor Studio", "blueharbor.my.salesforce.com", 40),
    Org("00DTL0000000003AAA", "Quiet Valley Labs", "quietvalley.my.salesforce.com", 0),
)
_START = datetime(2023, 1, 9, 8, tzinfo=UTC)
_IMPORT = datetime(2025, 3, 3, 14, 30, 5, tzinfo=UTC)
"""One bulk import: many records share this very second."""
_FIRST = ("Anna", "Ben", "Chloé", "Diego", "Emeka", "Fatima", "Søren", "Tomás", "美咲", "Дмитрий", "محمد")
_LAST = ("Adler", "Brown", "Castillo", "Dvořák", "Müller", "O'Brien", "Tanaka", "van der Berg", "Xu")
_FIRM = ("Alder & Sons", "Brightwater", "Cobalt Freight", "Fjord Optics", "株式会社 Lumen", "Oakline")
_ODD = ("  padded  ", "<b>Bold</b> & Söhne", "null", 'quote " and, comma', "line\nbreak", "👩\u200d💻")


def seed_objects(seed: int, org: Org) -> Iterator[tuple[str, list[SimulatedObject]]]:
    """Every type with its objects, ids ascending; the same for the same seed. One in 40 is deleted."""
    rng = repeatable(f"{seed}:{org.id}")
    size = org.contacts
    users = _rows(rng, USER, max(1, min(7, size)), lambda place: _user(rng, place, org))
    accounts = _rows(rng, ACCOUNT, size // 5, lambda place: _account(rng, place, users))
    contacts = _rows(rng, CONTACT, size, lambda place: _contact(rng, place, accounts, users))
    deals = _rows(rng, OPPORTUNITY, size // 3, lambda place: _deal(rng, place, accounts, users))
    yield from ((USER, users), (ACCOUNT, accounts), (CONTACT, contacts), (OPPORTUNITY, deals), (TASK, []))


def _rows(rng: random.Random, kind: str, count: int, make: Callable[[int], Values]) -> list[SimulatedObject]:
    rows: list[SimulatedObject] = []
    number = BASES[kind]
    for place in range(count):
        created = _START + timedelta(seconds=rng.randrange(900 * 86_400))
        updated = created + timedelta(seconds=rng.randrange(90 * 86_400))
        if rng.random() < 0.1:
            updated = max(created, _IMPORT)
        gone = updated + timedelta(days=1) if kind != USER and rng.random() < 0.025 else None
        rows.append(SimulatedObject(str(number), make(place), created, gone or updated, gone))
        number += rng.randint(1, 5)
    return rows


def sample(kind: str, number: int) -> Values:
    """A new object for the control page; the same for the same number. References are left out."""
    rng = repeatable(f"sample:{kind}:{number}")
    if kind == ACCOUNT:
        return {"Name": f"{rng.choice(_FIRM)} {number}"}
    if kind == CONTACT:
        return {
            "FirstName": rng.choice(_FIRST[:6]),
            "LastName": rng.choice(_LAST[:5]),
            "Email": f"new.person{number}@crm.example",
        }
    if kind == OPPORTUNITY:
        return {"Name": f"Made in the sandbox {number}", "StageName": STAGES[0], "CloseDate": "2027-01-31"}
    if kind == USER:
        email = f"colleague{number}@crm.example"
        return {"LastName": f"Colleague {number}", "Email": email, "Username": email, "IsActive": True}
    return {"Subject": f"Made in the sandbox {number}", "Status": "Not Started"}


def _maybe(rng: random.Random, share: float, value: Any) -> Any:
    return value if rng.random() < share else None


def _owner(rng: random.Random, users: list[SimulatedObject]) -> str:
    return public_id(USER, rng.choice(users).id)


def _user(rng: random.Random, place: int, org: Org) -> Values:
    email = f"colleague{place}@{org.name.split()[0].lower()}.example"
    return {
        "FirstName": rng.choice(_FIRST[:6]),
        "LastName": rng.choice(_LAST),
        "Email": email,
        "Username": email,
        "Title": rng.choice(("Sales", "Head of Sales", None)),
        "IsActive": place != 3,
    }


def _account(rng: random.Random, place: int, users: list[SimulatedObject]) -> Values:
    return {
        "Name": rng.choice(_ODD) if rng.random() < 0.04 else f"{rng.choice(_FIRM)} {place}",
        "Type": _maybe(rng, 0.7, rng.choice(("Prospect", "Customer - Direct", "Other"))),
        "Industry": _maybe(rng, 0.6, rng.choice(("Retail", "Technology", "Food & Beverage"))),
        "Phone": _maybe(rng, 0.6, f"+49 40 {rng.randint(100_000, 999_999)}"),
        "Website": _maybe(rng, 0.6, f"firm{place}.example"),
        "BillingCity": _maybe(rng, 0.6, rng.choice(("Berlin", "São Paulo", "東京"))),
        "BillingCountry": _maybe(rng, 0.6, rng.choice(("Germany", "Brasil", "Japan"))),
        "NumberOfEmployees": _maybe(rng, 0.6, rng.choice((1, 7, 180, 51_000))),
        "AnnualRevenue": _maybe(rng, 0.4, rng.choice((0.0, 2_500_000.5, 1.0e9))),
        "Description": _maybe(rng, 0.2, rng.choice(_ODD)),
        "OwnerId": _owner(rng, users),
        "External_Id__c": f"acc-{place}",
    }


def _contact(
    rng: random.Random, place: int, accounts: list[SimulatedObject], users: list[SimulatedObject]
) -> Values:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    plain = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == "."))
    return {
        "FirstName": _maybe(rng, 0.95, first),
        "LastName": rng.choice(_ODD) if rng.random() < 0.03 else last,
        "Email": _maybe(rng, 0.93, f"{plain.strip('.') or 'x'}{place}@crm.example"),
        "Phone": _maybe(rng, 0.6, f"(415) {rng.randint(200, 999)}-{rng.randint(1000, 9999)}"),
        "MobilePhone": _maybe(rng, 0.2, f"+1555{rng.randint(1_000_000, 9_999_999)}"),
        "Title": _maybe(rng, 0.6, rng.choice(("CEO", "VP, Sales & Marketing", "Buyer", "n/a"))),
        "AccountId": _maybe(rng, 0.9, public_id(ACCOUNT, rng.choice(accounts).id)),
        "MailingCity": _maybe(rng, 0.5, rng.choice(("Berlin", "Kraków", "Austin"))),
        "MailingCountry": _maybe(rng, 0.5, rng.choice(("Germany", "PL", "United States"))),
        "LeadSource": _maybe(rng, 0.5, rng.choice(("Web", "Partner Referral", "Other"))),
        "Plan__c": _maybe(rng, 0.5, rng.choice(("Free", "Team", "Business"))),
        "OwnerId": _owner(rng, users),
        "External_Id__c": f"crm-{place}",
    }


def _deal(
    rng: random.Random, place: int, accounts: list[SimulatedObject], users: list[SimulatedObject]
) -> Values:
    stage = rng.choice(STAGES)
    close = _START + timedelta(days=rng.randrange(1200))
    return {
        "Name": f"{rng.choice(_FIRM)}: {rng.choice(('renewal', 'new seats', 'pilot'))} {place}",
        "AccountId": public_id(ACCOUNT, rng.choice(accounts).id),
        "Amount": _maybe(rng, 0.9, rng.choice((rng.randint(1, 90) * 500.0, 1234.56, 0.0))),
        "StageName": stage,
        "CloseDate": close.date().isoformat(),
        "Probability": {"Closed Won": 100.0, "Closed Lost": 0.0}.get(stage, 50.0),
        "Type": _maybe(rng, 0.5, "New Customer"),
        "Description": _maybe(rng, 0.1, rng.choice(_ODD)),
        "OwnerId": _owner(rng, users),
    }
