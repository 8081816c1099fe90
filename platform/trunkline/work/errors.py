"""What can go wrong with work itself."""

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from trunkline.kernel.errors import TrunklineError

DATABASE_AWAY = (
    SQLAlchemyError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What an unreachable, restarting or overloaded PostgreSQL looks like; a failed connect is not wrapped, nor
is one that breaks off between two steps of asyncpg's own."""


class LeaseLostError(TrunklineError):
    """The work is no longer ours: somebody else has it, or it was cancelled. Write nothing more."""

    failure_code = "lease_lost"

    def __init__(self) -> None:
        super().__init__("This work was taken over or cancelled; nothing more may be written for it.")
