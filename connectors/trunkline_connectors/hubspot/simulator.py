"""A HubSpot on this machine. Facts and their sources: provider-facts, HubSpot."""

import re
import secrets
from collections.abc import Sequence
from typing import ClassVar, cast, get_args

import msgspec
from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import Account, ObjectType, Setting, Simulator
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_gate import Reply
from trunkline.sdk.simulator_hooks import Address
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthServer
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.hubspot.simulator_crm import Crm
from trunkline_connectors.hubspot.simulator_errors import error, rate_limited
from trunkline_connectors.hubspot.simulator_hooks import HubSpotHooks
from trunkline_connectors.hubspot.simulator_owners import (
    FIELDS,
    OWNERS,
    label,
    owned,
    owner_routes,
    sample_owner,
    seed_owners,
)
from trunkline_connectors.hubspot.simulator_routes import account_routes, crm_routes, property_routes
from trunkline_connectors.hubspot.simulator_schema import (
    CONTACTS,
    DEALS,
    OBJECT_TYPES,
    SCOPES,
    TICKETS,
    PropertyDef,
    PropertyType,
)
from trunkline_connectors.hubspot.simulator_seed import PORTALS, Portal, sample, seed_objects
from trunkline_connectors.hubspot.simulator_tokens import token_routes

OWNED = (DEALS, TICKETS)
_LABELS = {"contacts": "email", "companies": "name", "deals": "dealname", "tickets": "subject"}


class HubSpotSimulator(Simulator):
    name = "hubspot"
    title = "HubSpot"
    scopes = SCOPES
    object_types = (*OBJECT_TYPES, ObjectType(OWNERS, "owner", "Owners"))
    field_types = get_args(PropertyType)
    targets: ClassVar = {"CRM data": "/crm/", "Tokens": "/oauth/"}

    def __init__(
        self,
        *,
        clients: Sequence[OAuthClient] = (),
        seed: int = 1,
        now: Now = wall_now,
        portals: Sequence[Portal] = PORTALS,
    ) -> None:
        super().__init__(clients=clients, seed=seed, now=now)
        self.portals = {portal.id: portal for portal in portals}
        self.crm = Crm(self.store, self.oauth, now)
        self._removed: dict[tuple[str, str], PropertyDef] = {}
        for portal in portals:
            owners = list(seed_owners(seed, portal))
            for kind in portal.counts:
                items = seed_objects(seed, portal, kind)
                self.store.seed(portal.id, kind, owned(items, owners) if kind in OWNED else items)
            self.store.seed(portal.id, OWNERS, owners)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(portal.account for portal in self.portals.values())

    def make_oauth(self) -> OAuthServer:
        # 1800 s, and access tokens of about 300 characters that vary in length (provider-facts).
        return OAuthServer(self.now, SCOPES, access_seconds=1800, always=("oauth",), new_token=_new_token)

    def routes(self) -> Sequence[HTTPRouteHandler]:
        portals = list(self.portals.values())
        return [
            *crm_routes(self.crm, f"/{self.name}"),
            *property_routes(self.crm),
            *owner_routes(self.crm),
            *account_routes(self.crm, portals),
            *token_routes(self.oauth, portals, self.now),
        ]

    def teller(self, secret: str, address: Address) -> HubSpotHooks:
        return HubSpotHooks(secret, address)

    def error_reply(self, status: int, message: str) -> Reply:
        category = "OBJECT_NOT_FOUND" if status == 404 else "VALIDATION_ERROR" if status < 500 else "INTERNAL"
        return error(status, category, message)

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            return rate_limited("TEN_SECONDLY_ROLLING")
        if kind == "error_body":
            return error(200, "INTERNAL", "internal error")
        return error(500, "INTERNAL", "internal error")

    def sample(self, object_type: str, number: int) -> dict[str, str | None]:
        portal = next(iter(self.portals.values()))
        if object_type == OWNERS:
            return sample_owner(number, portal)
        return sample(object_type, number, portal)

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, str | None]:
        if object_type == CONTACTS:
            return {"jobtitle": f"Changed in the sandbox, no. {number}"}
        if object_type == "companies":
            return {"numberofemployees": str(1000 + number)}
        if object_type == "deals":
            return {"amount": str(100 * number)}
        if object_type == OWNERS:
            return {"lastName": f"Changed {number}"}
        return {"subject": f"{(item.values.get('subject') or 'Ticket').split(' #')[0]} #{number}"}

    def label(self, object_type: str, item: SimulatedObject) -> str:
        if object_type == CONTACTS:
            name = f"{item.values.get('firstname') or ''} {item.values.get('lastname') or ''}".strip()
            return name or item.values.get("email") or f"Contact {item.id}"
        if object_type == OWNERS:
            return label(item)
        return item.values.get(_LABELS[object_type]) or f"{object_type} {item.id}"

    def fields(self, object_type: str) -> frozenset[str]:
        if object_type == OWNERS:
            return FIELDS
        return frozenset(d.name for d in self.crm.properties[object_type].values() if not d.read_only)

    def remove_property(self, object_type: str, name: str) -> None:
        """As an administrator of the accounts does; nobody is given its values any more."""
        self._removed[object_type, name] = self.crm.properties[object_type].pop(name)

    def retype_property(self, object_type: str, name: str, to: PropertyType) -> None:
        known = self.crm.properties[object_type]
        known[name] = msgspec.structs.replace(known[name], type=to, options=())

    def change_field(self, object_type: str, name: str, to: str) -> None:
        known = self.crm.properties[object_type]
        if not to:
            self.remove_property(object_type, name)
            return
        if name not in known:
            known[name] = self._removed.pop((object_type, name))
        if known[name].type != to:
            self.retype_property(object_type, name, cast("PropertyType", to))

    def set_options(self, object_type: str, name: str, **options: str) -> None:
        """An enumeration's values and their labels."""
        known = self.crm.properties[object_type]
        known[name] = msgspec.structs.replace(known[name], options=tuple(options.items()))

    def redact(self, path: str) -> str:
        return re.sub(r"(/oauth/v1/(?:access|refresh)-tokens)/.*", r"\1/…", path)

    def settings(self) -> list[Setting]:
        return [
            *super().settings(),
            Setting("index_lag", "Search trails behind changes, in seconds", self.crm.index_lag),
        ]

    def change_setting(self, name: str, value: int) -> None:
        if name != "index_lag":
            super().change_setting(name, value)
        elif 0 <= value <= 600:
            self.crm.index_lag = value
        else:
            raise ValueError("index_lag must be between 0 and 600.")


def _new_token(kind: str) -> str:
    if kind == "access":
        return "CN" + secrets.token_urlsafe(205 + secrets.randbelow(30))
    return f"na2-{secrets.token_hex(4)}-{secrets.token_hex(4)}-{secrets.token_hex(12)}"
