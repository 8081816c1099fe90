"""A Zendesk on this machine. Facts and their sources: provider-facts, Zendesk."""

from collections.abc import Sequence
from typing import Any, ClassVar

from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import Account, Setting, Simulator
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_gate import Reply
from trunkline.sdk.simulator_hooks import Address
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthServer
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.zendesk.simulator_desk import Desk
from trunkline_connectors.zendesk.simulator_errors import error, rate_limited
from trunkline_connectors.zendesk.simulator_hooks import ZendeskHooks, hook_routes
from trunkline_connectors.zendesk.simulator_routes import (
    Door,
    export_routes,
    read_routes,
    schema_routes,
    search_routes,
)
from trunkline_connectors.zendesk.simulator_schema import (
    COMMENTS,
    OBJECT_TYPES,
    ORGANIZATIONS,
    SCOPES,
    TICKETS,
    USERS,
    WRITABLE,
)
from trunkline_connectors.zendesk.simulator_seed import ADMIN, DESKS, HelpDesk, make, seed_desk
from trunkline_connectors.zendesk.simulator_tokens import token_routes
from trunkline_connectors.zendesk.simulator_writes import write_routes


class ZendeskSimulator(Simulator):
    name = "zendesk"
    title = "Zendesk"
    authorize_path = "/oauth/authorizations/new"
    scopes = SCOPES
    object_types = OBJECT_TYPES
    keys = True
    kept_types: ClassVar = frozenset({USERS})
    targets: ClassVar = {
        "All data": "/api/v2/",
        "Exports": "/api/v2/incremental/",
        "Tokens": "/oauth/tokens",
    }

    def __init__(
        self,
        *,
        clients: Sequence[OAuthClient] = (),
        seed: int = 1,
        now: Now = wall_now,
        desks: Sequence[HelpDesk] = DESKS,
    ) -> None:
        super().__init__(clients=clients, seed=seed, now=now)
        self.desks = list(desks)
        hosts = {desk.id: desk.account.host for desk in desks}
        self.desk = Desk(self.store, self.oauth, now, hosts)
        for desk in desks:
            for kind, items in seed_desk(seed, desk).items():
                self.store.seed(desk.id, kind, items)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(desk.account for desk in self.desks)

    def make_oauth(self) -> OAuthServer:
        # A client made since 2026-04-30: half an hour, 30 days, and each refresh kills both old tokens.
        return OAuthServer(
            self.now,
            SCOPES,
            access_seconds=1800,
            refresh_seconds=2_592_000,
            code_seconds=120,
            rotate_refresh=True,
            rotation_ends_access=True,
            any_scope=True,
        )

    def routes(self) -> Sequence[HTTPRouteHandler]:
        door = Door(self.desk)
        return [
            *read_routes(self.desk, door),
            *export_routes(self.desk, door),
            *search_routes(self.desk, door),
            *schema_routes(door),
            *write_routes(self.desk, door),
            *token_routes(self.oauth, self.desk, self.now),
            *hook_routes(self.desk, door, self.webhooks),
        ]

    def teller(self, secret: str, address: Address) -> ZendeskHooks:
        del secret, address  # each account registers its own
        return ZendeskHooks(self.desk, self.webhooks)

    def error_reply(self, status: int, message: str) -> Reply:
        if status == 404:
            return error(404, "InvalidEndpoint", "Not found")
        return error(status, "InternalError" if status >= 500 else "InvalidValue", message)

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            return rate_limited(1)
        return error(
            200 if kind == "error_body" else 500, "InternalError", "We're sorry, something went wrong"
        )

    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        rng = repeatable(f"sample:{object_type}:{number}")
        if object_type == COMMENTS:
            return {"ticket_id": 1, "author_id": ADMIN, "body": f"Comment no. {number}", "public": True}
        # Of nobody in particular, for the account is not known here: only its owner is sure to exist.
        empty = HelpDesk("0", "Nobody", "sample", {USERS: 1})
        return make(rng, self.seed, empty, object_type, 900_000 + number)

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        if object_type == TICKETS:
            text = f"{str(item.values['subject']).split(' #')[0]} #{number}"
            return {"subject": text, **self.desk.by_a_person(TICKETS)}
        if object_type == USERS:
            return {"phone": f"+31 6 00{number:06}"}
        if object_type == ORGANIZATIONS:
            return {"notes": f"Changed in the sandbox, no. {number}"}
        return {"body": f"Changed in the sandbox, no. {number}"}

    def label(self, object_type: str, item: SimulatedObject) -> str:
        values = item.values
        text = values.get("subject") or values.get("name") or values.get("body")
        return str(text or f"{object_type} {item.id}")

    def fields(self, object_type: str) -> frozenset[str]:
        comment = frozenset({"ticket_id", "author_id", "body", "public"})
        return frozenset(WRITABLE[object_type]) if object_type in WRITABLE else comment

    def settings(self) -> list[Setting]:
        return [
            *super().settings(),
            Setting("export_lag", "Exports leave out the last seconds", self.desk.export_lag),
        ]

    def change_setting(self, name: str, value: int) -> None:
        if name != "export_lag":
            super().change_setting(name, value)
        elif 0 <= value <= 600:
            self.desk.export_lag = value
        else:
            raise ValueError("export_lag must be between 0 and 600.")
