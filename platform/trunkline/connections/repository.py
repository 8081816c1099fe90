"""All SQL of connections, credentials, authorizations and OAuth clients. Sessions are the tenant's own,
except where a function says system.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import cast, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.connections.models import (
    Authorization,
    Connection,
    Credential,
    OAuthClient,
    RefreshIntent,
    UnconfirmedCredential,
)

AUTHORISED = ("setup", "active", "paused", "reconnect_required")
"""States in which credentials are held and confirmed."""


async def get(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> Connection | None:
    return (
        await session.execute(
            select(Connection).where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
        )
    ).scalar_one_or_none()


async def lock(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, *, with_credential: bool = False
) -> Connection | None:
    """The row as it is now, held until the transaction ends.

    Everyone takes locks in this order, or they would deadlock: credential, connection, stream, run, work.
    So who will go on to the credential asks for it here; it may wait for a refresh under way.
    """
    if with_credential:
        await credential(session, tenant_id, connection_id, locked=True)
    return (
        await session.execute(
            select(Connection)
            .where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
            .with_for_update(key_share=True)  # rows that refer to it can still be written
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()


async def list_all(session: AsyncSession, tenant_id: UUID) -> Sequence[Connection]:
    """Newest first; trips to a provider that never came back are not connections yet."""
    rows = await session.execute(
        select(Connection)
        .where(
            Connection.tenant_id == tenant_id,
            or_(Connection.state != "pending", Connection.account_id.is_not(None)),
        )
        .order_by(Connection.created_at.desc(), Connection.id.desc())
    )
    return rows.scalars().all()


async def set_state(
    session: AsyncSession,
    tenant_id: UUID,
    connection_id: UUID,
    state: str,
    *,
    cause: str | None = None,
    only_from: Collection[str],
    **values: Any,
) -> Connection | None:
    """None when the connection is not in one of `only_from`."""
    return (
        await session.execute(
            update(Connection)
            .where(
                Connection.tenant_id == tenant_id,
                Connection.id == connection_id,
                Connection.state.in_(tuple(only_from)),
            )
            .values(state=state, cause=cause, state_since=func.now(), **values)
            .returning(Connection)
            .execution_options(populate_existing=True)
        )
    ).scalar_one_or_none()


async def remove(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    await session.execute(
        delete(Connection).where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
    )


async def put_values(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, values: dict[str, str]
) -> None:
    """What stands for the placeholders of the connection's addresses."""
    config = Connection.config.op("||")(func.jsonb_build_object("values", cast(values, JSONB)))
    await session.execute(
        update(Connection)
        .where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
        .values(config=config)
    )


async def accepted(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    """The provider has just accepted our credentials."""
    await session.execute(
        update(Connection)
        .where(Connection.tenant_id == tenant_id, Connection.id == connection_id)
        .values(last_call_at=func.now())
    )


async def grant_is_shared(
    system: AsyncSession, *, client_row: UUID, account_id: str | None, besides: UUID
) -> bool:
    """System: whether another live connection rests on the same client's grant in the same account."""
    if account_id is None:
        return False
    return bool(
        await system.scalar(
            select(
                exists(Connection.id).where(
                    Connection.oauth_client_id == client_row,
                    Connection.account_id == account_id,
                    Connection.id != besides,
                    Connection.state.in_(("pending", *AUTHORISED)),
                )
            )
        )
    )


async def credential(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, *, locked: bool = False
) -> Credential | None:
    """`locked`: held until the transaction ends, read after the lock was got."""
    query = select(Credential).where(
        Credential.tenant_id == tenant_id, Credential.connection_id == connection_id
    )
    if locked:
        query = query.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(query)).scalar_one_or_none()


async def put_credential(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, values: dict[str, Any]
) -> None:
    """A new one counts as a new generation, also over an old row."""
    statement = insert(Credential).values(
        tenant_id=tenant_id, connection_id=connection_id, generation=1, **values
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "connection_id"],
            set_={**values, "generation": Credential.generation + 1, "refreshed_at": func.now()},
        )
    )


