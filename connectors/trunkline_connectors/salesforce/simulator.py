"""A Salesforce on this machine. Facts and their sources: provider-facts, Salesforce."""

import secrets
from collections.abc import Sequence
from typing import Any, ClassVar

from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import Account, Setting, Simulator
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_gate import Reply
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthServer
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.salesforce.simulator_bulk import Bulk, bulk_routes
from trunkline_connectors.salesforce.simulator_composite import composite_routes
from trunkline_connectors.salesforce.simulator_errors import error, limit_exceeded
from trunkline_connectors.salesforce.simulator_org import Records
from trunkline_connectors.salesforce.simulator_routes import query_routes, record_routes
from trunkline_connectors.salesforce.simulator_schema import (
    CONTACT,
    FIELDS,
    OBJECT_TYPES,
    OPPORTUNITY,
    SCOPES,
    USER,
    own_id,
    public_id,
)
from trunkline_connectors.salesforce.simulator_seed import ORGS, Org, sample, seed_objects
from trunkline_connectors.salesforce.simulator_tokens import token_routes


class SalesforceSimulator(Simulator):
    name = "salesforce"
    title = "Salesforce"
    authorize_path = "/services/oauth2/authorize"
    scopes = SCOPES
    object_types = OBJECT_TYPES
    kept_types: ClassVar = frozenset({USER})
    targets: ClassVar = {"CRM data": "/services/data/", "Tokens": "/services/oauth2/"}

    def __init__(
        self,
        *,
        clients: Sequence[OAuthClient] = (),
        seed: int = 1,
        now: Now = wall_now,
        orgs: Sequence[Org] = ORGS,
    ) -> None:
        super().__init__(clients=clients, seed=seed, now=now)
        self.orgs = {org.id: org for org in orgs}
        self.records = Records(self.store, self.oauth, now, orgs)
        self.bulk = Bulk(self.records)
        for org in orgs:
            for kind, items in seed_objects(seed, org):
                self.store.seed(org.id, kind, items)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(org.account for org in self.orgs.values())

    def make_oauth(self) -> OAuthServer:
        # A session of two hours, which no answer tells; PKCE is a must for partners' apps (provider-facts).
        return OAuthServer(self.now, SCOPES, access_seconds=7200, pkce_required=True, new_token=_new_token)

    def routes(self) -> Sequence[HTTPRouteHandler]:
        return [
            *token_routes(self.records),
            *query_routes(self.records),
            *record_routes(self.records),
            *composite_routes(self.records),
            *bulk_routes(self.bulk),
        ]

    def error_reply(self, status: int, message: str) -> Reply:
        code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(status, "UNKNOWN_EXCEPTION")
        return error(status, code, message)

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            return limit_exceeded()
        return error(
            200 if kind == "error_body" else 500, "UNKNOWN_EXCEPTION", "An unexpected error occurred"
        )

    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        return sample(object_type, number)

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        del item
        if object_type == CONTACT:
            return {"Title": f"Changed in the sandbox, no. {number}"}
        if object_type == OPPORTUNITY:
            return {"Amount": 100.0 * number}
        name = "Title" if "Title" in FIELDS[object_type] else "Description"
        return {name: f"Changed in the sandbox, no. {number}"}

    def label(self, object_type: str, item: SimulatedObject) -> str:
        row = self.records.row(object_type, item)
        return str(row.get("Name") or row.get("Subject") or row["Id"])

    def fields(self, object_type: str) -> frozenset[str]:
        return frozenset(field.name for field in FIELDS[object_type].values() if not field.read_only)

    def public_id(self, object_type: str, object_id: str) -> str:
        return public_id(object_type, object_id)

    def own_id(self, object_type: str, public_id: str) -> str:
        return own_id(object_type, public_id)

    def settings(self) -> list[Setting]:
        return [
            *super().settings(),
            Setting("batch", "Records of a query's page at most", self.records.batch),
            Setting("daily", "API requests of an org in 24 hours", self.records.window.limit),
            Setting("bulk_seconds", "Seconds that a bulk job takes", self.bulk.seconds),
        ]

    def change_setting(self, name: str, value: int) -> None:
        bounds = {"batch": (1, 2000), "daily": (1, 1_000_000), "bulk_seconds": (0, 600)}.get(name)
        if bounds is None:
            super().change_setting(name, value)
            return
        if not bounds[0] <= value <= bounds[1]:
            raise ValueError(f"{name} must be between {bounds[0]:,} and {bounds[1]:,}.")
        if name == "batch":
            self.records.batch = value
        elif name == "daily":
            self.records.window.limit = value
        else:
            self.bulk.seconds = value


def _new_token(kind: str) -> str:
    if kind == "access":
        return f"00DTL0000000001!{secrets.token_urlsafe(72)}"
    return f"5Aep861{secrets.token_urlsafe(60)}"
