"""Deterministic data of the simulated accounts, as untidy as a real CRM's."""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from trunkline.sdk.simulator import Account
from trunkline.sdk.simulator_clock import iso
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.hubspot.simulator_schema import COMPANIES, CONTACTS, DEALS, TICKETS

Values = dict[str, str | None]


class Portal(msgspec.Struct, frozen=True):
    """A HubSpot account; counts are of live and archived objects together."""

    id: str
    name: str
    domain: str
    user: str
    user_id: int
    counts: dict[str, int]
    time_zone: str = "Europe/Berlin"

    @property
    def account(self) -> Account:
        parts = [f"{count:,} {kind}" for kind, count in self.counts.items() if count]
        return Account(self.id, self.name, " · ".join(parts) or "Empty: nothing in it yet")


PORTALS = (
    Portal(
        "48120001",
        "Northwind Outfitters",
        "northwind.example",
        "dana@northwind.example",
        7001,
        {CONTACTS: 5000, COMPANIES: 600, DEALS: 1200, TICKETS: 400},
    ),
    Portal(
        "48120002",
        "Blue Harbor Studio",
        "blueharbor.example",
        "kai@blueharbor.example",
        7002,
        {CONTACTS: 120, COMPANIES: 30, DEALS: 45, TICKETS: 20},
    ),
    Portal(
        "48120003",
        "Quiet Valley Labs",
        "quietvalley.example",
        "noor@quietvalley.example",
        7003,
        {CONTACTS: 0, COMPANIES: 0, DEALS: 0, TICKETS: 0},
    ),
)

_START = datetime(2020, 1, 6, 8, tzinfo=UTC)
"""Far enough back that no machine's clock is behind the data."""
_IMPORT = datetime(2025, 3, 3, 14, 30, 5, 120_000, tzinfo=UTC)
"""One bulk import: many objects share this very millisecond."""
_DAYS = 1760

_FIRST = (
    "Anna", "Ben", "Chloe", "Diego", "Emeka", "Fatima", "Grace", "Hiro", "Ines", "Jonas", "Katarzyna",
    "Liam",
    "Mei", "Noah", "Olga", "Priya", "Quentin", "Rosa", "Søren", "Tomás", "Uma", "Viktor", "Wanjiru", "Ximena",
    "Yusuf", "Zoe\u0308", "محمد", "נועה", "美咲", "Ωmega", "Дмитрий", "José\u200b", "Nguyễn",
)  # fmt: skip
_LAST = (
    "Adler", "Brown", "Castillo", "Dvořák", "Eriksen", "Fischer", "García", "Haddad", "Ivanova", "Jensen",
    "Kowalski", "Lindqvist", "Müller", "Nakamura", "O'Brien", "Petrović", "Quispe", "Rossi", "Smith",
    "Tanaka", "Ueda", "van der Berg", "Weiss", "Xu", "Yılmaz", "Zhang", "الفارسي", "כהן", "Smith-Jones",
    "d’Arc",
)  # fmt: skip
_COMPANY = (
    "Alder & Sons", "Brightwater", "Cobalt Freight", "Dune Analytics", "Eastgate Foods", "Fjord Optics",
    "Granite Health", "Harvest Row", "Ironbark", "Juniper Legal", "Kestrel Air", "Lumen Works", "Mariposa",
    "Nimbus Retail", "Oakline", "Pinecrest", "Quarry Labs", "Riverstone", "Solstice", "Tidewater",
)  # fmt: skip
_SUFFIX = ("GmbH", "Ltd", "Inc.", "S.A.", "AB", "株式会社", "Group", "")
_CITY = ("Berlin", "Lyon", "São Paulo", "Kraków", "القاهرة", "東京", "Zürich", "Austin", "Leeds", "")
_COUNTRY = ("Germany", "DE", "france", "Brasil", "PL", "Japan", "U.S.A.", "United States", "usa", "UK")
_JOBS = (
    "CEO",
    "Head of Operations",
    "buyer",
    "VP, Sales & Marketing",
    "Développeuse",
    "n/a",
    "Owner/Operator",
)
_SUBJECT = (
    "Cannot log in", "Invoice is wrong", "Export stops at 1,000 rows", "Feature: dark mode", "حساب مقفل",
    "Slow since Monday", "Wrong <b>address</b> on label", "Refund for order #1024", "API returns 500",
)  # fmt: skip
_ODD = (
    "  padded  ", "non\u00a0breaking", "tab\there", "line\nbreak", "<b>Bold</b> & Söhne",
    "<script>alert(1)</script>", "Robert'); DROP TABLE students;--", "null", "N/A", "👩\u200d💻 🚀",
    '=HYPERLINK("x","y")', "e\u0301\u0301\u0301", "\u202eright to left", "{{ name }}", "-", "0", "ﬁ ligature",
)  # fmt: skip
_LONG = "The quick brown fox jumps over the lazy dog. Größe, naïve, 漢字, \U0001f98a. "


