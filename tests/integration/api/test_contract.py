"""The API keeps what its description says, whatever is sent: schemathesis over every operation.

Beyond the tool's own checks, a request that is refused changes no row of any table.
"""

import asyncio
from collections import Counter
from typing import Any

import asyncpg
import pytest
import schemathesis
from schemathesis.checks import CHECKS
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

SEED = 20261124
NAMED_ELSEWHERE = {"tenant", "Trunkline-Tenant"}
"""A random tenant is a 404, and would be all that is tested."""


def configuration(stand: Any, key: str, examples: int) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "base-url": stand.url,
            "headers": {"Authorization": f"Bearer {key}"},
            "workers": 1,
            "request-timeout": 20,
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "database": "none", "no-shrink": True},
            # more of them: most sequences end at their first refusal
            "phases": {"stateful": {"max-steps": 4, "generation": {"max-examples": 5 * examples}}},
            "checks": {
                # a disconnected connection stays, with its history
                "use_after_free": {"enabled": False},
                # Litestar answers OPTIONS for a path's first handler only; no browser calls this API
                "allow_header_conformance": {"enabled": False},
                # "no such connector" and the like are beyond what a schema can say
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", "400", "401", "403", "404", "409", "422"]
                },
            },
        }
    )


class Rows:
    """A digest of every table but `api_keys`, whose "last used" moves."""

    def __init__(self, connection: asyncpg.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._query = ""

    async def _digest(self) -> Any:
        if not self._query:
            tables = await self._connection.fetch(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
                " AND relname <> 'api_keys' ORDER BY 1"
            )
            self._query = " UNION ALL ".join(
                f"SELECT '{name}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) FROM {name} t"
                for (name,) in tables
            )
        return await self._connection.fetch(self._query)

    def digest(self) -> Any:
        """From the engine's thread."""
        return asyncio.run_coroutine_threadsafe(self._digest(), self._loop).result(20)


@pytest.fixture
async def rows(stand: Any) -> Any:
    connection = await asyncpg.connect(stand.services.settings.database_url)
    yield Rows(connection, asyncio.get_running_loop())
    await connection.close()


Answers = Counter[tuple[str, int]]


def run(schema: Any, rows: Rows) -> tuple[set[str], Answers, Answers]:
    """What failed; how often each operation answered what, and what of that with an answer's values."""
    state = {"before": rows.digest()}

    def nothing_half_written(_ctx: Any, response: Any, case: Any) -> None:
        before, state["before"] = state["before"], rows.digest()
        if response.status_code >= 400 and state["before"] != before:
            changed = [old[0] for old, new in zip(before, state["before"], strict=True) if old != new]
            raise AssertionError(f"{response.status_code} {case.operation.label} wrote to {changed}")

    schemathesis.check(nothing_half_written)
    failed: set[str] = set()
    answers, followed = Answers(), Answers()
    try:
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError):
                failed.add(f"{event.label}: {event.value!r}")
            elif isinstance(event, events.FatalError):
                raise event.exception
            elif isinstance(event, events.ScenarioFinished):
                for identity, interaction in event.recorder.interactions.items():
                    if interaction.response is not None:
                        case = event.recorder.cases[identity].value
                        answer = case.operation.label, interaction.response.status_code
                        answers[answer] += 1
                        if event.phase.value == "stateful" and event.recorder.cases[identity].parent_id:
                            followed[answer] += 1
                for identity, found in event.recorder.checks.items():
                    for one in found:
                        if one.failure_info is not None:
                            case = event.recorder.cases[identity].value
                            failed.add(
                                f"{case.operation.label}: {one.name}: {one.failure_info.failure!r}"
                                f" {one.failure_info.failure} | {case.as_curl_command()}"
                            )
    finally:
        CHECKS.unregister("nothing_half_written")
    return failed, answers, followed


async def document(stand: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await stand.client().get("/schema/openapi.json")).json()
    for item in found["paths"].values():
        for operation in item.values():
            operation["parameters"] = [
                one for one in operation.get("parameters", []) if one["name"] not in NAMED_ELSEWHERE
            ]
    return found


async def test_every_operation_keeps_its_word(stand: Any, rows: Rows) -> None:
    described = await document(stand)
    schema = schemathesis.openapi.from_dict(described, config=configuration(stand, stand.key, 8))
    failed, answers, followed = await asyncio.to_thread(run, schema, rows)
    assert not failed, "\n".join(sorted(failed))
    reached = {label for label, status in followed if status < 300}
    assert reached, "some sequence went on with what an answer held"
    operations = {f"{m.upper()} {p}" for p, item in described["paths"].items() for m in item}
    assert {label for label, _ in answers} == operations
    assert sum(answers.values()) > 300


async def test_declaring_models_keeps_its_word(stand: Any, rows: Rows) -> None:
    """By a key of the whole installation: the other one may not."""
    key, _ = await stand.directory.create_api_key("installation")
    await stand.directory.authenticate_key(key)
    schema = schemathesis.openapi.from_dict(
        await document(stand), config=configuration(stand, key, 25)
    ).include(path="/v1/models")
    failed, answers, _ = await asyncio.to_thread(run, schema, rows)
    assert not failed, "\n".join(sorted(failed))
    assert answers["POST /v1/models", 201] + answers["POST /v1/models", 422] > 10
