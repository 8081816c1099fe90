"""What is sealed, and where: the one list that sealing obeys and rotation and tests walk.

A sealed column's table also holds `key_version`, with a foreign key to `data_keys`: so the database keeps a
version for as long as a row needs it, and takes no row whose version is gone.
"""

from functools import lru_cache

import msgspec

KEY_VERSION = "key_version"


class Sealed(msgspec.Struct, frozen=True):
    """A table with sealed columns. `row`: the columns, besides the tenant, that name a row in a place."""

    table: str
    row: tuple[str, ...]
    fields: tuple[str, ...]
    key: tuple[str, ...] = ()
    """The rest of the primary key where it differs from `row`."""

    @property
    def primary(self) -> tuple[str, ...]:
        return self.key or self.row


SEALED = (
    Sealed("action_calls", ("id",), ("input",)),
    Sealed("authorizations", ("id",), ("verifier",)),
    Sealed("credentials", ("connection_id",), ("access_token", "refresh_token")),
    Sealed("hook_endpoints", ("id",), ("key", "secret", "previous_secret")),
    Sealed("delivery_attempts", ("delivery_id", "number"), ("answer",)),
    Sealed("endpoint_credentials", ("endpoint_id",), ("headers", "private_key")),
    Sealed("endpoint_secrets", ("endpoint_id", "id"), ("secret",)),
    Sealed("idempotent_answers", ("api_key_id", "key_hash"), ("body",)),
    Sealed("inbound_events", ("id",), ("headers", "body")),
    Sealed("oauth_clients", ("connector",), ("secret",), key=("id",)),
    Sealed("records", ("connection_id", "stream", "external_id"), ("document",)),
    Sealed("second_factors", ("user_id",), ("secret",)),
    Sealed("unconfirmed_credentials", ("connection_id",), ("access_token", "refresh_token")),
)

_SHAPES = {one.table: (len(one.row), one.fields) for one in SEALED}


def place(table: str, *row: object, field: str) -> str:
    """What a value is bound to beside tenant and key version: `table/row.../field`, one spelling for each.

    Slashes within a part are escaped, so that no two places spell the same.
    """
    return f"{_beginning(table, *row[:-1])}/{part(row[-1])}/{field}"


@lru_cache(maxsize=1024, typed=True)
def _beginning(table: str, *row: object) -> str:
    """Kept, because the records of a page share theirs."""
    return "/".join((table, *map(part, row)))


def check_place(context: str) -> None:
    """ValueError unless it names a sealed table, a whole row of it and a sealed field."""
    table, *row = context.split("/")
    field = row.pop() if row else ""
    shape = _SHAPES.get(table)
    if shape is None or len(row) != shape[0] or field not in shape[1] or not all(row):
        raise ValueError(
            "a sealed value is bound to table, row and field: make its place by vault.sealed.place, "
            "and name the column in vault.sealed.SEALED"
        )


def part(value: object) -> str:
    """Of a place, escaped."""
    written = value.hex() if isinstance(value, bytes) else str(value)
    if "%" not in written and "/" not in written:
        return written
    return written.replace("%", "%25").replace("/", "%2F")
