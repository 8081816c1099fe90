"""The conformance suite: what a connector must get right, tried on its simulator, rule by rule."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec

from trunkline.kernel.errors import TrunklineError
from trunkline.kit.copying import Copy, EndlessError, short
from trunkline.kit.harness import Connected, Harness, MakesSimulator, NotGrantedError
from trunkline.runs.errors import ProviderError
from trunkline.sdk.contracts import ContractError
from trunkline.sdk.fixture_files import FixtureError
from trunkline.sdk.manifest import Manifest, StreamSpec
from trunkline.sdk.simulator import Account

ONE_PAGE: Final = "no stream had more than one page: give the simulator more records."
State = Literal["passed", "failed", "exempt"]
PAGE: Final = 10
"""Records of a page while tried, where the manifest asks for more."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`detail`: the evidence, what is wrong, or why the rule does not apply."""

    rule: str
    title: str
    state: State
    detail: str
    seconds: float = 0.0


class FailedError(Exception):
    """The rule does not hold; says what was expected and what came."""


class ExemptError(Exception):
    """The rule says nothing about this connector; says why."""


class Bench:
    """What a rule is tried with; every rule gets a simulator of its own."""

    def __init__(self, manifest: Manifest, make: MakesSimulator, folder: Path | None = None) -> None:
        """`folder`: of the connector, for its contract and what was captured."""
        self.folder = folder
        self.manifest = short(manifest, PAGE)
        self._make = make
        self._open: list[Harness] = []

    def harness(self) -> Harness:
        made = Harness(self.manifest, self._make)
        self._open.append(made)
        return made

    async def connected(self, *, acting: bool = False) -> tuple[Harness, Account, Connected]:
        """To the smallest account that has something of every stream that any account has something of."""
        harness = self.harness()
        account = min(harness.simulator.accounts, key=lambda one: self._weight(harness, one))
        return harness, account, await harness.connect(account, acting=acting)

    async def accounts(self) -> AsyncIterator[tuple[Harness, Account, Connected]]:
        """Each account with a simulator of its own, the smallest that has something first."""
        listed = self.harness().simulator.accounts
        for place in range(len(listed)):
            harness = self.harness()
            ordered = sorted(harness.simulator.accounts, key=lambda one: self._weight(harness, one))
            yield harness, ordered[place], await harness.connect(ordered[place])

    def _weight(self, harness: Harness, account: Account) -> tuple[int, int]:
        truths = [harness.simulator.truth(account.id, one.name) for one in self.manifest.streams]
        sizes = [len(truth) for truth in truths if truth is not None]
        return sum(1 for size in sizes if size == 0), sum(sizes)

    async def close(self) -> None:
        for harness in self._open:
            await harness.close()
        self._open.clear()


Try = Callable[[Bench], Awaitable[str]]


class Rule(msgspec.Struct, frozen=True):
    name: str
    title: str
    proof: Try


RULES: list[Rule] = []


def rule(name: str, title: str) -> Callable[[Try], Try]:
    def add(proof: Try) -> Try:
        RULES.append(Rule(name, title, proof))
        return proof

    return add


def names_of_rules() -> list[str]:
    """In the order in which they are tried."""
    from trunkline.kit import (  # noqa: F401 - they add themselves
        rules_events,
        rules_reading,
        rules_recipes,
        rules_trouble,
        rules_writing,
    )

    return [one.name for one in RULES]


async def run(
    manifest: Manifest, make: MakesSimulator, only: Sequence[str] = (), folder: Path | None = None
) -> list[Result]:
    """Every rule, or those named, in order. `folder`: of the connector; without, its contract is not held."""
    names_of_rules()
    results = []
    for one in RULES:
        if only and one.name not in only:
            continue
        bench = Bench(manifest, make, folder)
        began = time.monotonic()
        state, detail = await tried(functools.partial(one.proof, bench))
        await bench.close()
        spent = round(time.monotonic() - began, 2)
        results.append(Result(rule=one.name, title=one.title, state=state, detail=detail, seconds=spent))
    return results


async def tried(proof: Callable[[], Awaitable[str]], seconds: float = 120) -> tuple[State, str]:
    """What became of it, in words."""
    try:
        async with asyncio.timeout(seconds):
            return "passed", await proof()
    except ExemptError as error:
        return "exempt", str(error)
    except FailedError as error:
        return "failed", str(error)
    except (ContractError, FixtureError) as error:
        return "failed", f"{error} `trunkline connector check` tells the line."
    except EndlessError as error:
        return "failed", f"{error}."
    except ProviderError as error:
        return "failed", f"a call failed as {error.failure.code} {error.detail or ''}".strip()
    except NotGrantedError as error:
        return "failed", f"no access: {error}"
    except TrunklineError as error:
        code = getattr(error, "failure_code", error.code)
        return "failed", f"{type(error).__name__}: {error.message} ({code})"
    except TimeoutError:
        return "failed", f"it took longer than {seconds / 60:g} minutes."
    except Exception as error:  # noqa: BLE001 - whatever a connector does is a finding
        return "failed", f"{type(error).__name__}: {error}"


def many(count: int, noun: str) -> str:
    """1 stream, 2 streams."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def must(holds: object, message: str) -> None:
    if not holds:
        raise FailedError(message)


def truth_of(harness: Harness, account: Account, spec: StreamSpec) -> frozenset[str] | None:
    return harness.simulator.truth(account.id, spec.name)


def compare(spec: StreamSpec, copy: Copy, truth: frozenset[str] | None, when: str) -> None:
    """The copy holds what is there: no more, no less."""
    if truth is None:
        return
    held = frozenset(copy.records)
    lost, extra = sorted(truth - held), sorted(held - truth)
    must(
        held == truth,
        f"{spec.name}: {when} {many(len(held), 'record')} held, {len(truth)} there; "
        f"missing {lost[:5]}, too many {extra[:5]}.",
    )
