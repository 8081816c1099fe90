"""Signed heads: what a log was at a moment, kept outside of the database, so that its end cannot be cut off.

A file of them is only ever appended to, a JSON object a line. What is signed is plain text:

    trunkline audit head 1 / tenant / number / hash in hex / time of signing, each on a line of its own.
"""

import asyncio
import base64
import binascii
import fcntl
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from trunkline.audit import repository
from trunkline.audit.signing import PublicKey, Signer
from trunkline.audit.verification import Heads, Signed
from trunkline.kernel.clock import now
from trunkline.kernel.db import Database

OVERLAP = timedelta(minutes=10)
"""Of two exports: an entry that was under way, or a clock that differs, is told twice rather than missed."""


class HeadFileError(Exception):
    """A file of signed heads that cannot be used; the message says which line and why."""


class SignedHead(msgspec.Struct, frozen=True, kw_only=True):
    tenant: UUID
    sequence: int
    hash: str
    """Hex."""
    at: datetime
    """When it was signed."""
    key: str
    signature: str
    """Base64."""

    @property
    def message(self) -> bytes:
        lines = ("trunkline audit head 1", self.tenant, self.sequence, self.hash, self.at.isoformat())
        return "".join(f"{line}\n" for line in lines).encode()


async def sign_heads(
    db: Database, signer: Signer, *, since: datetime | None = None, only: UUID | None = None
) -> list[SignedHead]:
    """Of every tenant, or of one; those that moved since then."""
    async with db.system() as session:
        heads = await repository.heads(session, since)
    moment, made = now(), []
    for tenant_id, head in heads:
        if only in {None, tenant_id}:
            blank = SignedHead(
                tenant=tenant_id,
                sequence=head.sequence,
                hash=head.hash.hex(),
                at=moment,
                key=signer.public.name,
                signature="",
            )
            signature = base64.b64encode(signer.sign(blank.message)).decode()
            made.append(msgspec.structs.replace(blank, signature=signature))
    return made


def lines(heads: Iterable[SignedHead]) -> str:
    return "".join(f"{msgspec.json.encode(head).decode()}\n" for head in heads)


def keep(path: Path, heads: Iterable[SignedHead]) -> None:
    """Appends, whole lines only, on disk before it returns."""
    written = lines(heads).encode()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(written)
        file.flush()
        os.fsync(file.fileno())


async def export(db: Database, signer: Signer, path: Path) -> int:
    """Appends what moved since the file was last appended to; how many."""
    heads = await sign_heads(db, signer, since=await asyncio.to_thread(_appended, path))
    if heads:
        await asyncio.to_thread(keep, path, heads)
    return len(heads)


def _appended(path: Path) -> datetime | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(found.st_mtime, UTC) - OVERLAP if found.st_size else None


def read(paths: Iterable[Path], keys: Iterable[PublicKey]) -> dict[UUID, Heads]:
    """By tenant and number. Every line must be whole and signed by one of the keys: HeadFileError.

    All of them count, not only the last: whoever wrote a log anew has its new head signed soon after.
    """
    known = {key.name: key for key in keys}
    found: dict[UUID, dict[int, list[Signed]]] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    head = _read(line, f"{path}, line {number}", known)
                    same = found.setdefault(head.tenant, {}).setdefault(head.sequence, [])
                    made = bytes.fromhex(head.hash)
                    if all(one.hash != made for one in same):
                        same.append(Signed(made, head.at))
        except OSError as error:
            raise HeadFileError(f"{path} cannot be read: {error.strerror}.") from error
    return {tenant: dict(heads) for tenant, heads in found.items()}


def _read(line: bytes, where: str, known: Mapping[str, PublicKey]) -> SignedHead:
    try:
        head = msgspec.json.decode(line, type=SignedHead)
        signature = base64.b64decode(head.signature, validate=True)
        bytes.fromhex(head.hash)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise HeadFileError(f"{where}: this is not a signed head.") from error
    if head.key not in known:
        raise HeadFileError(
            f"{where}: it was signed by the key {head.key}, which is not known. Give its public key by --key."
        )
    if not known[head.key].fits(signature, head.message):
        raise HeadFileError(f"{where}: its signature does not fit: the line was changed.")
    return head
