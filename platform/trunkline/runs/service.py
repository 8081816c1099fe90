"""What people and the product ask of streams and runs. What a run does is in `sync`."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.kernel import strictjson
from trunkline.kernel.clock import now
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.recipes import repository as recipes
from trunkline.runs import asking, passes, repository, setaside, writes
from trunkline.runs.drift import Drift, accepted, filters_on
from trunkline.runs.following import Following
from trunkline.runs.schemas import Counts, Mode, RecordDetail, RunView, StreamView
from trunkline.runs.standing import end_run
from trunkline.runs.writes import Place
from trunkline.vault.sealed import place as sealed_place
from trunkline.vault.service import Vault
from trunkline.work.queue import WorkQueue

BY_MEMBER = "paused_by_member"
FRESHEST, STALEST = 60, 30 * 86_400
"""Seconds: between these a target may be chosen."""

_NOT_ASIDE = "Only a full re-read or a re-mapping can be paused by itself; pause the connection instead."
_WORDS = {
    "pending": "The connection is not confirmed yet.",
    "setup": "The connection still needs a choice before it can sync.",
    "paused": "The connection is paused; resume it first.",
    "reconnect_required": "The account must be connected again first.",
    "disconnected": "The connection was disconnected.",
}

_FULL_BESIDE = text("""
    SELECT settled IS NOT NULL AND watermark IS NOT NULL FROM streams
    WHERE tenant_id = :tenant AND connection_id = :connection AND stream = :stream
