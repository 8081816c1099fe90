"""Twenty customers' accounts at the provider, and what is in them: shared by the provider's process and the checker.

Every state of a record carries a mark that no other state has, `{account}/{number}`: so an entry of the change
log tells which state it came from, whose it was, and whether it comes after the one before.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.hubspot.simulator_seed import Portal

KINDS = ("contacts", "companies")
MARK = {"contacts": "jobtitle", "companies": "phone"}
"""The property that carries the mark."""
MARK_TARGET = {"contacts": "job_title", "companies": "phone"}
"""Where the recipes put it."""
MODELS = {"contacts": "contact", "companies": "company"}
FIRST_ACCOUNT = 48_200_001
COUNTS = {"contacts": (30, 100), "companies": (10, 40)}
BUSY_COUNT = 500
"""Contacts of the first account, unless said otherwise: its passes are long enough to be hit in the middle."""
_START = datetime(2024, 3, 4, tzinfo=UTC)
_FIRST = ("Anna", "Søren", "José", "美咲", "Zoë", "Liam", "Fatima", "")
_LAST = ("Adler", "O'Brien", "van der Berg", "Müller", "<b>Smith</b>", "🚀", "")


def account_ids(number: int) -> list[str]:
    return [str(FIRST_ACCOUNT + index) for index in range(number)]


def portal(account: str) -> Portal:
    return Portal(account, f"Account {account}", f"a{account}.example", f"admin@a{account}.example", 1, {})


def mark(account: str, number: int) -> str:
    return f"{account}/{number}"


def number_of(text: object) -> int | None:
    """Of a mark; None for what is none."""
    parts = str(text).split("/")
    return int(parts[1]) if len(parts) == 2 and parts[1].isdecimal() else None


def values(rng: random.Random, account: str, kind: str, stamp: str) -> dict[str, str | None]:
    if kind == "contacts":
        return {
            "email": f"p{rng.getrandbits(48):x}@a{account}.example",
            "firstname": rng.choice(_FIRST) or None,
            "lastname": rng.choice(_LAST) or None,
            "company": f"Account {account}",
            "jobtitle": stamp,
        }
    return {
        "name": f"Company {rng.getrandbits(32):x} of {account}",
        "domain": f"c{rng.getrandbits(32):x}.a{account}.example",
        "phone": stamp,
    }


def seeds(seed: int, account: str, kind: str, busy: int = BUSY_COUNT) -> Iterator[SimulatedObject]:
    """What is there before anything happens: marks below 0 of the ledger's are made of the record's id."""
    rng = random.Random(f"{seed}:{account}:{kind}")
    count = rng.randint(*COUNTS[kind])
    if kind == "contacts" and account == str(FIRST_ACCOUNT):
        count = busy
    number = 1_000
    for _ in range(count):
        number += rng.randint(1, 5)
        at = _START + timedelta(milliseconds=rng.randrange(10**10))
        yield SimulatedObject(str(number), values(rng, account, kind, mark(account, 0)), at, at)
