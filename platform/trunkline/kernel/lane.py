"""A short way for `text()` statements: straight to asyncpg, in the session's own transaction.

What SQLAlchemy does for a statement costs several times what asyncpg does, and a page of records takes a
dozen of them. Statements that are built from tables, and `text()` with typed parameters or options, go the
ordinary way. So do errors: whoever catches SQLAlchemy's finds them, and a dead connection leaves the pool.

It relies on what SQLAlchemy keeps to itself, since there is no public way to hand a transaction over or
to have an error translated: hence the exemptions below, and a version of it that is bounded.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import asyncpg
from sqlalchemy import Connection, TextClause
from sqlalchemy.engine import IteratorResult
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import SessionTransaction
from sqlalchemy.sql.sqltypes import NullType
from sqlalchemy.util import await_only, greenlet_spawn

KNOWN: Final = 1000
"""Statements remembered in their compiled form."""

_Plain = tuple[str, tuple[str, ...], bool]
"""SQL as asyncpg takes it, the parameters' names in order, whether it gives rows."""

_COUNTED: Final = {"INSERT", "UPDATE", "DELETE"}
"""Without RETURNING these give a number of rows, and none of them."""
_NO_KEYS: Final = ("nothing",)
"""Of a result without rows: its columns' names are not known, but there may be a first one to ask for."""

_known: dict[str, _Plain | None] = {}


class Found(IteratorResult[Any]):
    """A `Result`; `rowcount` as a cursor's."""

    rowcount: int


class LaneSession(AsyncSession):
    """An `AsyncSession`; ORM objects that are not flushed yet are not seen by a `text()`, as ever."""

    async def execute(self, statement: Any, params: Any = None, **options: Any) -> Any:
        if type(statement) is TextClause and not options and (params is None or isinstance(params, Mapping)):
            plain = _plain(statement, self)
            if plain is not None:
                return await self._straight(plain, params or {})
        return await super().execute(statement, params, **options)

    def _innermost(self) -> SessionTransaction | None:
        return self.sync_session.get_nested_transaction() or self.sync_session.get_transaction()

    async def _straight(self, plain: _Plain, params: Mapping[str, Any]) -> Found:
        sql, names, gives_rows = plain
        held = self.info.get("lane")
        if held is None or held[0] is not self._innermost():
            connection = (await self.connection()).sync_connection  # begins what is not begun, savepoints too
            assert connection is not None
            if connection.connection.dbapi_connection._transaction is None:  # type: ignore[union-attr]  # noqa: SLF001
                raise RuntimeError("a statement would run outside a transaction")
            held = self._innermost(), connection, connection.connection.driver_connection
            self.info["lane"] = held
        driver = cast("asyncpg.Connection", held[2])
        try:
            values = [params[name] for name in names]
            _tell(held[1], sql, values)
            if gives_rows:
                rows = await driver.fetch(sql, *values)
                keys = tuple(rows[0].keys()) if rows else _NO_KEYS
                found = Found(SimpleResultMetaData(keys), map(tuple, rows))
                found.rowcount = len(rows)
            else:
                status = (await driver.execute(sql, *values)).rpartition(" ")[2]
                found = Found(SimpleResultMetaData(()), iter(()))
                found.rowcount = int(status) if status.isdecimal() else -1
        except Exception as error:
            await greenlet_spawn(_raise, held[1], error, sql)
            raise
        return found


def _tell(connection: Connection, sql: str, values: Sequence[Any]) -> None:
    """Whoever listens to what an engine executes hears of these statements too."""
    if connection._has_events or connection.engine._has_events:  # noqa: SLF001 - as SQLAlchemy asks itself
        for listener in connection.dispatch.before_cursor_execute:
            listener(connection, None, sql, tuple(values), None, False)


def _raise(connection: Connection, error: Exception, sql: str) -> None:
    """As SQLAlchemy would have: its own class of error, the connection invalidated if it is gone."""
    dbapi = connection.connection.dbapi_connection
    try:
        dbapi._handle_exception(error)  # type: ignore[union-attr]  # noqa: SLF001 - the dialect's own translation
    except Exception as translated:  # noqa: BLE001 - whatever it is, it is handed on
        connection._handle_dbapi_exception(translated, sql, {}, None, None)  # noqa: SLF001


def _plain(statement: TextClause, session: AsyncSession | AsyncConnection) -> _Plain | None:
    """None: not for this way."""
    try:
        return _known[statement.text]
    except KeyError:
        pass
    made: _Plain | None = None
    if all(type(one.type) is NullType and one.required for one in statement._bindparams.values()):  # noqa: SLF001
        engine = session.get_bind() if isinstance(session, AsyncSession) else session.engine
        compiled = statement.compile(dialect=engine.dialect)
        sql = compiled.string
        rows = sql.lstrip()[:6].upper() not in _COUNTED or "RETURNING" in sql.upper()
        made = sql, tuple(compiled.positiontup or ()), rows
    if len(_known) < KNOWN:
        _known[statement.text] = made
    return made


async def alone(connection: AsyncConnection, statement: TextClause, params: Mapping[str, Any]) -> list[Any]:
    """Rows of a statement that is a transaction by itself: committed when it returns, in one round trip."""
    inner = connection.sync_connection
    assert inner is not None
    plain = _plain(statement, connection)
    adapter: Any = inner.connection.dbapi_connection
    if plain is None or adapter._transaction is not None:  # noqa: SLF001 - as above
        raise RuntimeError("a statement cannot run by itself here")
    sql, names, _ = plain
    try:
        values = [params[name] for name in names]
        _tell(inner, sql, values)
        found: list[Any] = await adapter.driver_connection.fetch(sql, *values)
    except Exception as error:
        await greenlet_spawn(_raise, inner, error, sql)
        raise
    return found


class _Begun:
    """What SQLAlchemy's adapter ends a transaction by, where we began it."""

    __slots__ = ("_driver",)

    def __init__(self, driver: asyncpg.Connection) -> None:
        self._driver = driver

    async def commit(self) -> None:
        await self._driver.execute("COMMIT")

    async def rollback(self) -> None:
        await self._driver.execute("ROLLBACK")


def begin(connection: Connection, setting: str) -> bool:
    """Begins the transaction and runs `setting`, a statement without parameters or none, in one round trip.

    False, and nothing done, where a transaction is under way or was asked for with options.
    """
    adapter: Any = connection.connection.dbapi_connection
    if adapter._transaction is not None or adapter.isolation_level or adapter.readonly or adapter.deferrable:  # noqa: SLF001
        return False
    driver = adapter.driver_connection
    try:
        await_only(driver.execute(f"BEGIN; {setting}"))
    except Exception as error:
        _raise(connection, error, "BEGIN")
        raise
    adapter._transaction = _Begun(driver)  # noqa: SLF001 - there is no public way to hand one over
    return True
