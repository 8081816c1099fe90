"""An Intercom on this machine. Facts and their sources: provider-facts, Intercom."""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, ClassVar

from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import Account, Setting, Simulator
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_gate import Reply
from trunkline.sdk.simulator_hooks import Address
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthServer
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.intercom.simulator_desk import Desk
from trunkline_connectors.intercom.simulator_errors import error, rate_limited
from trunkline_connectors.intercom.simulator_hooks import IntercomHooks
from trunkline_connectors.intercom.simulator_routes import reading_routes
from trunkline_connectors.intercom.simulator_schema import (
    COMPANIES,
    CONVERSATIONS,
    OBJECT_TYPES,
    SCOPES,
    TICKETS,
)
from trunkline_connectors.intercom.simulator_seed import WORKSPACES, Workspace, sample, seed_objects
from trunkline_connectors.intercom.simulator_shapes import own_id, public_id
from trunkline_connectors.intercom.simulator_tokens import token_routes
from trunkline_connectors.intercom.simulator_write_routes import writing_routes


class IntercomSimulator(Simulator):
    name = "intercom"
    title = "Intercom"
    authorize_path = "/oauth"
    scopes = SCOPES
    object_types = OBJECT_TYPES
    keys = True
    targets: ClassVar = {
        "Searches": "/contacts/search",
        "Conversations": "/conversations",
        "Tokens": "/auth/",
    }

    def __init__(
        self,
        *,
        clients: Sequence[OAuthClient] = (),
        seed: int = 1,
        now: Now = wall_now,
        workspaces: Sequence[Workspace] = WORKSPACES,
    ) -> None:
        super().__init__(clients=clients, seed=seed, now=now)
        self.workspaces = {workspace.id: workspace for workspace in workspaces}
        self.desk = Desk(self.store, self.oauth, now, workspaces)
        for workspace in workspaces:
            for kind, items in seed_objects(seed, workspace):
                self.store.seed(workspace.id, kind, items)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(workspace.account for workspace in self.workspaces.values())

    def make_oauth(self) -> OAuthServer:
        # Tokens do not expire, and an app's permissions are ticked in the Developer Hub (provider-facts):
        # here those to read.
        return OAuthServer(
            self.now, SCOPES, access_seconds=0, default_scopes=tuple(SCOPES), new_token=_new_token
        )

    def routes(self) -> Sequence[HTTPRouteHandler]:
        return [
            *token_routes(self.oauth),
            *reading_routes(self.desk, f"/{self.name}"),
            *writing_routes(self.desk),
        ]

    def teller(self, secret: str, address: Address) -> IntercomHooks:
        return IntercomHooks(self.desk, secret, address)

    def error_reply(self, status: int, message: str) -> Reply:
        code = "not_found" if status == 404 else "parameter_invalid" if status < 500 else "server_error"
        return error(status, code, message)

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            moment = int(self.now().timestamp())
            return rate_limited(
                self.desk.per_slice,
                {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(moment // 10 * 10 + 10)},
            )
        return error(200 if kind == "error_body" else 500, "server_error", "Internal server error")

    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        return sample(object_type, number)

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        del item
        if object_type in {CONVERSATIONS, TICKETS}:
            return {"title": f"Changed in the sandbox, no. {number}"}
        return {"name": f"Changed & renamed, no. {number}"}

    def label(self, object_type: str, item: SimulatedObject) -> str:
        values = item.values
        text = values.get("name") or values.get("email") or values.get("title") or values.get("subject")
        return str(text or f"{object_type} {public_id(object_type, item.id)}")

    def public_id(self, object_type: str, object_id: str) -> str:
        return public_id(object_type, object_id)

    def own_id(self, object_type: str, public_id: str) -> str:
        return own_id(object_type, public_id)

    def truth(self, account: str, stream: str) -> frozenset[str] | None:
        """Companies that nobody belongs to are in no list."""
        if stream not in {kind.name for kind in self.object_types}:
            return None
        rows = self.desk.companies(account) if stream == COMPANIES else self.store.walk(account, stream)
        return frozenset(public_id(stream, item.id) for item in rows)

    def settings(self) -> list[Setting]:
        return [
            *super().settings(),
            Setting("search_lag", "The search of contacts trails behind, in seconds", self.desk.search_lag),
            Setting("per_slice", "Requests of an app in each ten seconds", self.desk.per_slice),
        ]

    def change_setting(self, name: str, value: int) -> None:
        if name == "search_lag":
            if not 0 <= value <= 600:
                raise ValueError("search_lag must be between 0 and 600.")
            self.desk.search_lag = value
        elif name == "per_slice":
            if not 1 <= value <= 10_000:
                raise ValueError("per_slice must be between 1 and 10,000.")
            self.desk.per_slice = value
        else:
            super().change_setting(name, value)


def _new_token(_: str) -> str:
    return urlsafe_b64encode(b"tok:" + secrets.token_hex(20).encode()).decode()