async def remove_credential(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    await session.execute(
        delete(Credential).where(Credential.tenant_id == tenant_id, Credential.connection_id == connection_id)
    )


async def refresh_under_way(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, generation: int
) -> bool:
    """Whether a refresh of that generation was begun of which nobody wrote the end.

    Asked by whoever holds the credential's lock: nobody else is refreshing, so that reply was lost.
    """
    return bool(
        await session.scalar(
            select(
                exists(RefreshIntent.connection_id).where(
                    RefreshIntent.tenant_id == tenant_id,
                    RefreshIntent.connection_id == connection_id,
                    RefreshIntent.generation == generation,
                )
            )
        )
    )


async def begin_refresh(session: AsyncSession, tenant_id: UUID, connection_id: UUID, generation: int) -> None:
    """To be committed before the provider is called."""
    await session.execute(
        insert(RefreshIntent)
        .values(tenant_id=tenant_id, connection_id=connection_id, generation=generation)
        .on_conflict_do_update(
            index_elements=["tenant_id", "connection_id"],
            set_={"generation": generation, "started_at": func.now()},
        )
    )


async def end_refresh(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    await session.execute(
        delete(RefreshIntent).where(
            RefreshIntent.tenant_id == tenant_id, RefreshIntent.connection_id == connection_id
        )
    )


async def put_unconfirmed(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID, values: dict[str, Any]
) -> None:
    """The latest trip's tokens win; an earlier trip's code confirms nothing then."""
    await session.execute(
        insert(UnconfirmedCredential)
        .values(tenant_id=tenant_id, connection_id=connection_id, **values)
        .on_conflict_do_update(
            index_elements=["tenant_id", "connection_id"], set_={**values, "created_at": func.now()}
        )
    )


async def unconfirmed(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID
) -> UnconfirmedCredential | None:
    return (
        await session.execute(
            select(UnconfirmedCredential).where(
                UnconfirmedCredential.tenant_id == tenant_id,
                UnconfirmedCredential.connection_id == connection_id,
            )
        )
    ).scalar_one_or_none()


async def remove_unconfirmed(session: AsyncSession, tenant_id: UUID, connection_id: UUID) -> None:
    await session.execute(
        delete(UnconfirmedCredential).where(
            UnconfirmedCredential.tenant_id == tenant_id,
            UnconfirmedCredential.connection_id == connection_id,
        )
    )


async def tenant_of_state(system: AsyncSession, state_hash: bytes) -> UUID | None:
    """System: whose authorization a callback belongs to."""
    return (
        await system.execute(
            select(Authorization.tenant_id).where(Authorization.state_hash == state_hash).limit(1)
        )
    ).scalar_one_or_none()


async def authorization(session: AsyncSession, tenant_id: UUID, state_hash: bytes) -> Authorization | None:
    return (
        await session.execute(
            select(Authorization).where(
                Authorization.tenant_id == tenant_id, Authorization.state_hash == state_hash
            )
        )
    ).scalar_one_or_none()


async def use_authorization(
    session: AsyncSession,
    tenant_id: UUID,
    *,
    state_hash: bytes,
    browser_hash: bytes,
    connector: str,
    redirect_uri: str,
    moment: datetime,
) -> bool:
    """True for exactly one caller, with the right browser, at the right address, in time."""
    found = await session.execute(
        update(Authorization)
        .where(
            Authorization.tenant_id == tenant_id,
            Authorization.state_hash == state_hash,
            Authorization.browser_hash == browser_hash,
            Authorization.connector == connector,
            Authorization.redirect_uri == redirect_uri,
            Authorization.used_at.is_(None),
            Authorization.expires_at > moment,
        )
        .values(used_at=moment)
        .returning(Authorization.id)
    )
    return found.scalar_one_or_none() is not None


async def open_authorization_until(
    session: AsyncSession, tenant_id: UUID, connection_id: UUID
) -> datetime | None:
    """When the last unused authorization of the connection ends."""
    return await session.scalar(
        select(func.max(Authorization.expires_at)).where(
            Authorization.tenant_id == tenant_id,
            Authorization.connection_id == connection_id,
            Authorization.used_at.is_(None),
        )
    )


async def client(session: AsyncSession, tenant_id: UUID, connector: str) -> OAuthClient | None:
    """The tenant's own client. The session is of the tenant that owns it (the operator included)."""
    return (
        await session.execute(
            select(OAuthClient).where(OAuthClient.tenant_id == tenant_id, OAuthClient.connector == connector)
        )
    ).scalar_one_or_none()


async def clients(session: AsyncSession, tenant_id: UUID) -> Sequence[OAuthClient]:
    rows = await session.execute(select(OAuthClient).where(OAuthClient.tenant_id == tenant_id))
    return rows.scalars().all()


async def clients_in_use(session: AsyncSession, tenant_id: UUID) -> dict[UUID, int]:
    """How many of the tenant's connections hold tokens of each client."""
    rows = await session.execute(
        select(Connection.oauth_client_id, func.count())
        .join(
            Credential,
            (Credential.tenant_id == Connection.tenant_id) & (Credential.connection_id == Connection.id),
        )
        .where(Connection.tenant_id == tenant_id)
        .group_by(Connection.oauth_client_id)
    )
    return {row[0]: row[1] for row in rows}


async def clients_in_use_by_all(system: AsyncSession) -> dict[UUID, int]:
    """System: how many connections, of all tenants, rest on each client."""
    rows = await system.execute(
        select(Connection.oauth_client_id, func.count(Connection.id))
        .where(Connection.state != "disconnected", Connection.account_id.is_not(None))
        .group_by(Connection.oauth_client_id)
    )
    return {row[0]: row[1] for row in rows}


async def remove_client(session: AsyncSession, tenant_id: UUID, connector: str) -> None:
    await session.execute(
        delete(OAuthClient).where(OAuthClient.tenant_id == tenant_id, OAuthClient.connector == connector)
    )


async def put_client(session: AsyncSession, tenant_id: UUID, connector: str, values: dict[str, Any]) -> None:
    await session.execute(
        insert(OAuthClient)
        .values(tenant_id=tenant_id, connector=connector, **values)
        .on_conflict_do_update(
            index_elements=["tenant_id", "connector"],
            set_={name: value for name, value in values.items() if name != "id"},
        )
    )
