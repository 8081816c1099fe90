"""Deterministic data of the simulated companies."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import Account
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.pipedrive.simulator_schema import (
    DEALS,
    LAST_CALL,
    NOTES,
    ORGANIZATIONS,
    PERSONS,
    SEGMENT,
    STAGES,
    TIER,
    USERS,
)

Values = dict[str, Any]


class Company(msgspec.Struct, frozen=True):
    """A Pipedrive account; counts are of live, archived and deleted objects together."""

    id: str
    name: str
    domain: str
    counts: dict[str, int]

    @property
    def account(self) -> Account:
        parts = [f"{count:,} {kind}" for kind, count in self.counts.items() if count and kind != NOTES]
        return Account(self.id, self.name, " · ".join(parts), f"{self.domain}.pipedrive.com")


COMPANIES = (
    Company(
        "9120001", "Cedar & Finch", "cedarfinch", {USERS: 6, ORGANIZATIONS: 90, PERSONS: 320, DEALS: 260}
    ),
    Company("9120002", "Halo Bikes", "halobikes", {USERS: 2, ORGANIZATIONS: 12, PERSONS: 40, DEALS: 25}),
    Company("9120003", "Fresh Start", "freshstart", {USERS: 1, ORGANIZATIONS: 0, PERSONS: 0, DEALS: 0}),
)

_START = datetime(2022, 2, 7, 8, tzinfo=UTC)
_DAYS = 1500
FIRST_ID = {USERS: 13_000_000, ORGANIZATIONS: 0, PERSONS: 0, DEALS: 0}

_FIRST = (
    "Aino", "Bram", "Chiara", "Deniz", "Eero", "Farah", "Goran", "Hana", "Ilmar", "Jana", "Kaspar", "Lea",
    "Mihkel", "Noor", "Oskar", "Päivi", "Renato", "Siim", "Tõnu", "Zoë", "يوسف", "さくら",
)  # fmt: skip
_LAST = (
    "Aalto", "Bianchi", "Costa", "Demir", "Eks", "Ferreira", "Grünberg", "Horvat", "Ilves", "Järvinen",
    "Kask", "Laine", "Mägi", "Novák", "O'Connor", "Põder", "Ruiz", "Saar", "Tamm", "Vaher",
)  # fmt: skip
_ORG = (
    "Amber Works", "Birch Media", "Cobalt & Co", "Delta Print", "Elm Street Foods", "Fable Games",
    "Glasshouse", "Hearth Homes", "Ink <Labs>", "Jolly Roger Sails",
)  # fmt: skip
_WHAT = ("annual plan", "pilot", "300 seats", "renewal", "training", "Q3 upgrade")


def seed_objects(seed: int, company: Company, kind: str) -> Iterator[SimulatedObject]:
    """Ascending ids with gaps. Deals and persons name organizations and users that exist."""
    rng = repeatable(f"{seed}:{company.id}:{kind}")
    for number in _ids(seed, company, kind):
        created = _START + timedelta(seconds=rng.randrange(_DAYS * 86_400))
        updated = created + timedelta(seconds=rng.randrange(90 * 86_400))
        values = make(rng, seed, company, kind, number)
        gone = updated + timedelta(days=1) if kind != USERS and rng.random() < 0.03 else None
        yield SimulatedObject(str(number), values, created, gone or updated, gone)


def make(rng: random.Random, seed: int, company: Company, kind: str, number: int) -> Values:
    """One object's values in v2's names; the id, the times and whether it is deleted are the store's."""
    users = _ids(seed, company, USERS)
    organizations = _ids(seed, company, ORGANIZATIONS)
    owner = rng.choice(users)
    if kind == USERS:
        first, last = _FIRST[number % 20], _LAST[number * 7 % 20]
        return {"name": f"{first} {last}", "email": f"user{number}@{company.domain}.example"}
    if kind == ORGANIZATIONS:
        place = rng.choice(("Tallinn", "Porto", "Łódź", "大阪", "Cork"))
        return {
            "name": f"{rng.choice(_ORG)} {number}",
            "owner_id": owner,
            "visible_to": 3,
            "label_ids": [],
            "address": {"value": f"{rng.randint(1, 90)} Harbour Street, {place}", "locality": place}
            if rng.random() < 0.7
            else {"value": None},
            "website": f"https://org{number}.example" if rng.random() < 0.6 else None,
            "linkedin": None,
            "industry": rng.choice((None, 1, 2, 3)),
            "annual_revenue": rng.choice((None, 0, 250_000, 12_000_000)),
            "employee_count": rng.choice((None, 3, 40, 900)),
            "custom_fields": {TIER: rng.choice((None, 1, 2, 3))},
        }
    if kind == PERSONS:
        first, last = rng.choice(_FIRST), rng.choice(_LAST)
        return {
            "name": f"{first} {last}",
            "first_name": first,
            "last_name": last,
            **({"job_title": "Head of Buying"} if number % 2 else {}),
            "owner_id": owner,
            "org_id": rng.choice(organizations) if organizations and rng.random() < 0.8 else None,
            "emails": [{"value": f"person{number}@mail.example", "primary": True, "label": "work"}]
            if rng.random() < 0.9
            else [],
            "phones": [{"value": f"+372 5{rng.randint(10**6, 10**7)}", "primary": True, "label": "mobile"}]
            if rng.random() < 0.6
            else [],
            "visible_to": 3,
            "label_ids": [],
            "custom_fields": {
                LAST_CALL: f"2025-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
                if rng.random() < 0.5
                else None,
                SEGMENT: rng.choice((None, 1, 2, 3)),
            },
        }
    return _deal(rng, seed, company, number, owner)


