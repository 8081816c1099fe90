"""Whether a stream's fields are still those that its recipes were built on: looked at now and then, and as
soon as a page gives reason to. What follows from it is in `drift`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from trunkline.kernel.db import Database
from trunkline.recipes.document import laid_out
from trunkline.resilience.failures import failure
from trunkline.runs import passes, standing
from trunkline.runs.attempt import Attempt
from trunkline.runs.documents import Item
from trunkline.runs.drift import Caution, caution, compare, evidence, known
from trunkline.runs.errors import ProviderError
from trunkline.runs.provider import ProviderClient

FIELDS_EVERY: Final = timedelta(hours=1)
"""Between two looks at the provider's list of fields without any reason; it costs one call."""

log = structlog.get_logger(__name__)


class FieldWatch:
    """Of one attempt. Every method may raise ProviderError `schema_drift`; then nothing may be written."""

    def __init__(
        self, db: Database, provider: ProviderClient, run: Attempt, now: Callable[[], datetime]
    ) -> None:
        self._db = db
        self._provider = provider
        self._run = run
        self._now = now
        self._recipes = [recipe for recipe, _ in run.recipes]
        self._vouched: set[str] = set()
        """Fields that are no reason to look again: the provider said that they are as they were."""
        self.caution = self._caution()

    async def begin(self) -> None:
        run = self._run
        due = run.fields_checked_at is None or run.fields_checked_at + FIELDS_EVERY <= self._now()
        if run.known_fields is not None and (due or run.drift):
            await self._look()

    async def differing(self, items: Sequence[Item]) -> None:
        """Of a page those that are not as they are held, before anything is made of them: what the others say
        they said when they came.
        """
        held, run = self._run.known_fields, self._run
        if held is None or run.spec.discovery is None:
            return
        documents = [laid_out(item.document, run.spec.values) for item in items]
        found = evidence(held, run.checkpoint.fields, run.used, documents) - self._vouched
        if found:
            await self._look()
            self._vouched |= found

    async def end(self) -> None:
        """After the first pass: what the recipes were built on."""
        if self._run.known_fields is None:
            await self._look()

    def _caution(self) -> Caution:
        run = self._run
        return caution(run.known_fields or {}, run.drift, self._recipes)

    async def _look(self) -> None:
        run, place = self._run, self._run.place
        if run.spec.discovery is None:
            return
        try:
            listed = await self._provider.discover(place.tenant_id, place.connection_id, place.stream)
        except ProviderError as error:
            # the pass meets the trouble itself, if it concerns it: some accounts may not list their fields
            log.info("fields not looked at", cause=error.failure_code, stream=place.stream)
            listed = []
        seen = known(listed)
        if not seen:  # an outage behind a success says nothing about fields
            return
        async with self._db.tenant(place.tenant_id) as session:
            await passes.lock_stream(session, place)
            held = run.known_fields or seen
            run.drift = compare(held, seen, self._recipes, self._now(), run.drift)
            run.known_fields = {**seen, **held}
            back = {name for name, field in held.items() if field.gone and name in seen}
            run.known_fields |= {name: seen[name] for name in back}
            run.fields_checked_at = self._now()
            await standing.change_stream(
                session,
                place,
                known_fields=msgspec.to_builtins(run.known_fields),
                fields_checked_at=run.fields_checked_at,
                drift=msgspec.to_builtins(run.drift) or None,
            )
        self.caution = self._caution()
        if any(one.verdict == "pause" for one in run.drift):
            raise ProviderError(failure("schema_drift"))
