"""Idempotency keys: the deed and its answer commit in one transaction, so a repetition finds both or neither.

A request that fails keeps nothing, since it did nothing: it can be corrected and sent again under its key.
While one runs, its duplicates are told to wait (409) rather than hold a connection of the database each.
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency, Provide
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.idempotency import repository
from trunkline.idempotency.jobs import PURGE
from trunkline.idempotency.repository import Kept, Place
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database
from trunkline.kernel.errors import BadInputError, ConflictError, UnprocessableError
from trunkline.kernel.principal import Principal
from trunkline.vault.sealed import place as sealed_place
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue

HEADER = "Idempotency-Key"
LONGEST = 255
KEPT = timedelta(hours=24)
JSON = "application/json"

_KEY = re.compile(rf"[\x21-\x7e]{{1,{LONGEST}}}")

T = TypeVar("T")
AnyRequest = Request[Any, Any, Any]
Deed = Callable[[AsyncSession], Awaitable[T]]


class Idempotency:
    """One per process."""

    def __init__(self, db: Database, vault: Vault, work: WorkQueue) -> None:
        self.db = db
        self._vault = vault
        self._work = work

    async def once(
        self,
        session: AsyncSession,
        place: Place,
        request_hash: bytes,
        deed: Deed[bytes],
        *,
        status: int,
    ) -> tuple[Kept, bool]:
        """The answer with its body in plain, and whether it is one given before.

        ConflictError while another request runs under the same key, UnprocessableError where the key belongs
        to another request.
        """
        if not await repository.take(session, _number(place)):
            raise ConflictError(
                f"A request with this {HEADER} is still running. Send it again in a second.",
                field=HEADER,
                code="idempotency_in_progress",
                retry_after=1,
            )
        moment = now()
        kept = await repository.find(session, place, moment)
        box = await self._vault.box(session, place.tenant_id)
        if kept is not None:
            if not hmac.compare_digest(kept.request_hash, request_hash):
                raise UnprocessableError(
                    f"This {HEADER} belongs to another request: method, address or body differ. "
                    "Send a new key with a new request.",
                    field=HEADER,
                    code="idempotency_key_reused",
                )
            body = box.open(kept.body, kept.key_version, _context(place))
            return msgspec.structs.replace(kept, body=body), True
        made = Kept(request_hash, status, JSON, await deed(session), box.version)
        sealed = msgspec.structs.replace(made, body=box.seal(made.body, _context(place)))
        await repository.keep(session, place, sealed, moment + KEPT)
        await self._work.enqueue(
            session, tenant_id=place.tenant_id, kind=PURGE, key="answers", due_at=moment + KEPT
        )
        return made, False


class Once:
    """What a POST handler of /v1 asks for as `once`, and does its deed through."""

    def __init__(self, request: AnyRequest, idempotency: Idempotency, principal: Principal) -> None:
        self._request = request
        self._idempotency = idempotency
        self._principal = principal

    async def __call__(
        self,
        tenant_id: UUID,
        deed: Deed[T],
        then: Callable[[Response[T]], Awaitable[Response[T]]] | None = None,
    ) -> Response[T]:
        """Runs `deed` in a transaction of the tenant's, unless the request was carried out before.

        `then`: what is done with its answer, each time and after the commit.
        """
        answer = await self._done(tenant_id, deed)
        return answer if then is None else await then(answer)

    async def _done(self, tenant_id: UUID, deed: Deed[T]) -> Response[T]:
        status = int(self._request.route_handler.status_code)
        key = self._request.headers.get(HEADER)
        if key is None:
            async with self._idempotency.db.tenant(tenant_id) as session:
                return Response(await deed(session), status_code=status, media_type=JSON)
        if not _KEY.fullmatch(key):
            raise BadInputError(
                f"An {HEADER} has 1 to {LONGEST} printable ASCII characters, such as a random UUID.",
                field=HEADER,
            )
        place = Place(tenant_id, UUID(self._principal.id), hashlib.sha256(key.encode()).digest())
        request_hash = await self._hash(key)

        async def encoded(session: AsyncSession) -> bytes:
            return msgspec.json.encode(await deed(session))

        async with self._idempotency.db.tenant(tenant_id) as session:
            answer, again = await self._idempotency.once(session, place, request_hash, encoded, status=status)
        response = Response(
            answer.body,
            status_code=answer.status,
            media_type=answer.media_type,
            headers={"idempotent-replayed": "true"} if again else {},
        )
        return cast("Response[T]", response)

    async def _hash(self, key: str) -> bytes:
        request = self._request
        method, path = request.method.encode(), request.scope["path"].encode("utf-8", "surrogatepass")
        query, body = request.scope["query_string"], await request.body()
        found = hashlib.sha256()
        for part in (key.encode(), method, path, query, body):
            found.update(len(part).to_bytes(8, "big") + part)
        return found.digest()


def provide_once(
    request: AnyRequest,
    idempotency: NamedDependency[Idempotency],
    principal: NamedDependency[Principal],
) -> Once:
    return Once(request, idempotency, principal)


ONCE = {"once": Provide(provide_once, sync_to_thread=False)}
"""Dependencies of a controller that has a POST."""


def _context(place: Place) -> str:
    return sealed_place("idempotent_answers", place.api_key_id, place.key_hash, field="body")


def _number(place: Place) -> int:
    """For an advisory lock; that two places share one of 2^64 costs a needless 409."""
    found = hashlib.sha256(b"idempotency" + place.tenant_id.bytes + place.api_key_id.bytes + place.key_hash)
    return int.from_bytes(found.digest()[:8], "big", signed=True)
