"""A connector's folder: manifest, fixtures, simulator, tests, page."""

import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import msgspec

from trunkline.kit.harness import MakesSimulator
from trunkline.sdk.fixture_files import FixtureError
from trunkline.sdk.manifest import Manifest, load_manifest
from trunkline.sdk.simulator import Simulator
from trunkline.sdk.simulator_clock import Now
from trunkline.sdk.simulator_fixtures import FixtureSimulator
from trunkline.sdk.simulator_oauth import OAuthClient


class NoSimulatorError(Exception):
    """The folder has neither a simulator nor fixtures to make one of."""


class Package(msgspec.Struct, frozen=True):
    folder: Path
    manifest: Manifest
    module: str | None = None
    """Of the simulator, where it can be imported by name."""
    hooks: frozenset[str] = frozenset()
    """Names; of connectors that come with the product."""

    @property
    def manifest_path(self) -> Path:
        return self.folder / "manifest.toml"

    @property
    def fixtures(self) -> Path:
        return self.folder / "fixtures"

    def simulator(self) -> MakesSimulator:
        """Raises NoSimulatorError."""
        written = self.folder / "simulator.py"
        if written.exists():
            kind = _simulator_in(self._loaded(written))
            if kind is None:
                raise NoSimulatorError(f"{written}: there is no class in it that is a whole Simulator.")
            return kind
        try:
            return _from_fixtures(self.manifest, self.fixtures)
        except FixtureError as error:
            raise NoSimulatorError(str(error)) from error

    def _loaded(self, path: Path) -> ModuleType:
        if self.module is not None:
            return importlib.import_module(self.module)
        spec = importlib.util.spec_from_file_location(f"trunkline_kit_{self.folder.name}_simulator", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[spec.name]
            raise NoSimulatorError(f"{path}:{_line(path, error)}: {type(error).__name__}: {error}") from error
        return module


def _line(path: Path, error: Exception) -> int:
    """Where in that file it went wrong."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 1
    frames = traceback.extract_tb(error.__traceback__)
    return next((frame.lineno or 1 for frame in reversed(frames) if frame.filename == str(path)), 1)


def open_package(folder: Path) -> Package:
    """Raises ManifestError."""
    folder = folder.resolve()
    return Package(folder, load_manifest(folder / "manifest.toml"))


def built_in(root: Path, package: str, hooks: Mapping[str, Collection[str]]) -> list[Package]:
    """Those below a folder that is the Python package of that name. Raises ManifestError.

    `hooks`: by connector.
    """
    return [
        Package(
            path.parent,
            load_manifest(path),
            f"{package}.{path.parent.name}.simulator",
            frozenset(hooks.get(path.parent.name, ())),
        )
        for path in sorted(root.glob("*/manifest.toml"))
    ]


def _simulator_in(module: ModuleType) -> type[Simulator] | None:
    return next(
        (
            kind
            for kind in vars(module).values()
            if isinstance(kind, type)
            and issubclass(kind, Simulator)
            and not inspect.isabstract(kind)
            and kind.__module__ == module.__name__
        ),
        None,
    )


def _from_fixtures(manifest: Manifest, folder: Path) -> Callable[..., Simulator]:
    FixtureSimulator.check(manifest, folder)

    def make(*, clients: Sequence[OAuthClient], now: Now) -> Simulator:
        return FixtureSimulator(manifest, folder, clients=clients, now=now)

    return make
