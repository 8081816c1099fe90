"""Deterministic data of the simulated help desks."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from trunkline.sdk.simulator import Account
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.zendesk.simulator_schema import (
    COMMENTS,
    GROUPS,
    ORGANIZATIONS,
    PLAN,
    REGION,
    TICKETS,
    USERS,
)

Values = dict[str, Any]


class HelpDesk(msgspec.Struct, frozen=True):
    """A Zendesk account; counts are of live and deleted objects together. A ticket has 1 to 4 comments."""

    id: str
    name: str
    subdomain: str
    counts: dict[str, int]

    @property
    def account(self) -> Account:
        parts = [f"{count:,} {kind}" for kind, count in self.counts.items() if count]
        return Account(self.id, self.name, " · ".join(parts), f"{self.subdomain}.zendesk.com")


DESKS = (
    HelpDesk("12510001", "Larkspur Care", "larkspur", {USERS: 160, ORGANIZATIONS: 45, TICKETS: 320}),
    HelpDesk("12510002", "Tiny Robots", "tinyrobots", {USERS: 25, ORGANIZATIONS: 6, TICKETS: 30}),
    HelpDesk("12510003", "Newly Opened", "newlyopened", {USERS: 1, ORGANIZATIONS: 0, TICKETS: 0}),
)
_START = datetime(2022, 3, 1, 7, tzinfo=UTC)
_DAYS = 1480
_FIRST = {USERS: 9_000_000_100, ORGANIZATIONS: 4_112_000, TICKETS: 0}
ADMIN = _FIRST[USERS] + 1
"""Id of every help desk's owner, who authorises apps."""

_NAMES = (
    "Adaeze", "Bashir", "Cléo", "Dagny", "Emre", "Fenna", "Gwen", "Håkon", "Isolde", "Jun", "Kiran", "Lotte",
    "ليلى", "小林", "Максим", "Anna-Lena", "O'Shea", "Zoé",
)  # fmt: skip
_SUBJECTS = (
    "Cannot sign in", "Wrong amount on invoice", "Export is empty", "Where is my parcel?", "حساب مقفل",
    "Feature request: <b>dark</b> mode", "App crashes on start", "Refund please", "Password reset lost",
)  # fmt: skip
_ORGS = ("Apex", "Bolt & Sons", "Cumulus", "Drift", "Ember", "Foxglove", "Gale", "Harbor", "Iris", "Juno")


def seed_desk(seed: int, desk: HelpDesk) -> dict[str, list[SimulatedObject]]:
    """Everything of one account, by type; tickets name users, organizations and groups that exist."""
    made: dict[str, list[SimulatedObject]] = {COMMENTS: []}
    number = 1_000_000
    for kind in desk.counts:
        rng = repeatable(f"{seed}:{desk.id}:{kind}")
        made[kind] = []
        for own in ids(seed, desk, kind):
            created = _START + timedelta(seconds=rng.randrange(_DAYS * 86_400))
            updated = created + timedelta(seconds=rng.randrange(60 * 86_400))
            gone = updated + timedelta(days=1) if own != ADMIN and rng.random() < 0.03 else None
            values = make(rng, seed, desk, kind, own)
            made[kind].append(SimulatedObject(str(own), values, created, gone or updated, gone))
            if kind == TICKETS:
                for comment in _comments(rng, values, own):
                    number += 1
                    made[COMMENTS].append(SimulatedObject(str(number), comment, created, created))
                    created = min(updated, created + timedelta(hours=5))
    return made


def make(rng: random.Random, seed: int, desk: HelpDesk, kind: str, own: int) -> Values:
    """One object's values in the API's names."""
    organizations = ids(seed, desk, ORGANIZATIONS)
    some_organization = rng.choice(organizations) if organizations and rng.random() < 0.8 else None
    if kind == ORGANIZATIONS:
        return {
            "name": f"{rng.choice(_ORGS)} {own}",
            "domain_names": [f"org{own}.example"] if rng.random() < 0.8 else [],
            "details": None,
            "notes": rng.choice((None, "", "Prefers phone")),
            "external_id": f"crm-{own}" if rng.random() < 0.5 else None,
            "group_id": None,
            "shared_tickets": False,
            "shared_comments": False,
            "tags": ["vip"] if rng.random() < 0.2 else [],
            "organization_fields": {"tier": rng.choice((None, "gold", "silver"))},
        }
    if kind == USERS:
        role = "admin" if own == ADMIN else "agent" if rng.random() < 0.1 else "end-user"
        name = f"{rng.choice(_NAMES)} {rng.choice(_NAMES)}"
        return {
            "name": name,
            "email": f"user{own}@mail.example" if role != "end-user" or rng.random() < 0.95 else None,
            "phone": f"+31 6 {rng.randint(10**7, 10**8)}" if rng.random() < 0.4 else None,
            "role": role,
            "organization_id": some_organization if role == "end-user" else None,
            "external_id": None,
            "notes": "",
            "details": "",
            "tags": [],
            "suspended": rng.random() < 0.03,
            "user_fields": {"newsletter": rng.random() < 0.5},
        }
    users = ids(seed, desk, USERS)
    requester = rng.choice(users)
    return {
        "subject": rng.choice(_SUBJECTS),
        "description": "It worked last week.\nWhat now?",
        "status": rng.choice(("new", "open", "open", "pending", "hold", "solved", "solved", "closed")),
        "priority": rng.choice((None, "low", "normal", "high", "urgent")),
        "type": rng.choice((None, "question", "incident", "problem", "task")),
        "requester_id": requester,
        "submitter_id": requester,
        "assignee_id": ADMIN if rng.random() < 0.7 else None,
        "organization_id": some_organization,
        "group_id": rng.choice((*GROUPS, None)),
        "tags": rng.sample(("billing", "mobile", "beta", "vip"), rng.randint(0, 2)),
        "external_id": None,
        "due_at": None,
        "custom_fields": [
            {"id": PLAN, "value": rng.choice((None, "free", "team", "enterprise"))},
            {"id": REGION, "value": rng.choice((None, "EMEA", "北米"))},
        ],
    }


def ids(seed: int, desk: HelpDesk, kind: str) -> list[int]:
    rng = repeatable(f"{seed}:{desk.id}:{kind}:ids")
    number = _FIRST[kind]
    found = []
    for position in range(desk.counts.get(kind, 0)):
        number += rng.randint(1, 3) if position else 1
        found.append(number)
    return found


def _comments(rng: random.Random, ticket: Values, own: int) -> Iterator[Values]:
    yield {
        "ticket_id": own,
        "author_id": ticket["requester_id"],
        "body": ticket["description"],
        "public": True,
    }
    for _ in range(rng.randint(0, 3)):
        yield {
            "ticket_id": own,
            "author_id": rng.choice((ADMIN, ticket["requester_id"])),
            "body": rng.choice(
                ("We are looking into it.", "Any news?", "Gelöst, danke!", "<script>x</script>")
            ),
            "public": rng.random() < 0.8,
        }
