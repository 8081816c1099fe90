"""The API keeps what its description says, whatever is sent: schemathesis over every operation.

Beyond the tool's own checks, a request that is refused changes no row of any table.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
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


def run(schema: Any, rows: Rows) -> tuple[set[str], Answers]:
    """What failed, and how often each operation answered what."""
    state = {"before": rows.digest()}

    def nothing_half_written(_ctx: Any, response: Any, case: Any) -> None:
        before, state["before"] = state["before"], rows.digest()
        if response.status_code >= 400 and state["before"] != before:
            changed = [old[0] for old, new in zip(before, state["before"], strict=True) if old != new]
            raise AssertionError(f"{response.status_code} {case.operation.label} wrote to {changed}")

    schemathesis.check(nothing_half_written)
    failed: set[str] = set()
    answers = Answers()
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
                        answers[case.operation.label, interaction.response.status_code] += 1
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
    return failed, answers


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
    failed, answers = await asyncio.to_thread(run, schema, rows)
    assert not failed, "\n".join(sorted(failed))
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
    failed, answers = await asyncio.to_thread(run, schema, rows)
    assert not failed, "\n".join(sorted(failed))
    assert answers["POST /v1/models", 201] + answers["POST /v1/models", 422] > 10


MADE = {
    "/v1/feeds": {"name": "walked"},
    "/v1/webhook-endpoints": {"url": "http://127.0.0.1:9/x", "types": ["webhook.test"]},
    "/v1/connect-sessions": {
        "end_user": {"id": "u1", "name": "Ada"},
        "connectors": ["hubspot"],
        "origin": "https://app.example.com",
    },
}
NOTHING = {"/v1/reviews/{review_id}", "/v1/action-calls/{call_id}", "/v1/records/{model}/{record_id}"}
"""This tenant has none of them."""


def walked(
    schema: Any, addresses: dict[str, dict[str, str]], templates: Sequence[str], key: str, url: str
) -> dict[str, int]:
    """The status of every GET that the answers of others lead to, each held to its description.

    A list leads to what is in it by the first one's id, and whatever was reached to all that lies below.
    `addresses`: the parameters of those to begin with.
    """
    statuses: dict[str, int] = {}
    while new := addresses.keys() - statuses.keys():
        for path in sorted(new):
            case = schema[path]["get"].Case(path_parameters=addresses[path])
            answer = case.call_and_validate(base_url=url, headers={"Authorization": f"Bearer {key}"})
            statuses[path] = answer.status_code
            listed = next((one for one in answer.json().values() if isinstance(one, list) and one), None)
            for below in templates:
                parent, _, last = below.rpartition("/")
                if parent != path or below in addresses:
                    continue
                if not last.startswith("{"):
                    addresses[below] = addresses[path]
                elif listed is not None:
                    named = listed[0].get("id") or listed[0].get("name")
                    addresses[below] = {**addresses[path], last.strip("{}"): str(named)}
    return statuses


async def test_what_answers_name_can_be_asked_for(stand: Any) -> None:
    api, ids = stand.client(), {}
    for path, body in MADE.items():
        made = await api.post(path, json=body)
        assert made.status_code == 201, made.text
        ids[path] = made.json().get("id")
    tested = await api.post(f"/v1/webhook-endpoints/{ids['/v1/webhook-endpoints']}/test", json={})
    assert tested.status_code == 202, tested.text
    described = await document(stand)
    templates = [path for path, item in described["paths"].items() if "get" in item]
    addresses: dict[str, dict[str, str]] = {path: {} for path in templates if "{" not in path}
    addresses["/v1/connect-sessions/{session_id}"] = {"session_id": ids["/v1/connect-sessions"]}
    addresses["/v1/records/{model}"] = {"model": "contact"}
    addresses["/v1/connectors/{connector}/events"] = {"connector": "stripe"}
    schema = schemathesis.openapi.from_dict(described)
    statuses = await asyncio.to_thread(walked, schema, addresses, templates, stand.key, stand.url)
    assert set(templates) - set(statuses) == NOTHING
    assert set(statuses.values()) == {200}
