"""What a receiver wants beside the signature: headers of its own, and a client certificate (mutual TLS).

Values and the key are sealed and never shown again; names, and what a certificate says of itself, are not.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from trunkline.deliveries import endpoint_repository
from trunkline.deliveries.schemas import ClientCertificateIn, EndpointView
from trunkline.kernel.egress import ClientIdentity, IdentityError
from trunkline.kernel.egress.identity import examine
from trunkline.kernel.errors import BadInputError
from trunkline.vault.sealed import place
from trunkline.vault.service import Vault

MOST: Final = 10
"""Headers of an endpoint."""
KEEP: Final = "•••"
"""In the place of a value that is kept: it is never shown."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VALUE = re.compile(r"[!-~]([ -~]{0,998}[!-~])?")
_OURS = frozenset(
    {
        *("host", "connection", "content-type", "content-length", "content-encoding", "transfer-encoding"),
        *("accept", "accept-encoding", "expect", "keep-alive", "te", "trailer", "upgrade", "user-agent"),
        *("proxy-connection", "proxy-authorization", "x-forwarded-for", "x-forwarded-host", "forwarded"),
    }
)
"""Set by ourselves, or never to be set."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """Opened, to be sent with."""

    headers: Mapping[str, str] = {}
    identity: ClientIdentity | None = None

    def __repr__(self) -> str:
        return "Credentials()"


async def read(session: AsyncSession, vault: Vault, tenant_id: UUID, endpoint_id: UUID) -> Credentials:
    """`tenant_id`: the session's, which owns the endpoint."""
    row = await endpoint_repository.credential(session, tenant_id, endpoint_id)
    if row is None:
        return Credentials()
    box = await vault.box(session, tenant_id)

    def opened(sealed: bytes, field: str) -> bytes:
        return box.open(sealed, row.key_version, place("endpoint_credentials", endpoint_id, field=field))

    headers = msgspec.json.decode(opened(row.headers, "headers"), type=dict[str, str]) if row.headers else {}
    identity = None
    if row.private_key is not None:
        key = opened(row.private_key, "private_key").decode()
        identity = ClientIdentity(certificate=row.certificate, key=key)
    return Credentials(headers=headers, identity=identity)


async def change(
    session: AsyncSession,
    vault: Vault,
    view: EndpointView,
    headers: Mapping[str, str] | msgspec.UnsetType,
    certificate: ClientCertificateIn | msgspec.UnsetType | None,
    now: datetime,
) -> bool:
    """What is unset stays; False: nothing was asked for. Raises BadInputError."""
    if headers is msgspec.UNSET and certificate is msgspec.UNSET:
        return False
    held = await read(session, vault, view.tenant_id, view.id)
    wanted = held.headers if headers is msgspec.UNSET else _checked(headers, held.headers)
    identity, subject, ends = held.identity, view.certificate_subject, view.certificate_ends
    if certificate is None:
        identity, subject, ends = None, None, None
    elif certificate is not msgspec.UNSET:
        try:
            identity, shown = examine(certificate.certificate, certificate.key, now)
        except IdentityError as error:
            raise BadInputError(str(error), field=f"client_certificate.{error.field}") from error
        subject, ends = shown.subject, shown.ends
    if identity is not None and not view.url.lower().startswith("https://"):
        raise BadInputError(
            "A client certificate is shown over https only.", field="client_certificate.certificate"
        )
    if not wanted and identity is None:
        await endpoint_repository.drop_credential(session, view.tenant_id, view.id)
        return True
    box = await vault.box(session, view.tenant_id)

    def sealed(value: bytes, field: str) -> bytes:
        return box.seal(value, place("endpoint_credentials", view.id, field=field))

    await endpoint_repository.put_credential(
        session,
        view.tenant_id,
        view.id,
        headers=sealed(msgspec.json.encode(dict(wanted)), "headers") if wanted else None,
        names=list(wanted),
        certificate=identity.certificate if identity else None,
        subject=subject,
        ends=ends,
        key=sealed(identity.key.encode(), "private_key") if identity else None,
        version=box.version,
    )
    return True


def _checked(given: Mapping[str, str], held: Mapping[str, str]) -> dict[str, str]:
    """Raises BadInputError, which quotes no value."""
    if len(given) > MOST:
        raise BadInputError(f"At most {MOST} headers.", field="headers")
    known = {name.lower(): value for name, value in held.items()}
    found: dict[str, str] = {}
    for name, value in given.items():
        if not _NAME.fullmatch(name):
            raise BadInputError(f'"{name[:64]}" is no name of a header.', field="headers")
        if name.lower() in _OURS or name.lower().startswith("webhook-"):
            raise BadInputError(f"The header {name} cannot be set here.", field="headers")
        if name.lower() in map(str.lower, found):
            raise BadInputError(f"The header {name} is there twice.", field="headers")
        kept = known.get(name.lower()) if value == KEEP else value
        if kept is None or not _VALUE.fullmatch(kept):
            raise BadInputError(
                f"Give {name} a value of 1 to 1,000 plain signs, without blanks at its ends.", field="headers"
            )
        found[name] = kept
    return found


def listed(names: Sequence[str]) -> str:
    """As a form shows what is held."""
    return "\n".join(f"{name}: {KEEP}" for name in names)
