"""Asking for work."""  # noqa: A005 - always imported with its package, as trunkline.work.queue

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from trunkline.work import repository

CHANNEL = "trunkline:work"
"""Valkey channel of wake-ups: an empty message says that something may be due."""

HINT_SECONDS = 0.5
"""A hint that takes longer is not worth waiting for: the dispatcher looks by itself by then."""

log = structlog.get_logger(__name__)


class WorkQueue:
    """The durable backlog in Postgres. Valkey only carries hints; without it work starts a little later."""

    def __init__(self, valkey: "Redis | None" = None) -> None:
        self._valkey = valkey
        self._hints: set[asyncio.Task[None]] = set()

    async def enqueue(
        self,
        session: AsyncSession,
        *,
        tenant_id: UUID,
        kind: str,
        key: str,
        due_at: datetime | None = None,
        connection_id: UUID | None = None,
        args: dict[str, Any] | None = None,
        priority: int = 0,
    ) -> None:
        """Have (kind, key) done at `due_at`, now by default. Asking twice is asking once.

        An earlier time wins; asked for while it runs, it runs again after that. `args` (ids only) replace
        those before. Lower `priority` runs first among a tenant's due work. A hint goes out after the commit.
        """
        await repository.enqueue(
            session,
            tenant_id=tenant_id,
            kind=kind,
            key=key,
            due_at=due_at,
            connection_id=connection_id,
            args=args,
            priority=priority,
        )
        self.hint(session)

    def hint(self, session: AsyncSession) -> None:
        """Have a hint go out after this commit; `enqueue` does it by itself."""
        if self._valkey is not None and not session.info.get("work_hint"):
            session.info["work_hint"] = True
            event.listen(session.sync_session, "after_commit", self._committed)

    async def cancel(self, session: AsyncSession, tenant_id: UUID, kind: str, key: str) -> None:
        """Forget it. If it runs right now its next fence fails, so it writes nothing more."""
        await repository.cancel(session, tenant_id, kind, key)

    async def wake(self) -> None:
        """Hint that something may be due; never fails. `enqueue` does it by itself after the commit."""
        if self._valkey is None:
            return
        try:
            async with asyncio.timeout(HINT_SECONDS):
                await self._valkey.publish(CHANNEL, b"")
        except (RedisError, OSError) as error:
            log.debug("work hint not sent", error=type(error).__name__)

    def _committed(self, _session: Session) -> None:
        task = asyncio.get_running_loop().create_task(self.wake())
        self._hints.add(task)
        task.add_done_callback(self._hints.discard)