def seed_objects(seed: int, portal: Portal, kind: str) -> Sequence[SimulatedObject]:
    """Ascending ids with gaps, about one in 40 archived. The same for the same seed: made once a process."""
    return _seeded(seed, msgspec.json.encode(portal), kind)


@lru_cache(maxsize=64)
def _seeded(seed: int, of: bytes, kind: str) -> tuple[SimulatedObject, ...]:
    return tuple(_objects(seed, msgspec.json.decode(of, type=Portal), kind))


def _objects(seed: int, portal: Portal, kind: str) -> Iterator[SimulatedObject]:
    rng = repeatable(f"{seed}:{portal.id}:{kind}")
    number = {CONTACTS: 20_000, COMPANIES: 7_000_000, DEALS: 12_000_000, TICKETS: 30_000_000}[kind]
    make = _MAKERS[kind]
    seen: list[Values] = []
    for position in range(portal.counts[kind]):
        number += rng.randint(1, 6)
        created = _START + timedelta(milliseconds=rng.randrange(_DAYS * 86_400_000))
        values = make(rng, position, portal)
        if seen and rng.random() < 0.03:
            values = _duplicate(rng, kind, seen[rng.randrange(len(seen))], position)
        seen.append(values)
        updated = created + timedelta(milliseconds=rng.randrange(90 * 86_400_000))
        if rng.random() < 0.06:
            updated = max(created, _IMPORT)
        archived = updated + timedelta(days=rng.randint(0, 30)) if rng.random() < 0.025 else None
        yield SimulatedObject(str(number), values, created, archived or updated, archived)


def sample(kind: str, number: int, portal: Portal) -> Values:
    """A new, tidy object for the control page; the same for the same number."""
    rng = repeatable(f"sample:{kind}:{number}")
    values = _MAKERS[kind](rng, 1_000_000 + number, portal)
    if kind == CONTACTS:
        first, last = rng.choice(_FIRST[:24]), rng.choice(_LAST[:25])
        values |= {
            "firstname": first,
            "lastname": last,
            "email": f"new.person{number}@{portal.domain}",
            "message": None,
        }
    return values


def _maybe(rng: random.Random, share: float, value: str) -> str | None:
    return value if rng.random() < share else None


def _odd(rng: random.Random, value: str, share: float = 0.02) -> str:
    return rng.choice(_ODD) if rng.random() < share else value


def _contact(rng: random.Random, position: int, portal: Portal) -> Values:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    plain = "".join(c for c in f"{first}.{last}".lower() if c.isascii() and (c.isalnum() or c == "."))
    company = rng.choice(_COMPANY)
    day = f"{rng.randint(1950, 2005)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    year, month, date = day.split("-")
    revenue = rng.randint(10, 9_000) * 1000
    values: Values = {
        "firstname": _maybe(rng, 0.95, _odd(rng, first)),
        "lastname": _maybe(rng, 0.93, _odd(rng, last)),
        "email": _maybe(
            rng, 0.94, f"{plain.strip('.') or 'x'}{position}@{company.split()[0].lower()}.example"
        ),
        "phone": _maybe(
            rng,
            0.7,
            rng.choice(("+49 30 {0}", "0{0}", "(555) {0} x12", "00 44 {0}")).format(
                rng.randint(1_000_000, 9_999_999)
            ),
        ),
        "mobilephone": _maybe(rng, 0.2, f"+1555{rng.randint(1_000_000, 9_999_999)}"),
        "jobtitle": _maybe(rng, 0.6, _odd(rng, rng.choice(_JOBS))),
        "company": _maybe(rng, 0.75, _odd(rng, f"{company} {rng.choice(_SUFFIX)}".strip())),
        "website": _maybe(rng, 0.2, f"http://www.{portal.domain}/{position}"),
        "address": _maybe(rng, 0.3, f"{rng.randint(1, 300)} Main St.\nUnit {rng.randint(1, 40)}"),
        "city": _maybe(rng, 0.6, rng.choice(_CITY)) or None,
        "zip": _maybe(rng, 0.5, f"{rng.randint(0, 99_999):05}"),
        "country": _maybe(rng, 0.7, rng.choice(_COUNTRY)),
        "annualrevenue": _maybe(
            rng, 0.3, rng.choice((f"{revenue}", f"{revenue:,}", f"{revenue / 1e6:.1f}M"))
        ),
        "date_of_birth": _maybe(
            rng, 0.25, rng.choice((day, f"{month}/{date}/{year}", f"{date}.{month}.{year}"))
        ),
        "lifecyclestage": _maybe(rng, 0.85, rng.choice(("subscriber", "lead", "opportunity", "customer"))),
        "hs_lead_status": _maybe(rng, 0.4, rng.choice(("NEW", "OPEN", "IN_PROGRESS", "UNQUALIFIED"))),
        "hs_email_optout": _maybe(rng, 0.3, rng.choice(("true", "false"))),
        "hubspotscore": _maybe(rng, 0.5, str(rng.randint(-5, 120))),
        "customer_since": _maybe(rng, 0.3, f"20{rng.randint(15, 24)}-{rng.randint(1, 12):02}-01"),
        "newsletter": _maybe(rng, 0.4, rng.choice(("true", "false"))),
        "favourite_plan": _maybe(rng, 0.4, rng.choice(("free", "team", "business"))),
    }
    if position % 97 == 0:
        values["message"] = _LONG * rng.randint(40, 200)
    elif rng.random() < 0.1:
        values["message"] = _odd(rng, "Please call me back after 5 pm.", 0.3)
    return values


