"""What a handler asks of a request's query and form beyond its own parameters, read from the source."""

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any

READERS = {"asked", "asked_id"}
"""Functions (request, name) that read a query."""
HOLDERS = ("query_params", "form()", "given", "query", "form")
"""How what holds a query or a form is written."""
PAGES = "trunkline_ui."


@cache
def names(module: str) -> frozenset[str]:
    """Names that the module and the pages' modules that it imports ask for."""
    tree = _tree(module)
    near = {
        f"{node.module}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PAGES)
    }
    return frozenset(
        name for one in (module, *sorted(near & set(sys.modules))) for name in _asked(_tree(one))
    )


@cache
def reads_a_form(module: str) -> bool:
    return ".form()" in _source(module)


def _asked(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.DictComp | ast.SetComp):
            # (asked(request, name) for name in ("after", "before"))
            if any(_reads(one) for one in ast.walk(node)):
                for clause in node.generators:
                    yield from _texts(clause.iter)
        elif isinstance(node, ast.Call) and _reads(node):
            yield from _texts(*node.args[1:])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in {"get", "getall", "get_all"} and _holds(node.func.value):
                yield from _texts(*node.args[:1])
        elif isinstance(node, ast.Subscript) and _holds(node.value):
            yield from _texts(node.slice)
        elif isinstance(node, ast.Compare) and any(_holds(one) for one in node.comparators):
            yield from _texts(node.left)


def _reads(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in READERS


def _holds(node: ast.AST) -> bool:
    return ast.unparse(node).rstrip(")").endswith(tuple(holder.rstrip(")") for holder in HOLDERS))


def _texts(*nodes: ast.AST) -> Iterator[str]:
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value


def of_parameters(handler: Any) -> set[str]:
    """The handler's own query parameters."""
    return {
        name
        for name, found in handler.parsed_fn_signature.parameters.items()
        if "QueryParameter" in f"{found.raw}{found.metadata}"
    }


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_source(module))


@cache
def _source(module: str) -> str:
    return inspect.getsource(sys.modules[module])
