"""Can a server be reached, and if not, why not, in words."""

import asyncio
from urllib.parse import urlsplit

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from trunkline.cli.failures import Failure

SECONDS = 5.0


def place(url: str) -> str:
    """The address without login, password and options."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme == "unix":
        return parts.path
    return (
        f"{host}{parts.path}" if host else f"the embedded server's socket, database {parts.path.lstrip('/')}"
    )


async def connect_database(url: str) -> "asyncpg.Connection":
    """Raise Failure with the reason; never with the password."""
    try:
        return await asyncpg.connect(url, timeout=SECONDS)
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise Failure(
            f"The database at {place(url)} refuses the login: "
            "correct user and password in TRUNKLINE_DATABASE_URL."
        ) from error
    except asyncpg.InvalidCatalogNameError as error:
        raise Failure(
            f"The database at {place(url)} does not exist: create it, or correct TRUNKLINE_DATABASE_URL."
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise Failure(
            f"The database at {place(url)} cannot be reached ({_reason(error)}): "
            "start it, or correct TRUNKLINE_DATABASE_URL."
        ) from error


async def valkey_version(url: str) -> str:
    client = Redis.from_url(url, socket_connect_timeout=SECONDS, socket_timeout=SECONDS)
    try:
        info = await client.info("server")
    except AuthenticationError as error:
        raise Failure(
            f"Valkey at {place(url)} refuses the login: correct the password in TRUNKLINE_VALKEY_URL."
        ) from error
    except (OSError, RedisError) as error:
        raise Failure(
            f"Valkey at {place(url)} cannot be reached ({_reason(error)}): "
            "start it, or correct TRUNKLINE_VALKEY_URL."
        ) from error
    finally:
        await client.aclose()
    return str(info.get("valkey_version") or info.get("redis_version"))


async def _check(database_url: str, valkey_url: str | None) -> None:
    connection = await connect_database(database_url)
    await connection.close()
    if valkey_url:
        await valkey_version(valkey_url)


def check_reachable(database_url: str, valkey_url: str | None) -> None:
    """Blocking; raises Failure naming the one that is not."""
    asyncio.run(_check(database_url, valkey_url))


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return f"no answer within {SECONDS:.0f} s"
    if isinstance(error, ConnectionRefusedError) or "refused" in str(error).lower():
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).splitlines()[0] if str(error) else type(error).__name__
