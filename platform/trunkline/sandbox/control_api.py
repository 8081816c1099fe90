"""The control of a simulator as JSON, for tests and scripts: `/{name}/_control/api/...`."""

from datetime import datetime
from typing import Any, TypeVar

import msgspec
from litestar import Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from trunkline.sandbox.actions import Actions, ControlError
from trunkline.sandbox.guard import same_origin
from trunkline.sdk.simulator import Setting, Simulator
from trunkline.sdk.simulator_faults import Fault
from trunkline.sdk.simulator_gate import AnyRequest
from trunkline.sdk.simulator_log import SeenRequest
from trunkline.sdk.simulator_oauth import OAuthClient
from trunkline.sdk.simulator_store import LedgerEntry

API = "/_control/api"
_Shape = TypeVar("_Shape")


class RecordsIn(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    object: str
    count: int = 1
    ids: list[str] = []
    values: dict[str, Any] | None = None


class FaultIn(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    requests: int | None = None
    seconds: float | None = None
    path: str = ""
    latency_ms: int = 0


class ExpireIn(msgspec.Struct, forbid_unknown_fields=True):
    grant: str | None = None


class SettingIn(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: int | bool


class ClientIn(msgspec.Struct, forbid_unknown_fields=True):
    client_id: str
    client_secret: str
    redirect_uris: list[str]
    name: str = ""


class AuthorizeIn(msgspec.Struct, forbid_unknown_fields=True):
    """The query of an authorize request, and the account that says yes."""

    account: str
    query: dict[str, str]
    optional: list[str] = []


class FieldIn(msgspec.Struct, forbid_unknown_fields=True):
    """`type`: of `Simulator.field_types`; empty: the field goes."""

    object: str
    field: str
    type: str = ""


class KeyIn(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    scopes: list[str] = []


class WebhookIn(msgspec.Struct, forbid_unknown_fields=True):
    account: str
    url: str
    secret: str = ""


class GrantOut(msgspec.Struct):
    id: str
    client_id: str
    account: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None


class CountOut(msgspec.Struct):
    account: str
    object: str
    live: int
    archived: int


class TokenCallsOut(msgspec.Struct):
    client_id: str
    grant_type: str
    outcome: str
    count: int


class StateOut(msgspec.Struct):
    name: str
    counts: list[CountOut]
    clients: list[str]
    grants: list[GrantOut]
    faults: list[Fault]
    settings: list[Setting]
    requests: int
    by_status: dict[str, int]
    token_calls: list[TokenCallsOut]
    ledger_length: int


def state_of(simulator: Simulator) -> StateOut:
    """Everything a person or a test may see; no secret and no token in it."""
    oauth = simulator.oauth
    return StateOut(
        simulator.name,
        [
            CountOut(
                account.id,
                kind.name,
                simulator.store.count(account.id, kind.name),
                simulator.store.count(account.id, kind.name, archived=True),
            )
            for account in simulator.accounts
            for kind in simulator.object_types
        ],
        list(oauth.clients),
        [
            GrantOut(g.id, g.client_id, g.account, list(g.scopes), g.created_at, g.revoked_at)
            for g in oauth.grants.values()
        ],
        simulator.faults.active(),
        simulator.settings(),
        simulator.log.total,
        {str(status): count for status, count in sorted(simulator.log.by_status.items())},
        [TokenCallsOut(*key, count) for key, count in sorted(oauth.token_calls.items())],
        len(simulator.store.ledger),
    )


def control_api(simulator: Simulator) -> list[HTTPRouteHandler]:
    actions = Actions(simulator)

    @get(f"{API}/state")
    async def state() -> StateOut:
        return state_of(simulator)

    @get(f"{API}/requests")
    async def requests() -> list[SeenRequest]:
        return simulator.log.runs()

    @get(f"{API}/ledger")
    async def ledger(request: AnyRequest) -> list[LedgerEntry]:
        after = str(request.query_params.get("after") or "0")
        start = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else 0
        return simulator.store.ledger[start : start + 1000]

    @post(f"{API}/records", guards=[same_origin])
    async def create(request: AnyRequest) -> dict[str, list[str]]:
        asked = await _body(request, RecordsIn)
        return {"ids": actions.create(asked.account, asked.object, asked.count, asked.values)}

    @post(f"{API}/records/change", guards=[same_origin], status_code=200)
    async def change(request: AnyRequest) -> dict[str, list[str]]:
        asked = await _body(request, RecordsIn)
        return {"ids": actions.change(asked.account, asked.object, asked.count, asked.ids, asked.values)}

    @post(f"{API}/records/archive", guards=[same_origin], status_code=200)
    async def archive(request: AnyRequest) -> dict[str, list[str]]:
        asked = await _body(request, RecordsIn)
        return {"ids": actions.archive(asked.account, asked.object, asked.count, asked.ids)}

    @post(f"{API}/grants/{{grant_id:str}}/revoke", guards=[same_origin], status_code=200)
    async def revoke(grant_id: FromPath[str]) -> dict[str, str]:
        actions.revoke(grant_id)
        return {"revoked": grant_id}

    @post(f"{API}/tokens/expire", guards=[same_origin], status_code=200)
    async def expire(request: AnyRequest) -> dict[str, int]:
        asked = await _body(request, ExpireIn)
        return {"expired": actions.expire(asked.grant)}

    @post(f"{API}/faults", guards=[same_origin])
    async def add_fault(request: AnyRequest) -> Fault:
        asked = await _body(request, FaultIn)
        return actions.trouble(
            asked.kind,
            requests=asked.requests,
            seconds=asked.seconds,
            path=asked.path,
            latency_ms=asked.latency_ms,
        )

    @delete(f"{API}/faults", guards=[same_origin], status_code=200)
    async def clear_faults() -> dict[str, int]:
        return {"cleared": simulator.faults.clear()}

    @post(f"{API}/settings", guards=[same_origin], status_code=200)
    async def change_setting(request: AnyRequest) -> list[Setting]:
        asked = await _body(request, SettingIn)
        actions.setting(asked.name, asked.value)
        return simulator.settings()

    @post(f"{API}/clients", guards=[same_origin])
    async def register(request: AnyRequest) -> dict[str, str]:
        asked = await _body(request, ClientIn)
        actions.register(
            OAuthClient(asked.client_id, asked.client_secret, tuple(asked.redirect_uris), asked.name)
        )
        return {"client_id": asked.client_id}

    @post(f"{API}/authorize", guards=[same_origin], status_code=200)
    async def authorize(request: AnyRequest) -> dict[str, str]:
        """Says yes without a browser; the answer is where the browser would be sent."""
        asked = await _body(request, AuthorizeIn)
        if asked.account not in {item.id for item in simulator.accounts}:
            raise ControlError("account is not one of this simulator's accounts.")
        begun = simulator.oauth.begin(asked.query)
        return {"location": simulator.oauth.approve(begun.id, asked.account, asked.optional)}

    @post(f"{API}/keys", guards=[same_origin])
    async def make_key(request: AnyRequest) -> dict[str, str]:
        asked = await _body(request, KeyIn)
        return {"key": actions.make_key(asked.account, asked.scopes)}

    @post(f"{API}/fields", guards=[same_origin], status_code=200)
    async def change_field(request: AnyRequest) -> dict[str, str]:
        asked = await _body(request, FieldIn)
        actions.change_field(asked.object, asked.field, asked.type)
        return {"field": asked.field, "type": asked.type}

    @post(f"{API}/webhooks", guards=[same_origin])
    async def add_webhook(request: AnyRequest) -> dict[str, str]:
        asked = await _body(request, WebhookIn)
        made = actions.add_webhook(asked.account, asked.url, asked.secret)
        return {"id": made.id, "secret": made.secret}

    return [
        state, requests, ledger, create, change, archive, revoke, expire, add_fault, clear_faults,
        change_setting, register, authorize, make_key, change_field, add_webhook,
    ]  # fmt: skip


async def _body(request: AnyRequest, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(await request.body() or b"{}", type=shape)
    except msgspec.DecodeError as error:
        raise ControlError(f"The body cannot be used: {error}") from error


def refused(_: AnyRequest, error: Exception) -> Response[dict[str, Any]]:
    """Exception handler of the control API."""
    return Response({"error": str(error)}, status_code=400)
