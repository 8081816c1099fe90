"""A Pipedrive on this machine. Facts and their sources: provider-facts, Pipedrive."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import Account, Setting, Simulator
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_gate import Reply
from trunkline.sdk.simulator_hooks import Address
from trunkline.sdk.simulator_oauth import AuthorizationRequest, OAuthClient, OAuthServer
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.pipedrive.simulator_crm import Crm
from trunkline_connectors.pipedrive.simulator_errors import error, rate_limited
from trunkline_connectors.pipedrive.simulator_hooks import PipedriveHooks, hook_routes
from trunkline_connectors.pipedrive.simulator_legacy import legacy_routes, user_routes
from trunkline_connectors.pipedrive.simulator_routes import Door, crm_routes, schema_routes
from trunkline_connectors.pipedrive.simulator_schema import (
    APP_SCOPES,
    DEALS,
    NOTES,
    OBJECT_TYPES,
    ORGANIZATIONS,
    SCOPES,
    USERS,
    WRITABLE,
)
from trunkline_connectors.pipedrive.simulator_seed import COMPANIES, FIRST_ID, Company, make, seed_objects
from trunkline_connectors.pipedrive.simulator_tokens import token_routes

REFRESH_SECONDS = 60 * 86_400
"""A refresh token that is not used for so long lapses."""


class _Registered(OAuthServer):
    """Scopes are ticked in the app's registration, and those in the address change nothing; here they stand
    for what an app has ticked, so that a narrower one can be tried. Commas separate them.
    """

    def begin(self, query: Mapping[str, str]) -> AuthorizationRequest:
        return super().begin({**query, "scope": query.get("scope", "").replace(",", " ")})


class PipedriveSimulator(Simulator):
    name = "pipedrive"
    title = "Pipedrive"
    scopes = SCOPES
    object_types = OBJECT_TYPES
    keys = True
    kept_types: ClassVar = frozenset({USERS})
    targets: ClassVar = {"CRM data (v2)": "/api/v2/", "Older API (v1)": "/v1/", "Tokens": "/oauth/"}

    def __init__(
        self,
        *,
        clients: Sequence[OAuthClient] = (),
        seed: int = 1,
        now: Now = wall_now,
        companies: Sequence[Company] = COMPANIES,
    ) -> None:
        super().__init__(clients=clients, seed=seed, now=now)
        self.companies = list(companies)
        self.crm = Crm(self.store, self.oauth, now)
        for company in companies:
            for kind in company.counts:
                self.store.seed(company.id, kind, seed_objects(seed, company, kind))

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(company.account for company in self.companies)

    def make_oauth(self) -> OAuthServer:
        # 3599 s and no PKCE; a code lives five minutes (the spec of the token endpoint).
        return _Registered(
            self.now,
            SCOPES,
            access_seconds=3599,
            refresh_seconds=REFRESH_SECONDS,
            code_seconds=300,
            always=("base",),
            default_scopes=APP_SCOPES,
        )

    def routes(self) -> Sequence[HTTPRouteHandler]:
        door = Door(self.crm, self.companies)
        return [
            *crm_routes(self.crm, door),
            *schema_routes(door),
            *legacy_routes(self.crm, door),
            *user_routes(self.crm, door),
            *token_routes(self.oauth, self.companies),
            *hook_routes(self.crm, door, self.webhooks),
        ]

    def teller(self, secret: str, address: Address) -> PipedriveHooks:
        del secret, address  # each account registers its own
        return PipedriveHooks(self.crm, self.webhooks)

    def error_reply(self, status: int, message: str) -> Reply:
        return error(status, message)

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            return rate_limited({"x-ratelimit-reset": "1"})
        return error(200 if kind == "error_body" else 500, "Server error", code="ERR_INTERNAL")

    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        rng = repeatable(f"sample:{object_type}:{number}")
        if object_type == NOTES:
            return {"content": f"Note no. {number}", "deal_id": None, "person_id": None, "org_id": None}
        # Of nobody in particular, for the account is not known here: related objects are left out.
        empty = Company("0", "Nobody", "sample", {**dict.fromkeys(FIRST_ID, 0), USERS: 1})
        return make(rng, self.seed, empty, object_type, 900_000 + number)

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        if object_type == DEALS:
            return {"value": 100 * number + 1}
        if object_type == ORGANIZATIONS:
            return {"employee_count": 1000 + number}
        if object_type == NOTES:
            return {"content": f"Changed in the sandbox, no. {number}"}
        if object_type == USERS:
            return {"name": f"{item.values['name'].split(' #')[0]} #{number}"}
        phone = f"+372 800{number:05}"
        return {"phones": [{"value": phone, "primary": True, "label": "work"}]}

    def label(self, object_type: str, item: SimulatedObject) -> str:
        values = item.values
        text = values.get("title") or values.get("name") or values.get("content")
        return str(text or f"{object_type} {item.id}")

    def fields(self, object_type: str) -> frozenset[str]:
        return frozenset(WRITABLE.get(object_type, {"name": str, "email": str}))

    def settings(self) -> list[Setting]:
        return [
            *super().settings(),
            Setting("daily_tokens", "Tokens that an account has for a day", self.crm.daily_tokens),
        ]

    def change_setting(self, name: str, value: int) -> None:
        if name != "daily_tokens":
            super().change_setting(name, value)
        elif 0 <= value <= 10**9:
            self.crm.daily_tokens = value
        else:
            raise ValueError("daily_tokens must be between 0 and 1,000,000,000.")
