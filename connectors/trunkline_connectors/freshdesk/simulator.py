"""A Freshdesk on this machine. Facts and their sources: provider-facts, Freshdesk."""

from collections.abc import Sequence
from typing import Any, ClassVar

from litestar.handlers import HTTPRouteHandler

from trunkline.sdk.simulator import Account, Simulator
from trunkline.sdk.simulator_clock import Now, wall_now
from trunkline.sdk.simulator_gate import Reply
from trunkline.sdk.simulator_oauth import OAuthClient, OAuthServer
from trunkline.sdk.simulator_random import repeatable
from trunkline.sdk.simulator_store import SimulatedObject
from trunkline_connectors.freshdesk.simulator_desk import Desk
from trunkline_connectors.freshdesk.simulator_errors import rate_limited
from trunkline_connectors.freshdesk.simulator_routes import Door, read_routes, write_routes
from trunkline_connectors.freshdesk.simulator_schema import (
    AGENTS,
    COMPANIES,
    CONTACTS,
    CONVERSATIONS,
    OBJECT_TYPES,
    SCOPES,
    TICKETS,
    WRITABLE,
)
from trunkline_connectors.freshdesk.simulator_seed import DESKS, OWNER, HelpDesk, make, seed_desk


class FreshdeskSimulator(Simulator):
    name = "freshdesk"
    title = "Freshdesk"
    authorize_path = ""
    scopes = SCOPES
    object_types = OBJECT_TYPES
    keys = True
    kept_types: ClassVar = frozenset({AGENTS})
    belongs: ClassVar = {CONVERSATIONS: (TICKETS, "ticket_id")}
    targets: ClassVar = {"All data": "/api/v2/", "Tickets": "/api/v2/tickets"}

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
        self.desk = Desk(self.store, self.oauth, now, {desk.id: desk.account.host for desk in desks})
        for desk in desks:
            for kind, items in seed_desk(seed, desk, now).items():
                self.store.seed(desk.id, kind, items)

    @property
    def accounts(self) -> tuple[Account, ...]:
        return tuple(desk.account for desk in self.desks)

    def make_oauth(self) -> OAuthServer:
        # Only for its keys: the plain REST API has no sign-in for apps.
        return OAuthServer(self.now, SCOPES)

    def routes(self) -> Sequence[HTTPRouteHandler]:
        door = Door(self.desk)
        return [*read_routes(self.desk, door), *write_routes(self.desk, door)]

    def truth(self, account: str, stream: str) -> frozenset[str] | None:
        """A plain list leaves spam out, and with a ticket goes what was said in it."""
        found = super().truth(account, stream)
        if found is None or stream not in {TICKETS, CONVERSATIONS}:
            return found
        spam = {one.id for one in self.store.walk(account, TICKETS) if one.values.get("spam")}
        if stream == TICKETS:
            return found - spam
        tickets = {one.id for one in self.store.walk(account, TICKETS)} - spam
        return frozenset(
            one.id
            for one in self.store.walk(account, CONVERSATIONS)
            if str(one.values["ticket_id"]) in tickets
        )

    def error_reply(self, status: int, message: str) -> Reply:
        if status == 404:
            return Reply(404, None)
        return Reply(status, {"code": "method_not_allowed" if status == 405 else "error", "message": message})

    def fault_reply(self, kind: str) -> Reply:
        if kind == "429":
            return rate_limited(1)
        body = {"code": "internal_error", "message": "We're sorry, but something went wrong."}
        return Reply(200 if kind == "error_body" else 500, body)

    def sample(self, object_type: str, number: int) -> dict[str, Any]:
        rng = repeatable(f"sample:{object_type}:{number}")
        if object_type == CONVERSATIONS:  # of a ticket that whoever makes it names
            text = f"Note no. {number}"
            return {"ticket_id": 1, "user_id": OWNER, "body": f"<div>{text}</div>", "body_text": text,
                    "incoming": False, "private": True, "source": 2}  # fmt: skip
        # Of nobody in particular, for the account is not known here: only its first agent is sure to exist.
        empty = HelpDesk("0", "Nobody", "sample", {AGENTS: 1})
        return {**make(rng, self.seed, empty, object_type, 900_000 + number), **_plain(object_type)}

    def touch(self, object_type: str, item: SimulatedObject, number: int) -> dict[str, Any]:
        if object_type == TICKETS:
            return {"subject": f"{str(item.values['subject']).split(' #')[0]} #{number}"}
        if object_type == CONTACTS:
            return {"job_title": f"Changed in the sandbox, no. {number}"}
        if object_type == COMPANIES:
            return {"note": f"Changed in the sandbox, no. {number}"}
        if object_type == AGENTS:
            return {"name": f"{str(item.values['name']).split(' #')[0]} #{number}"}
        return {"body_text": f"Changed in the sandbox, no. {number}"}

    def label(self, object_type: str, item: SimulatedObject) -> str:
        values = item.values
        text = values.get("subject") or values.get("name") or values.get("body_text")
        return str(text or f"{object_type} {item.id}")

    def fields(self, object_type: str) -> frozenset[str]:
        return frozenset({*WRITABLE.get(object_type, {"name", "email", "body", "body_text"}), "spam"})


def _plain(object_type: str) -> dict[str, Any]:
    """Neither blocked nor spam, so that what a person makes is seen."""
    return {TICKETS: {"spam": False}, CONTACTS: {"blocked": False}}.get(object_type, {})
