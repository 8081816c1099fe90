"""No query is built outside of a tenant's scope: read from the source, so that a new module cannot escape."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCES = (
    "platform/trunkline",
    "tenants/trunkline_tenants",
    "ui/trunkline_ui",
    "connectors/trunkline_connectors",
)
BUILDERS = {"select", "insert", "update", "delete", "text", "exists", "union", "union_all", "values", "table"}
EXECUTORS = {"execute", "scalar", "scalars", "stream", "stream_scalars", "exec_driver_sql", "run_sync"}
SESSIONS = {"session", "system", "console", "connection", "conn", "db"}

QUERIES = {
    "platform/trunkline/deliveries/across.py": "what the console sees of webhooks: its role is the limit",
    "platform/trunkline/health/across.py": "what the console reads of every tenant: its role is the limit",
    "platform/trunkline/health/arrival.py": "which way each stream's changes arrive, by tenant",
    "platform/trunkline/health/trouble.py": "which connections of all tenants are in trouble, in the same role",
    "platform/trunkline/health/hook_drift.py": "the issues of one cause, by tenant",
    "platform/trunkline/health/issues.py": "two statements of issues, each by tenant",
    "platform/trunkline/kernel/db.py": "sets the scope itself",
    "platform/trunkline/kernel/migrate.py": "asks for the schema's revision",
    "platform/trunkline/runs/asking.py": "a stream's and a run's state, by tenant",
    "platform/trunkline/runs/attempt.py": "the columns of a stream that an attempt reads",
    "platform/trunkline/runs/check.py": "one connection's state, by tenant",
    "platform/trunkline/runs/parents.py": "whose records are read for whom, by tenant, connection and stream",
    "platform/trunkline/runs/passes.py": "passes beside a stream's own runs, by tenant",
    "platform/trunkline/runs/gone.py": "what a pass saw and found gone, by tenant, connection and stream",
    "platform/trunkline/runs/calls.py": "whose calls they are, and that they were accepted, by tenant",
    "platform/trunkline/runs/following.py": "a stream's pace and what it was read with, by tenant",
    "platform/trunkline/runs/service.py": "whether a stream was read whole, by tenant",
    "platform/trunkline/runs/standing.py": "a run's and its stream's rows, by tenant, connection and stream",
    "platform/trunkline/runs/starting.py": "a run's own statements, by tenant, connection and stream",
    "platform/trunkline/runs/starting_aside.py": "what a pass beside them begins with, in the same way",
    "platform/trunkline/runs/setaside.py": "which set-aside records are tried again, by tenant",
    "platform/trunkline/runs/untold.py": "changes without their webhook, by tenant, connection and stream",
    "platform/trunkline/runs/changelog.py": "a batch's entities and their entries in the log, by tenant",
    "platform/trunkline/runs/writes.py": "a page's bulk statements, by tenant",
    "platform/trunkline/vault/resealing.py": "the same statement for every sealed place of a list, by tenant",
    "platform/trunkline/vault/shredding.py": "removes a tenant from every table, in a role that reaches only it",
    "platform/trunkline/web.py": "SELECT 1, to see whether the database answers",
    "platform/trunkline/work/backlog.py": "the dispatcher's, across tenants: its role sees no content",
    "platform/trunkline/work/due.py": "what is due, for the dispatcher, in the same way",
    "tenants/trunkline_tenants/sessions.py": "login sessions, which belong to people and not to tenants",
}
"""Modules besides models.py and repositories that may build queries, each with its reason."""

ACROSS = {
    "platform/trunkline/audit/heads.py": "the head of every log, to be signed",
    "platform/trunkline/cli/audit.py": "which logs there are, and which tenant a command means",
    "platform/trunkline/cli/tenants.py": "which tenant a command means",
    "platform/trunkline/deliveries/housekeeping.py": "the tenants to recover an endpoint of the installation for",
    "platform/trunkline/packages/jobs.py": "partners' connectors, and which tenants speak one",
    "platform/trunkline/packages/service.py": "partners' connectors: the installation's own",
    "platform/trunkline/packages/shelf.py": "the same, and who may connect which",
    "platform/trunkline/vault/rotation.py": "the tenants whose keys are rotated",
    "platform/trunkline/vault/settling.py": "which transactions are still open",
    "platform/trunkline/access/service.py": "whose connect session it is",
    "platform/trunkline/connections/clients.py": "how many connections rest on the operator's registrations",
    "platform/trunkline/connections/unconfirmed.py": "whether a grant is shared before it is revoked",
    "platform/trunkline/connections/flow.py": "whose authorization a callback ends; whether a grant is shared",
    "platform/trunkline/connections/tokens.py": "whether a grant is shared before it is revoked",
    "platform/trunkline/web.py": "whether the database answers",
    "platform/trunkline/webhooks/repository.py": "one insert for the events of several tenants",
    "platform/trunkline/webhooks/jobs.py": "which connections have events that nobody was asked to process",
    "platform/trunkline/webhooks/sources.py": "whose an address is, and whose an account's events are",
    "platform/trunkline/work/dispatcher.py": "what is due, of any tenant",
    "platform/trunkline/work/executor.py": "heartbeats of whatever this worker holds",
    "platform/trunkline/work/together.py": "claims and completions of whatever this worker holds",
    "tenants/trunkline_tenants/account.py": "a person's own sessions and password",
    "tenants/trunkline_tenants/api_keys.py": "keys, which are found before the tenant is known",
    "tenants/trunkline_tenants/directory.py": "tenants, people and members: the installation's own",
    "tenants/trunkline_tenants/logins.py": "who signs in, before the tenant is known",
}
"""Modules that may open a system session, each with its reason."""

CONSOLE = ("ui/trunkline_ui/console/",)
"""Where console sessions may be opened."""

UNSCOPED = {
    "platform/trunkline/audit/repository.py:heads": "every tenant's head, to be signed; the system role's",
    "platform/trunkline/recipes/repository.py:_current": "its three callers name the tenant in its conditions",
    "platform/trunkline/vault/repository.py:shredded_slug": "a tenant that is gone has only its slug left",
    "tenants/trunkline_tenants/sessions.py:load": "a browser's session, whose tenant is read with it",
    "platform/trunkline/access/repository.py:tenant_of": "finds the tenant; the system role sees ids only",
    "platform/trunkline/connections/repository.py:tenant_of_state": "finds the tenant by the state's hash",
    "platform/trunkline/connections/repository.py:grant_is_shared": "a grant may serve several tenants",
    "platform/trunkline/health/across.py:causes": "problems of all tenants, in the console's role",
    "platform/trunkline/health/across.py:count_open": "the same, counted",
    "platform/trunkline/health/across.py:_FAILING_READERS": "the same, of readers that fail",
    "platform/trunkline/deliveries/across.py:_SENT_TO": "deliveries of every tenant to one endpoint, in that role",
    "platform/trunkline/deliveries/across.py:_FAILING_ENDPOINTS": "endpoints that take nothing, in that role",
    "platform/trunkline/deliveries/across.py:_ENDING_CERTIFICATES": "client certificates that end, in that role",
    "platform/trunkline/health/trouble.py:_TROUBLE": "the same, of connections in trouble",
    "platform/trunkline/packages/repository.py:_APPROVALS": "who may connect what, for every process's registry",
    "platform/trunkline/connections/repository.py:clients_in_use_by_all": "the operator's serve every tenant",
    "platform/trunkline/packages/repository.py:_ELSEWHERE": "connections on other versions, in the console's role",
    "platform/trunkline/packages/repository.py:_IN_USE": "how many connections speak a version, in the console's role",
    "platform/trunkline/packages/repository.py:_SPEAKING": "the tenants to settle; the system role sees ids only",
    "platform/trunkline/webhooks/repository.py:owner_of_key": "finds the tenant; the system role sees ids only",
    "platform/trunkline/webhooks/repository.py:_ROUTE": "an account's events may be for several tenants",
    "platform/trunkline/webhooks/repository.py:_VERSIONS": "which versions an app's connections speak; no more",
    "platform/trunkline/webhooks/repository.py:_WAITING": "the sweep's: ids of whoever has something waiting",
    "platform/trunkline/work/due.py:_IN_FLIGHT": "the dispatcher's",
    "platform/trunkline/work/backlog.py:_OVERDUE_UNKNOWN": "the dispatcher's",
    "tenants/trunkline_tenants/repository.py:memberships": "the tenants of one person, who signs in",
}
"""Statements on tenants' tables that name no tenant, each with its reason."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    for root in SOURCES:
        for path in sorted((ROOT / root).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if "/sandbox/" not in name:  # providers and a product of our own, with no access to the database
                yield name, ast.parse(path.read_text())


def may_query(name: str) -> bool:
    return name.endswith("repository.py") or name in QUERIES


def built(name: str, tree: ast.Module) -> list[str]:
    """Queries built or executed where they may not be."""
    if may_query(name):
        return []
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sqlalchemy")
        for alias in node.names
        if alias.name in BUILDERS
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        target = node.func
        if isinstance(target, ast.Name) and target.id in imported and not name.endswith("/models.py"):
            found.append(f"{name}:{node.lineno}: {target.id}(")
        owner = target.value if isinstance(target, ast.Attribute) else None
        if (
            isinstance(target, ast.Attribute)
            and target.attr in EXECUTORS
            and isinstance(owner, ast.Name)
            and owner.id in SESSIONS
        ):
            found.append(f"{name}:{node.lineno}: {owner.id}.{target.attr}(")
    return found


def crossed(name: str, tree: ast.Module) -> list[str]:
    """Sessions across tenants, opened where they may not be."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if not re.search(r"(^|[._])_?db$|database$", owner):
                continue
            alone = node.func.attr == "system_alone"
            if (alone or (node.func.attr == "system" and not node.args)) and name not in ACROSS:
                found.append(f"{name}:{node.lineno}: {owner}.{node.func.attr}()")
            if node.func.attr == "console" and not node.args and not name.startswith(CONSOLE):
                found.append(f"{name}:{node.lineno}: {owner}.console()")
    return found


def tenant_tables() -> dict[str, str]:
    """Class -> table, of everything that is a TenantTable."""
    found = {}
    for name, tree in sources():
        if name.endswith("models.py"):
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and any(
                    ast.unparse(base) == "TenantTable" for base in node.bases
                ):
                    table = next(
                        ast.literal_eval(line.value)
                        for line in node.body
                        if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__tablename__"
                    )
                    found[node.name] = table
    return found


def unscoped(name: str, tree: ast.Module, tables: dict[str, str]) -> list[str]:
    """Statements that read or change a tenant's table and compare no tenant_id of it."""
    if not may_query(name):
        return []
    constants: dict[str, set[str]] = {}
    found = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constant = node.targets[0].id
            if (sql := _sql(node.value)) is not None:
                found += [f"{name}:{constant}: {fault}" for fault in unscoped_sql(sql, set(tables.values()))]
            elif read := _read(node.value, tables):
                constants[constant] = read - _compared(node.value)
    for function in ast.walk(tree):
        if not isinstance(function, ast.AsyncFunctionDef | ast.FunctionDef):
            continue
        read = _read(function, tables)
        for part in ast.walk(function):
            if isinstance(part, ast.Name) and part.id in constants:
                read |= constants[part.id]
            if (sql := _sql(part)) is not None:
                found += [
                    f"{name}:{function.name}: {fault}" for fault in unscoped_sql(sql, set(tables.values()))
                ]
        found += [f"{name}:{function.name}: {model}" for model in sorted(read - _compared(function))]
    return found


def _sql(node: ast.AST) -> str | None:
    """The text of `text("...")`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "text" and node.args:
        try:
            return str(ast.literal_eval(node.args[0]))
        except ValueError:
            return ast.unparse(node.args[0])  # built from parts: the parts are read as they stand
    return None


def _read(node: ast.AST, tables: dict[str, str]) -> set[str]:
    """Models in the arguments of select, update, delete, exists, select_from and joins."""
    found = set()
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            called = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if called in {"select", "update", "delete", "exists", "select_from", "join", "outerjoin"}:
                for argument in call.args:
                    found |= {
                        one.id for one in ast.walk(argument) if isinstance(one, ast.Name) and one.id in tables
                    }
    return found


def _compared(node: ast.AST) -> set[str]:
    """Models whose tenant_id is compared with a value, or with that of such a model."""
    scoped, joined = set[str](), list[set[str]]()
    for part in ast.walk(node):
        sides: list[ast.AST] = []
        if isinstance(part, ast.Compare):
            sides = [part.left, *part.comparators]
        elif isinstance(part, ast.Call) and ast.unparse(part.func) in {"among", "tuple_"}:
            sides = list(part.args)
        elif isinstance(part, ast.Call) and ast.unparse(part.func) == "of_issue":
            joined.append({"Connection", "Issue"})
        models = {
            side.value.id
            for side in sides
            if isinstance(side, ast.Attribute) and side.attr == "tenant_id" and _model(side.value)
        }
        columns = [side for side in sides if isinstance(side, ast.Attribute) and _model(side.value)]
        if models and len(columns) == len(sides):
            joined.append(models | {column.value.id for column in columns})  # type: ignore[attr-defined]
        else:
            scoped |= models
    for _ in joined:
        for pair in joined:
            scoped |= pair if pair & scoped else set()
    return scoped


def _model(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id[0].isupper()


_PLACE = re.compile(r"\b(?:FROM|JOIN|UPDATE|DELETE FROM|USING)\s+(?:ONLY\s+)?(\w+)", re.IGNORECASE)
_COMPARED = re.compile(r"\btenant_id\s*(?:=|IN\b|>=|>|<>)\s*|tenant_id\s*,[^)]*\)\s*(?:=|IN)", re.IGNORECASE)


def unscoped_sql(sql: str, tables: set[str]) -> list[str]:
    """At least as many comparisons of tenant_id as tables of tenants."""
    named = [table for table in _PLACE.findall(sql) if table.lower() in tables]
    return [] if len(_COMPARED.findall(sql)) >= len(named) else [f"tenant_id of {', '.join(named)}"]


TREES = list(sources())
TABLES = tenant_tables()


def without(exceptions: dict[str, str], found: list[str]) -> list[str]:
    return [fault for fault in found if fault.rpartition(": ")[0] not in exceptions]


def test_the_walk_sees_the_source() -> None:
    assert len(TREES) > 150
    assert {"Connection", "Record", "Work", "Member"} <= set(TABLES)


def test_queries_are_built_in_repositories_only() -> None:
    assert [fault for name, tree in TREES for fault in built(name, tree)] == []


def test_sessions_across_tenants_are_opened_where_it_is_said_why() -> None:
    assert [fault for name, tree in TREES for fault in crossed(name, tree)] == []


def test_every_statement_names_the_tenant() -> None:
    assert without(UNSCOPED, [fault for name, tree in TREES for fault in unscoped(name, tree, TABLES)]) == []


def test_no_exception_outlives_its_reason() -> None:
    named = dict(TREES)
    assert [name for name in QUERIES if not _queries(named.get(name))] == []
    assert [
        name
        for name in ACROSS
        if not re.search(r"\.system(?:_alone)?\(", ast.unparse(named.get(name, ast.Module([], []))))
    ] == []
    found = {fault.rpartition(": ")[0] for name, tree in TREES for fault in unscoped(name, tree, TABLES)}
    assert set(UNSCOPED) - found == set()


def _queries(tree: ast.Module | None) -> bool:
    return tree is not None and bool(built("anything.py", tree))


PLANTED: list[tuple[Any, str]] = [
    (built, "from sqlalchemy import select\nx = select(1)"),
    (built, "from sqlalchemy.dialects.postgresql import insert as put\nput(Work)"),
    (built, "from sqlalchemy import text as raw\nraw('SELECT 1')"),
    (built, "async def f(session): await session.execute(_QUERY)"),
    (built, "async def f(session): await session.scalar(q)"),
    (crossed, "async def f(self):\n async with self._db.system() as s: pass"),
    (crossed, "async def f(self, db):\n await db.system_alone(STATEMENT, {})"),
    (crossed, "async def f(db):\n async with db.console() as s: pass"),
]


@pytest.mark.parametrize(("rule", "source"), PLANTED)
def test_what_is_planted_elsewhere_is_found(rule: Any, source: str) -> None:
    assert rule("platform/trunkline/later/service.py", ast.parse(source))


@pytest.mark.parametrize(
    "source",
    [
        "async def f(session, tenant_id): return select(Work.id).where(Work.id == 1)",
        "async def f(session, tenant_id): return update(Work).where(Work.kind == 'x').values(tenant_id=tenant_id)",
        "async def f(session): return delete(Work)",
        "async def f(): return select(Run.id).join(Work, Work.id == Run.id).where(Run.tenant_id == 1)",
        "_Q = select(Work.id)\nasync def f(): return _Q.where(Work.id == 1)",
        "_Q = text('SELECT id FROM work WHERE id = :id')",
        "_Q = text('UPDATE work SET kind = :kind')",
        "async def f(): return text('DELETE FROM work w USING runs r WHERE w.tenant_id = :t')",
    ],
)
def test_a_statement_without_its_tenant_is_found(source: str) -> None:
    assert unscoped("platform/trunkline/later/repository.py", ast.parse(source), TABLES)


@pytest.mark.parametrize(
    "source",
    [
        "async def f(t): return select(Work.id).where(Work.tenant_id == t, Work.id == 1)",
        "_Q = select(Work.id)\nasync def f(t): return _Q.where(Work.tenant_id == t)",
        "_Q = text('SELECT id FROM work WHERE tenant_id = :t')",
    ],
)
def test_a_statement_with_its_tenant_passes(source: str) -> None:
    assert not unscoped("platform/trunkline/later/repository.py", ast.parse(source), TABLES)
