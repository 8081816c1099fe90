"""Rules of writing: each action is carried out once, whatever becomes of its answer."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from trunkline.actions.sending import Sending, perhaps_written, send, written_before
from trunkline.kit.harness import Connected, Harness
from trunkline.kit.suite import Bench, ExemptError, must, rule
from trunkline.runs.errors import ProviderError
from trunkline.sdk.action_inputs import check_input
from trunkline.sdk.actions import Action, ActionInput
from trunkline.sdk.simulator import Account

_TRIES = 4


@rule("actions", "What is written is written once, also where the answer to it is lost")
async def actions(bench: Bench) -> str:
    if not bench.manifest.actions:
        raise ExemptError("the manifest declares no action")
    said: list[str] = []
    with_own: set[str] = set()
    for action in bench.manifest.actions:
        harness, account, connected = await bench.connected(acting=True)
        given = example_of(harness, account, action)
        wrong = check_input(action, given)
        must(
            not wrong,
            f"{action.name}: its examples do not fit: {[(one.field, one.message) for one in wrong]}.",
        )
        clean = await _written(harness, connected, action, given)
        must(clean, f"{action.name}: nothing was written.")

        harness, account, connected = await bench.connected(acting=True)
        given = example_of(harness, account, action)
        harness.simulator.faults.add("lost", requests=1)
        again = await _written(harness, connected, action, given)
        must(
            not harness.simulator.faults.active(),
            f"{action.name}: nothing was changed, so no answer was lost.",
        )
        must(
            again == clean,
            f"{action.name}: {clean} changes are made of one call, and {again} where its answer was lost.",
        )
        said.append(action.name)
        if any(given.get(part.name) for part in action.input if part.type == "map"):
            with_own.add(action.name)
    takes = [one.name for one in bench.manifest.actions if any(part.type == "map" for part in one.input)]
    own = f"; own fields in {len(with_own)} of {len(takes)} that take them" if takes else ""
    return f"each with a lost answer: {', '.join(said)}{own}"


def example_of(harness: Harness, account: Account, action: Action) -> dict[str, Any]:
    """What is given to an action to try it."""
    return {
        one.name: _example(harness, account, one)
        for one in action.input
        if one.required or one.example is not None
    }


def _example(harness: Harness, account: Account, one: ActionInput) -> Any:
    if isinstance(one.example, str) and one.example.startswith("@"):
        simulator, kind = harness.simulator, one.example[1:]
        live = next(simulator.store.walk(account.id, kind), None)
        must(live is not None, f"the simulator has no {kind} to write to.")
        assert live is not None
        public = simulator.public_id(kind, live.id)
        return int(public) if one.type == "integer" else public
    if one.example is not None:
        return one.example
    plain: Mapping[str, Any] = {
        "string": "nora@kit.example" if "email" in one.name else f"Kit {one.label}"[: one.max_length],
        "enum": one.options[0] if one.options else "",
        "list": ["kit"],
        "boolean": False,
        "number": 1,
        "integer": 1,
        "datetime": "2026-05-01T12:00:00Z",
        "date": "2026-05-01",
        "map": {},
    }
    return plain[one.type]


async def _written(harness: Harness, connected: Connected, action: Action, given: dict[str, Any]) -> int:
    """Changes that the call made, by the simulator's own ledger; carried out as the product does."""
    before = len(harness.simulator.store.ledger)
    calls = connected.provider.calls
    one = Sending(
        target=connected.target,
        action=action,
        items=[given],
        key=uuid4().hex,
        asked_at=harness.clock.now(),
    )
    for _ in range(_TRIES):
        try:
            (result,) = await send(calls, one)
        except ProviderError as error:
            if not perhaps_written(error):
                raise
            if action.repeat == "never":
                break
            harness.clock.pass_(action.find.settle_seconds if action.find else 1)
            looks = action.repeat == "find" and action.change is None
            if looks and await written_before(calls, one) is not None:
                break
        else:
            must(not result.error, f"{action.name}: its example was refused: {result}.")
            break
    return len(harness.simulator.store.ledger) - before