""")


class RunService(Following):
    """Never commits; enqueues within the caller's transaction."""

    def __init__(self, work: WorkQueue, vault: Vault) -> None:
        super().__init__(work)
        self._vault = vault

    # -- streams ----------------------------------------------------------------------------

    async def sync_now(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str | None = None,
        mode: Mode | None = None,
    ) -> list[RunView]:
        """The runs asked for, of one stream or all; a run already under way is given instead of a second.

        A full one goes on beside the stream's own, once there is anything to be fresh. A stream that a
        failure paused is tried again. Raises NotFoundError, and ConflictError where the connection is not
        active.
        """
        state = await asking.state_of(session, tenant_id, connection_id)
        if state is None:
            raise NotFoundError
        if state != "active":
            raise ConflictError(_WORDS.get(state, "The connection is not active."))
        views = await repository.streams(session, tenant_id, connection_id)
        chosen = [view for view in views if stream in (None, view.stream)]
        if stream is not None and not chosen:
            raise NotFoundError("This connection does not read a stream of this name.", field="stream")
        found: list[RunView] = []
        for view in chosen:
            if view.paused_at is not None:
                if view.cause in {None, BY_MEMBER}:
                    if stream is not None:
                        why = "is paused; resume it first" if view.cause else "is read by no recipe"
                        raise ConflictError(f"This stream {why}.")
                    continue
                await self.resume_stream(session, tenant_id, connection_id, view.stream)
            place = Place(tenant_id, connection_id, view.stream)
            if mode == "full" and (await session.execute(_FULL_BESIDE, place.params())).scalar():
                run_id = await passes.ask(session, self._work, place, passes.BACKFILL, "manual")
            else:
                run_id = await asking.ask(
                    session, self._work, tenant_id, connection_id, view.stream, "manual", mode
                )
            run = await repository.run(session, tenant_id, run_id) if run_id else None
            if run is not None:
                found.append(run)
        return found

    async def pause_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None:
        """Raises NotFoundError, and ConflictError for what is not read but sent to us."""
        held = await asking.held_run(session, tenant_id, connection_id, stream)
        if held and held[1] == asking.PUSHED:
            raise ConflictError("This stream is sent to us, not read. Pause the connection instead.")
        await asking.stop(session, self._work, tenant_id, connection_id, stream, BY_MEMBER)

    async def resume_stream(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> None:
        """Goes on from the checkpoint, at once if the connection is active. Raises NotFoundError."""
        done = await asking.change(
            session,
            tenant_id,
            connection_id,
            stream,
            paused_at=None,
            cause=None,
            cause_since=None,
            cause_detail=None,
            failures=0,
            next_due_at=now(),
        )
        if not done:
            raise NotFoundError
        if await asking.state_of(session, tenant_id, connection_id) == "active":
            await asking.ask(session, self._work, tenant_id, connection_id, stream, "manual")
            await passes.go_on(session, self._work, Place(tenant_id, connection_id, stream))

    async def retry_set_aside(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        *,
        stream: str | None = None,
        recipe_id: UUID | None = None,
        external_id: str | None = None,
        message: str | None = None,
    ) -> list[RunView]:
        """Tries again what was set aside: one record's, a recipe's, those of one cause, or all. The provider
        is not asked. The runs, of which there is none where nothing fits. Raises NotFoundError.
        """
        await self.must_exist(session, tenant_id, connection_id)
        found: list[RunView] = []
        for view in await repository.streams(session, tenant_id, connection_id):
            place = Place(tenant_id, connection_id, view.stream)
            if stream not in (None, view.stream) or await passes.lock_stream(session, place) is None:
                continue
            if not await setaside.ask(
                session, place, recipe_id=recipe_id, external_id=external_id, message=message
            ):
                continue
            number = await setaside.count_asked(session, place)
            run_id = await passes.ask(session, self._work, place, passes.RETRY, "manual", expected=number)
            run = await repository.run(session, tenant_id, run_id) if run_id else None
            if run is not None:
                found.append(run)
        return found

    async def accept_drift(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str
    ) -> list[Drift]:
        """The recipes are built on the fields as they are now; a stream that this stopped goes on. What was
        accepted. Raises NotFoundError, and ConflictError while a filter reads a field that is gone.
        """
        if not await asking.held_run(session, tenant_id, connection_id, stream):
            raise NotFoundError
        view = next(
            one for one in await self.streams(session, tenant_id, connection_id) if one.stream == stream
        )
        held, found = await repository.fields(session, tenant_id, connection_id, stream)
        gone = {one.field for one in found if one.change == "gone"}
        filtering = filters_on(await recipes.in_force(session, tenant_id, connection_id, stream), gone)
        if filtering:
            raise ConflictError(
                f'The filter of the recipe "{filtering[0]}" reads a field that is gone. Change the recipe '
                "first: without the field its filter would let the wrong records through."
            )
        await asking.change(
            session,
            tenant_id,
            connection_id,
            stream,
            known_fields=msgspec.to_builtins(accepted(held, found)),
            drift=None,
            fields_checked_at=None,
        )
        if view.paused_at is not None and view.cause == "schema_drift":
            await self.resume_stream(session, tenant_id, connection_id, stream)
        return found

    async def set_freshness(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        connection_id: UUID,
        stream: str,
        seconds: int,
        *,
        chosen: bool,
    ) -> None:
        """How far behind it may be. `chosen`: by a member; else it is the connector's own and follows that.

        Raises NotFoundError, and BadInputError beyond a minute and 30 days.
        """
        if not FRESHEST <= seconds <= STALEST:
            raise BadInputError("A stream's target is between a minute and 30 days.", field="seconds")
        if not await asking.change(
            session, tenant_id, connection_id, stream, freshness_seconds=seconds, freshness_chosen=chosen
        ):
            raise NotFoundError

    # -- runs -------------------------------------------------------------------------------

    async def cancel_run(
        self, session: AsyncSession, tenant_id: UUID, run_id: UUID, principal: Principal
    ) -> RunView:
        """Its next page is not committed; the stream goes on by schedule from where this run stood.

        Raises NotFoundError, and ConflictError for a run that has ended.
        """
        run = await repository.run(session, tenant_id, run_id)
        if run is None:
            raise NotFoundError
        if not run.active:
            raise ConflictError("This run has already ended.")
        place = Place(tenant_id, run.connection_id, run.stream)
        await passes.lock_stream(session, place)
        kind = await passes.end(session, place, run_id)
        if kind is None:
            await asking.cancel_active(session, tenant_id, run.connection_id, run.stream)
        else:
            await end_run(session, tenant_id, run_id, "cancelled", None)
            await self._work.cancel(session, tenant_id, kind, passes.work_key(place))
        return await self._noted(session, place, run_id, principal, "run.cancelled")

    async def pause_run(
        self, session: AsyncSession, tenant_id: UUID, run_id: UUID, principal: Principal
    ) -> RunView:
        """Its next page is not committed; it goes on from where it stood when it is resumed.

        Only of a pass beside the stream's own, which is paused with its stream. Raises NotFoundError and
        ConflictError.
        """
        place = await self._aside(session, tenant_id, run_id)
        kind = await passes.pause(session, place, run_id, now())
        if kind is None:
            raise ConflictError(_NOT_ASIDE)
        await passes.rest(session, place, run_id, BY_MEMBER)
        await self._work.cancel(session, tenant_id, kind, passes.work_key(place))
        return await self._noted(session, place, run_id, principal, "run.paused")

    async def resume_run(
        self, session: AsyncSession, tenant_id: UUID, run_id: UUID, principal: Principal
    ) -> RunView:
        """Raises NotFoundError and ConflictError."""
        place = await self._aside(session, tenant_id, run_id)
        kind = await passes.pause(session, place, run_id, None)
        if kind is None:
            raise ConflictError(_NOT_ASIDE)
        await passes.queue(session, self._work, place, kind)
        return await self._noted(session, place, run_id, principal, "run.resumed")

    async def _aside(self, session: AsyncSession, tenant_id: UUID, run_id: UUID) -> Place:
        """Where the run is, with the stream's row locked."""
        run = await repository.run(session, tenant_id, run_id)
        if run is None:
            raise NotFoundError
        if not run.active:
            raise ConflictError("This run has already ended.")
        place = Place(tenant_id, run.connection_id, run.stream)
        await passes.lock_stream(session, place)
        return place

    async def _noted(
        self, session: AsyncSession, place: Place, run_id: UUID, principal: Principal, action: str
    ) -> RunView:
        """The run as it is now, its change written to the audit log."""
        detail = {"run_id": str(run_id), "stream": place.stream}
        await append(
            session,
            principal,
            action,
            "connection",
            place.connection_id,
            detail,
            tenant_id=place.tenant_id,
        )
        return await self.run(session, place.tenant_id, run_id)

    # -- views ------------------------------------------------------------------------------

    async def must_exist(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
        """Raises NotFoundError."""
        if await asking.state_of(session, tenant_id, connection_id) is None:
            raise NotFoundError

    async def run(self, session: AsyncSession, tenant_id: UUID, run_id: UUID) -> RunView:
        found = await repository.run(session, tenant_id, run_id)
        if found is None:
            raise NotFoundError
        return found

    async def streams(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> list[StreamView]:
        return await repository.streams(session, tenant_id, connection_id)

    async def counts(self, session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Counts:
        return await repository.counts(session, tenant_id, connection_id)

    async def documents(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, ids: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Source documents, opened, by external id; those that are held."""
        rows = await writes.sealed_records(session, Place(tenant_id, connection_id, stream), ids)
        if not rows:
            return {}
        box = await self._vault.box(session, tenant_id)
        return {
            row.external_id: strictjson.decode(
                box.open(
                    row.document, row.key_version, document_context(connection_id, stream, row.external_id)
                )
            )
            for row in rows
        }

    async def record(
        self, session: AsyncSession, tenant_id: UUID, connection_id: UUID, stream: str, external_id: str
    ) -> RecordDetail:
        """With the source document opened. Raises NotFoundError."""
        found = await repository.sealed_record(session, tenant_id, connection_id, stream, external_id)
        if found is None:
            raise NotFoundError
        row, sealed, version = found
        box = await self._vault.box(session, tenant_id)
        key = (session, tenant_id, connection_id, stream, external_id)
        return RecordDetail(
            record=row,
            document=strictjson.decode(box.open(sealed, version, document_context(*key[2:]))),
            entities=await repository.entities_of_record(*key),
            quarantine=await repository.quarantine_of_record(*key),
        )


def document_context(connection_id: UUID, stream: str, external_id: str) -> str:
    """What a sealed document is bound to."""
    return sealed_place("records", connection_id, stream, external_id, field="document")
