"""What a human decides, and what follows from it."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.audit.service import append
from trunkline.health.issues import resolve_cause
from trunkline.kernel.errors import BadInputError, ConflictError, NotFoundError
from trunkline.kernel.principal import Principal
from trunkline.reviews import repository
from trunkline.reviews.schemas import REASON_LENGTH, ReviewView, Verdict
from trunkline.runs import passes
from trunkline.runs.service import RunService
from trunkline.runs.writes import Place

_DECIDED = {
    "approved": "This review was already approved.",
    "rejected": "This review was already rejected.",
    "superseded": "A later sync has found these records again, so there is nothing left to decide.",
}


class ReviewService:
    """Never commits."""

    def __init__(self, runs: RunService) -> None:
        self._runs = runs

    async def get(self, session: AsyncSession, tenant_id: UUID, review_id: UUID) -> ReviewView:
        """Raises NotFoundError."""
        found = await repository.review(session, tenant_id, review_id)
        if found is None:
            raise NotFoundError
        return found

    async def decide(
        self,
        session: AsyncSession,
        tenant_id: UUID,
        review_id: UUID,
        principal: Principal,
        verdict: Verdict,
        reason: str,
    ) -> ReviewView:
        """Approved: the stream's next run, due now, deletes what was planned, but for what has been seen
        again since. Rejected: it is kept, and not brought up again while it stays missing. Raises
        NotFoundError, BadInputError without a reason, and ConflictError where it is decided already.
        """
        reason = reason.replace("\0", "").strip()
        if not reason:
            raise BadInputError("Say why: the reason is kept in the activity log.", field="reason")
        if len(reason) > REASON_LENGTH:
            raise BadInputError(f"The reason may have {REASON_LENGTH} characters.", field="reason")
        before = await self.get(session, tenant_id, review_id)
        # the stream first, as whoever weighs does
        await passes.lock_stream(session, Place(tenant_id, before.connection_id, before.stream))
        done = await repository.decide(
            session, tenant_id, review_id, verdict=verdict, decided_by=principal.label, reason=reason
        )
        after = await self.get(session, tenant_id, review_id)
        if not done:
            raise ConflictError(_DECIDED.get(after.state, "This review is not open."))
        await append(
            session,
            principal,
            f"review.{verdict}",
            "connection",
            before.connection_id,
            {"review_id": str(review_id), "stream": before.stream, "records": before.count},
            reason,
            tenant_id=tenant_id,
        )
        await resolve_cause(session, tenant_id, before.connection_id, before.kind, stream=before.stream)
        if verdict == "approved":
            await self._runs.go_on(session, tenant_id, before.connection_id, before.stream)
        return after
