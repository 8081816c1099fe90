"""Actions over the API: what can be written, writing it, and what became of it."""

from typing import Annotated, cast
from uuid import UUID

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.actions import repository
from trunkline.actions.schemas import (
    ActionCallList,
    ActionCallView,
    ActionIn,
    ActionList,
    CallState,
    DecisionIn,
    TenantIn,
)
from trunkline.actions.sending import REFUSED
from trunkline.actions.service import ActionService
from trunkline.idempotency.service import HEADER, ONCE, Once
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, TrunklineError
from trunkline.kernel.lists import Cursor, Limit, given, parted
from trunkline.kernel.principal import Principal
from trunkline.kernel.problems import FieldError
from trunkline.kernel.scopes import needs

_STATUS = {
    REFUSED: 422,
    "missing_scope": 403,
    "paused_by_member": 409,
    "disconnected_by_member": 409,
    "not_written": 409,
}
_ACCESS = frozenset({"grant_revoked", "token_rejected", "ambiguous_refresh"})


class _Named(msgspec.Struct):
    id: UUID


class ActionFailedError(TrunklineError):
    """The provider took nothing of it. `call`: its id; `errors`: the inputs at fault, where it named them."""


class ActionController(Controller):
    path = "/v1/connections/{connection_id:uuid}/actions"
    tags = ("Actions",)
    dependencies = ONCE

    @get(**needs("connections:read"), summary="What can be written", operation_id="listActions")
    async def list_actions(
        self,
        db: NamedDependency[Database],
        actions: NamedDependency[ActionService],
        tenant_id: NamedDependency[UUID],
        connection_id: FromPath[UUID],
    ) -> ActionList:
        """With the inputs of each, and the permissions that the connection lacks for it."""
        async with db.tenant(tenant_id) as session:
            return ActionList(await actions.offered(session, tenant_id, connection_id))

    @post(
        "/{action:str}",
        status_code=200,
        **needs("actions:write"),
        summary="Write something",
        operation_id="runAction",
    )
    async def run_action(
        self,
        request: Request[Principal, None, State],
        once: NamedDependency[Once],
        actions: NamedDependency[ActionService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        connection_id: FromPath[UUID],
        action: FromPath[str],
        data: JSONBody[ActionIn],
    ) -> Response[ActionCallView]:
        """Needs an `Idempotency-Key`: sent again under it, nothing is written twice, and the answer is how
        the call stands by then.

        Waits up to 10 s for the provider. 200: `done`, or `partial` where several inputs were given and some
        were refused; 422 with `errors`: the provider does not accept a value; 202: it goes on by itself,
        since a limit, an outage or a lost answer holds it up, or because of `Prefer: respond-async`: read
        the call until it has ended. 202 also where it is `unknown`, which a person decides.
        """
        if request.headers.get(HEADER) is None:
            raise BadInputError(
                f"Send an {HEADER}, such as a random UUID: with it nothing is written twice.", field=HEADER
            )
        queued = "respond-async" in request.headers.get("prefer", "").lower()

        async def deed(session: AsyncSession) -> ActionCallView:
            return await actions.ask(
                session, tenant_id, principal, connection_id, action, data, now_and_here=not queued
            )

        async def carried_out(response: Response[ActionCallView]) -> Response[ActionCallView]:
            asked = response.content
            call_id = asked.id if isinstance(asked, ActionCallView) else _id_in(cast("bytes", asked))
            call = await (actions.look if queued else actions.carry_out)(tenant_id, call_id)
            if call.state == "failed":
                raise _failed(call, several=data.inputs is not None)
            status = 200 if call.state in {"done", "partial"} else 202
            headers = response.headers | ({"preference-applied": "respond-async"} if queued else {})
            return Response(call, status_code=status, headers=headers)

        return await once(tenant_id, deed, carried_out)


class ActionCallController(Controller):
    path = "/v1/action-calls"
    tags = ("Actions",)
    dependencies = ONCE

    @get(**needs("connections:read"), summary="Action calls, newest first", operation_id="listActionCalls")
    async def list_calls(
        self,
        db: NamedDependency[Database],
        tenant_id: NamedDependency[UUID],
        limit: Limit = 50,
        cursor: Cursor = None,
        connection: Annotated[UUID | None, QueryParameter(description="Only of this connection.")] = None,
        standing: Annotated[
            CallState | None, QueryParameter(description="Only those that stand like this.")
        ] = None,
    ) -> ActionCallList:
        """What was to be written is not among it: it is kept sealed, until it is written."""
        async with db.tenant(tenant_id) as session:
            last = given(await repository.call(session, tenant_id, cursor)) if cursor else None
            before = (last.asked_at, last.id) if last else None
            found = await repository.calls(
                session, tenant_id, connection_id=connection, state=standing, before=before, limit=limit + 1
            )
        return ActionCallList(*parted(found, limit))

    @get("/{call_id:uuid}", **needs("connections:read"), summary="One call", operation_id="getActionCall")
    async def get_call(
        self,
        actions: NamedDependency[ActionService],
        tenant_id: NamedDependency[UUID],
        call_id: FromPath[UUID],
    ) -> ActionCallView:
        return await actions.look(tenant_id, call_id)

    @post(
        "/{call_id:uuid}/retry",
        status_code=202,
        **needs("actions:write"),
        summary="Try a failed call again",
        operation_id="retryActionCall",
    )
    async def retry(
        self,
        once: NamedDependency[Once],
        actions: NamedDependency[ActionService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        call_id: FromPath[UUID],
        data: JSONBody[TenantIn | None] = None,
    ) -> Response[ActionCallView]:
        """With the same input, for 30 days: after a reconnect, or when the provider takes it now."""
        del data

        async def deed(session: AsyncSession) -> ActionCallView:
            return await actions.retry(session, tenant_id, principal, call_id)

        return await once(tenant_id, deed)

    @post(
        "/{call_id:uuid}/decide",
        status_code=200,
        **needs("actions:write"),
        summary="Say what became of an unknown call",
        operation_id="decideActionCall",
    )
    async def decide(
        self,
        once: NamedDependency[Once],
        actions: NamedDependency[ActionService],
        tenant_id: NamedDependency[UUID],
        principal: NamedDependency[Principal],
        call_id: FromPath[UUID],
        data: JSONBody[DecisionIn],
    ) -> Response[ActionCallView]:
        """After a look at the provider. One that was not written can then be tried again."""

        async def deed(session: AsyncSession) -> ActionCallView:
            return await actions.decide(session, tenant_id, principal, call_id, data.outcome)

        return await once(tenant_id, deed)


def _id_in(kept: bytes) -> UUID:
    return msgspec.json.decode(kept, type=_Named).id


def _failed(call: ActionCallView, *, several: bool) -> ActionFailedError:
    errors = [
        FieldError(
            f"The connected service does not accept this value{f' ({one.code})' if one.code else ''}.",
            f"inputs.{at}.{one.field}" if several else f"input.{one.field}",
            "body",
        )
        for at, one in enumerate(call.results)
        if one.field
    ]
    looked = f"{call.decided_by} looked there: it was not written. It can be tried again."
    error = ActionFailedError(
        call.message or looked,
        code=call.cause or "not_written",
        field=errors[0].field if errors else None,
        errors=errors,
        call=str(call.id),
    )
    error.status = 409 if call.cause in _ACCESS else _STATUS.get(call.cause or "not_written", 502)
    return error
