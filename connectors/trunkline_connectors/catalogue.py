"""Every connector that comes with the product, and every simulator of one."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from inspect import isabstract
from pathlib import Path

from trunkline.sdk.contracts import Contract, load_contract
from trunkline.sdk.hooks import LargeList
from trunkline.sdk.manifest import Manifest, load_manifest
from trunkline.sdk.quality import Graded, kept_grades
from trunkline.sdk.simulator import Simulator
from trunkline.sdk.simulator_oauth import OAuthClient

_HERE = Path(__file__).parent


@cache
def manifests() -> tuple[Manifest, ...]:
    """Read once; raises ManifestError."""
    return tuple(load_manifest(path) for path in sorted(_HERE.glob("*/manifest.toml")))


@cache
def contracts() -> Mapping[str, Contract]:
    """Of their events, by connector. Read once; raises ContractError."""
    found = {path.parent.name: load_contract(path.parent) for path in sorted(_HERE.glob("*/manifest.toml"))}
    return {name: one for name, one in found.items() if one is not None}


@cache
def hooks() -> Mapping[str, Mapping[str, LargeList]]:
    """What manifests leave to code: by connector and by the name that its manifest gives it."""
    return {
        path.parent.name: import_module(f"trunkline_connectors.{path.parent.name}.hooks").HOOKS
        for path in sorted(_HERE.glob("*/hooks.py"))
    }


@cache
def grades() -> tuple[Graded, ...]:
    """As `trunkline connector grade --all --json` found them for this version."""
    return kept_grades(_HERE / "grades.json")


def simulators(clients: Callable[[str], Sequence[OAuthClient]]) -> list[Simulator]:
    """A new simulator of each provider that has one, with the apps that `clients` says are known there."""
    made: list[Simulator] = []
    for path in sorted(_HERE.glob("*/simulator.py")):
        module = import_module(f"trunkline_connectors.{path.parent.name}.simulator")
        made += [
            kind(clients=clients(kind.name))
            for kind in vars(module).values()
            if isinstance(kind, type)
            and issubclass(kind, Simulator)
            and not isabstract(kind)
            and kind.__module__ == module.__name__
        ]
    return made