def _company(rng: random.Random, position: int, portal: Portal) -> Values:
    name = f"{rng.choice(_COMPANY)} {rng.choice(_SUFFIX)}".strip()
    return {
        "name": _odd(rng, f"{name} {position}" if position % 3 else name),
        "domain": _maybe(rng, 0.85, f"{name.split()[0].lower()}{position}.example"),
        "industry": _maybe(rng, 0.7, rng.choice(("COMPUTER_SOFTWARE", "RETAIL", "FOOD_BEVERAGES"))),
        "phone": _maybe(rng, 0.5, f"+49 40 {rng.randint(100_000, 999_999)}"),
        "city": _maybe(rng, 0.7, rng.choice(_CITY)) or None,
        "zip": _maybe(rng, 0.5, f"{rng.randint(0, 99_999):05}"),
        "country": _maybe(rng, 0.8, rng.choice(_COUNTRY)),
        "numberofemployees": _maybe(rng, 0.6, str(rng.choice((1, 7, 25, 180, 2400, 51_000)))),
        "annualrevenue": _maybe(rng, 0.4, rng.choice(("1000000", "2500000.5", "999999999999999999", "0"))),
        "founded_year": _maybe(rng, 0.3, rng.choice((str(rng.randint(1890, 2025)), "ca. 1990", "'98"))),
        "description": _LONG * 60 if position % 61 == 0 else _maybe(rng, 0.3, f"Customer of {portal.name}."),
        "lifecyclestage": _maybe(rng, 0.7, rng.choice(("lead", "opportunity", "customer"))),
    }


def _deal(rng: random.Random, position: int, _: Portal) -> Values:
    close = _START + timedelta(days=rng.randrange(_DAYS + 120), hours=rng.randrange(24))
    return {
        "dealname": _odd(
            rng, f"{rng.choice(_COMPANY)}: {rng.choice(('renewal', 'new seats', 'pilot'))} {position}"
        ),
        "amount": _maybe(
            rng, 0.88, rng.choice((f"{rng.randint(1, 90) * 500}", f"{rng.random() * 9000:.2f}", "0"))
        ),
        "deal_currency_code": _maybe(rng, 0.9, rng.choice(("EUR", "USD", "GBP", "JPY"))),
        "closedate": _maybe(rng, 0.85, iso(close)),
        "pipeline": "default" if rng.random() < 0.8 else "renewals",
        "dealstage": rng.choice(
            ("appointmentscheduled", "qualifiedtobuy", "contractsent", "closedwon", "closedlost")
        ),
        "dealtype": _maybe(rng, 0.7, rng.choice(("newbusiness", "existingbusiness"))),
        "hs_priority": _maybe(rng, 0.4, rng.choice(("low", "medium", "high"))),
        "description": _maybe(rng, 0.2, _odd(rng, "Waiting for the budget round.", 0.2)),
    }


def _ticket(rng: random.Random, position: int, _: Portal) -> Values:
    return {
        "subject": _odd(rng, rng.choice(_SUBJECT)),
        "content": _LONG * 150
        if position % 53 == 0
        else _maybe(rng, 0.9, _odd(rng, "It worked last week.", 0.1)),
        "hs_pipeline": "0",
        "hs_pipeline_stage": rng.choice(("1", "2", "3", "4")),
        "hs_ticket_priority": _maybe(rng, 0.7, rng.choice(("LOW", "MEDIUM", "HIGH", "URGENT"))),
        "hs_ticket_category": _maybe(
            rng, 0.4, rng.choice(("PRODUCT_ISSUE", "BILLING_ISSUE", "FEATURE_REQUEST"))
        ),
        "source_type": _maybe(rng, 0.8, rng.choice(("CHAT", "EMAIL", "FORM", "PHONE"))),
    }


def _duplicate(rng: random.Random, kind: str, original: Values, position: int) -> Values:
    """The same person or company once more; HubSpot keeps contact emails unique, so that one differs."""
    copy = dict(original)
    if kind == CONTACTS:
        email = original.get("email")
        name, _, domain = (email or "twin@twin.example").partition("@")
        copy["email"] = f"{name}+{position}@{domain}" if email and rng.random() < 0.6 else None
    return copy


_MAKERS: dict[str, Callable[[random.Random, int, Portal], Values]] = {
    CONTACTS: _contact,
    COMPANIES: _company,
    DEALS: _deal,
    TICKETS: _ticket,
}
