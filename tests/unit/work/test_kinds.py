"""Whatever work is put down, a worker can do: also what ends a connection that nobody confirmed."""

import ast
import importlib
from pathlib import Path
from typing import Any

import trunkline
from trunkline.connections.keeping import EXPIRE_PENDING
from trunkline.kernel.settings import Settings
from trunkline.main import connectors
from trunkline.services import build_services

SOURCE = Path(trunkline.__path__[0])


def put_down() -> set[str]:
    """The kinds in calls of `enqueue`, by the names of constants or as they stand."""
    found: set[Any] = set()
    for path in SOURCE.rglob("*.py"):
        module = ".".join(("trunkline", *path.relative_to(SOURCE).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                kind = next((word.value for word in node.keywords if word.arg == "kind"), None)
                if "enqueue" in node.func.attr and isinstance(kind, ast.Name):
                    found.add(getattr(importlib.import_module(module), kind.id, None))
                elif "enqueue" in node.func.attr and isinstance(kind, ast.Constant):
                    found.add(kind.value)
    return found - {None}


def test_a_worker_can_do_whatever_is_put_down(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path, database_url="postgresql://nobody/nothing", valkey_url="unix:///nothing"
    )
    can = build_services(settings, connectors(), application="test").handlers()
    kinds = put_down()
    assert len(kinds) >= 3
    assert EXPIRE_PENDING in kinds
    assert kinds - set(can) == set()
