"""What a failed statement says of itself."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from trunkline.kernel.db import Database

CANARY = "tk-canary-of-a-parameter"


async def _fail(db: Database) -> None:
    async with db.system() as session:
        connection = await session.connection()
        await connection.execute(text("SELECT 1 / CAST(:none AS int), :value"), {"none": 0, "value": CANARY})


async def test_a_failed_statement_does_not_tell_its_parameters(db: Database) -> None:
    with pytest.raises(DBAPIError) as raised:
        await _fail(db)
    assert CANARY not in str(raised.value)
    assert CANARY not in repr(raised.value)
