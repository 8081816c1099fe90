"""Passwords: argon2id, never on the event loop, the same work for accounts that do not exist."""

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from trunkline.kernel.errors import BadInputError

SHORTEST = 12
LONGEST = 256
"""Characters. Bounded, so that nobody buys work with a megabyte of password."""

HASHER = PasswordHasher(
    time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID
)
"""19 MiB, two passes, one lane: the OWASP Password Storage Cheat Sheet's first argon2id recommendation."""

_threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")


async def hash_password(password: str, hasher: PasswordHasher = HASHER, *, field: str = "password") -> str:
    """BadInputError naming `field` outside of 12 to 256 characters."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise BadInputError(
            f"A password needs {SHORTEST} to {LONGEST} characters; this one has {len(password)}.",
            field=field,
        )
    return await asyncio.get_running_loop().run_in_executor(_threads, hasher.hash, password)


async def verify_password(
    stored: str | None, password: str, hasher: PasswordHasher = HASHER
) -> tuple[bool, str | None]:
    """(does it match, a new hash if the stored one has other parameters). `stored` None costs the same."""
    if len(password) > LONGEST:
        password, stored = "", None
    return await asyncio.get_running_loop().run_in_executor(
        _threads, partial(_verify, stored, password, hasher)
    )


def _verify(stored: str | None, password: str, hasher: PasswordHasher) -> tuple[bool, str | None]:
    try:
        hasher.verify(stored or _nobody(hasher), password)
    except (VerificationError, InvalidHashError):
        return False, None
    if stored is None:
        return False, None
    return True, hasher.hash(password) if hasher.check_needs_rehash(stored) else None


@lru_cache(maxsize=4)
def _nobody(hasher: PasswordHasher) -> str:
    return hasher.hash(secrets.token_urlsafe(32))
