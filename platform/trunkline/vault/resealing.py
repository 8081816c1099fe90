"""Sealing a tenant's values anew, a batch at a time, while everybody goes on working.

Rows that somebody holds right now are passed over and come again in the next sweep: this never waits for a
lock, so it deadlocks with nobody.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.kernel.db import Database
from trunkline.vault.sealed import KEY_VERSION, SEALED, Sealed, place
from trunkline.vault.service import Vault

BATCH = 500


class _Statements:
    """Their names come from `SEALED`, nothing else is put into them."""

    def __init__(self, one: Sealed) -> None:
        self.sealed = one
        self.columns = tuple(dict.fromkeys((*one.primary, *one.row, *one.fields)))
        key = ", ".join(one.primary)
        marks = ", ".join(f":k{number}" for number in range(len(one.primary)))
        where = f"FROM {one.table} WHERE tenant_id = :tenant AND {KEY_VERSION} < :target"
        read = f"SELECT {', '.join(self.columns)}, {KEY_VERSION} {where}"
        order = f"ORDER BY {key} LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
        self.count = text(f"SELECT count(*) {where}")
        self.first = text(f"{read} {order}")
        self.after = text(f"{read} AND ({key}) > ({marks}) {order}")
        values = ", ".join(f"{field} = :{field}" for field in one.fields)
        same = " AND ".join(f"{name} = :k{number}" for number, name in enumerate(one.primary))
        self.write: TextClause = text(
            f"UPDATE {one.table} SET {values}, {KEY_VERSION} = :target WHERE tenant_id = :tenant AND {same}"  # noqa: S608 - constants of SEALED
        )


_STATEMENTS = tuple(_Statements(one) for one in SEALED)


async def remaining(session: AsyncSession, tenant_id: UUID, target: int) -> int:
    """How many rows are sealed with an older version than `target`."""
    values = {"tenant": tenant_id, "target": target}
    return sum([(await session.execute(one.count, values)).scalar_one() for one in _STATEMENTS])


class Sweep:
    """One tenant's rows, each table from its beginning to its end; `done` counts rows sealed anew."""

    def __init__(self, db: Database, vault: Vault, tenant_id: UUID, target: int) -> None:
        self._db = db
        self._vault = vault
        self._tenant_id = tenant_id
        self._target = target
        self.done = 0
        self._table = 0
        self._last: dict[str, Any] | None = None

    async def step(self) -> bool:
        """One batch, one transaction. False: there are no more."""
        if self._table == len(_STATEMENTS):
            return False
        found = _STATEMENTS[self._table]
        values = {"tenant": self._tenant_id, "target": self._target}
        async with self._db.tenant(self._tenant_id) as session:
            query = found.first if self._last is None else found.after
            rows = (
                (await session.execute(query, {**values, "limit": BATCH, **(self._last or {})}))
                .mappings()
                .all()
            )
            if rows:
                box = await self._vault.box(session, self._tenant_id)
                if box.version != self._target:
                    self._target = values["target"] = box.version
                await session.execute(
                    found.write, [{**values, **self._anew(found.sealed, row, box)} for row in rows]
                )
        self.done += len(rows)
        if len(rows) < BATCH:
            self._table, self._last = self._table + 1, None
        else:
            self._last = _key(found.sealed, rows[-1])
        return True

    def _anew(self, one: Sealed, row: Any, box: Any) -> dict[str, Any]:
        made: dict[str, Any] = _key(one, row)
        for field in one.fields:
            context = place(one.table, *(row[name] for name in one.row), field=field)
            blob = row[field]
            made[field] = (
                None if blob is None else box.seal(box.open(blob, row[KEY_VERSION], context), context)
            )
        return made


def _key(one: Sealed, row: Any) -> dict[str, Any]:
    return {f"k{number}": row[name] for number, name in enumerate(one.primary)}