def _deal(rng: random.Random, seed: int, company: Company, number: int, owner: int) -> Values:
    people = _ids(seed, company, PERSONS)
    organizations = _ids(seed, company, ORGANIZATIONS)
    stage = rng.choice(list(STAGES))
    status = rng.choice(("open", "open", "open", "won", "lost"))
    closed = f"2026-0{rng.randint(1, 9)}-{rng.randint(1, 28):02}T10:15:00Z" if status != "open" else None
    archived = status != "open" and rng.random() < 0.15
    return {
        "title": f"{rng.choice(_ORG)}: {rng.choice(_WHAT)} {number}",
        "creator_user_id": owner,
        "owner_id": owner,
        "person_id": rng.choice(people) if people and rng.random() < 0.9 else None,
        "org_id": rng.choice(organizations) if organizations and rng.random() < 0.8 else None,
        "pipeline_id": STAGES[stage][0],
        "stage_id": stage,
        "value": rng.choice((0, 4_900, 12_500.5, 99_000)),
        "currency": rng.choice(("EUR", "EUR", "USD", "GBP")),
        "status": status,
        "is_archived": archived,
        "archive_time": closed if archived else None,
        "probability": rng.choice((None, 10, 55, 90)),
        "lost_reason": "Price" if status == "lost" else None,
        "visible_to": 3,
        "close_time": closed,
        "won_time": closed if status == "won" else None,
        "lost_time": closed if status == "lost" else None,
        "expected_close_date": f"2026-1{rng.randint(0, 2)}-15" if rng.random() < 0.7 else None,
        "label_ids": [],
        "origin": "ManuallyCreated",
        "origin_id": None,
        "channel": None,
        "channel_id": None,
        "custom_fields": {SEGMENT: rng.choice((None, 1, 2, 3))},
    }


def _ids(seed: int, company: Company, kind: str) -> list[int]:
    rng = repeatable(f"{seed}:{company.id}:{kind}:ids")
    number = FIRST_ID[kind]
    found = []
    for position in range(company.counts[kind]):
        # The first user is the same everywhere, so that a sample can be theirs in any company.
        number += rng.randint(1, 3) if position or kind != USERS else 1
        found.append(number)
    return found
