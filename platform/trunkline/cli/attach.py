from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from trunkline.cli.failures import Failure
from trunkline.cli.probes import check_reachable
from trunkline.kernel.embedded import EmbeddedServers
from trunkline.kernel.settings import Settings


def attach(settings: Settings) -> Settings:
    """Fill in the URLs of embedded servers that another process (`trunkline up`) runs; check both."""
    servers = EmbeddedServers(settings.data)
    missing = []
    if not settings.database_url:
        if servers.postgres.initialised and servers.postgres.answers():
            settings = msgspec.structs.replace(settings, database_url=servers.database_url)
        else:
            missing.append("TRUNKLINE_DATABASE_URL")
    if not settings.valkey_url:
        if servers.valkey.answers():
            settings = msgspec.structs.replace(settings, valkey_url=servers.valkey_url)
        else:
            missing.append("TRUNKLINE_VALKEY_URL")
    if missing:
        raise Failure(
            f"No embedded server runs on {settings.data}: start everything with `trunkline up`, "
            f"or set {' and '.join(missing)}."
        )
    check_reachable(settings.database_url, settings.valkey_url)
    return settings


@contextmanager
def with_database(settings: Settings) -> Iterator[Settings]:
    """As `attach`, but for commands that need the database only and may start it for their duration."""
    servers = EmbeddedServers(settings.data, with_valkey=False)
    if settings.database_url:
        check_reachable(settings.database_url, None)
        yield settings
    elif servers.postgres.initialised and servers.postgres.answers():
        yield msgspec.structs.replace(settings, database_url=servers.database_url)
    else:
        with servers:
            yield msgspec.structs.replace(settings, database_url=servers.database_url)
