"""Each tenant's own key, outside the database: what makes shredding reach restored backups.

A data key is encrypted under the tenant's own key first and under the wrapping key then, so it takes both to
get it back. The wrapping key serves every tenant and cannot be destroyed for one; the tenant's own can.
These keys must not be in the backups of the database, and their own backups must forget what was destroyed.
"""

import base64
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import UUID

from trunkline.vault.box import KEY_BYTES
from trunkline.vault.errors import KeyFileError, TenantShreddedError, WrappingKeyError
from trunkline.vault.files import decoded_key, read_private, sync_folder, write_private


class TenantKeys(Protocol):
    def get(self, tenant_id: UUID, *, make: bool = False) -> bytes:
        """32 bytes. TenantShreddedError once destroyed; WrappingKeyError where there is none."""
        ...

    def destroyed(self, tenant_id: UUID) -> bool: ...

    def destroy(self, tenant_id: UUID) -> None:
        """For ever, also for keys to come under this tenant. Idempotent."""
        ...


class TenantKeyFolder:
    """A file of its own for each tenant. Every process that seals must see the same folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, tenant_id: UUID, *, make: bool = False) -> bytes:
        path = self._path(tenant_id)
        for chance in (make, False):
            if self.destroyed(tenant_id):
                raise TenantShreddedError("This tenant was shredded: its key was destroyed on purpose.")
            content = read_private(path, "The tenant's key file")
            if content is not None:
                key = decoded_key(content.strip(), KEY_BYTES)
                if key is None:
                    raise KeyFileError(
                        f"The tenant's key file {path} does not hold a key. Restore it from a backup."
                    )
                return key
            if chance:
                fresh = base64.b64encode(os.urandom(KEY_BYTES)) + b"\n"
                write_private(path, fresh, "The tenant's key file")
        raise WrappingKeyError(
            f"The tenant's own key is not in {self._folder}. Every process must see the same folder "
            "(TRUNKLINE_TENANT_KEYS); if it was lost, restore it from its backup."
        )

    def destroyed(self, tenant_id: UUID) -> bool:
        return self._mark(tenant_id).exists()

    def destroy(self, tenant_id: UUID) -> None:
        """The mark goes first: a crash in between leaves a tenant without a key, never one with a new key."""
        mark = f"destroyed {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n".encode()
        write_private(self._mark(tenant_id), mark, "The mark of a destroyed key")
        path = self._path(tenant_id)
        try:
            with path.open("r+b") as file:  # on disks that write in place this is the last of it
                size = file.seek(0, os.SEEK_END)
                file.seek(0)
                file.write(os.urandom(size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            sync_folder(self._folder)
        except FileNotFoundError:
            return
        except OSError as error:
            raise KeyFileError(
                f"The tenant's key file {path} cannot be destroyed: {error.strerror}."
            ) from error

    def _path(self, tenant_id: UUID) -> Path:
        return self._folder / f"{tenant_id}.key"

    def _mark(self, tenant_id: UUID) -> Path:
        return self._folder / f"{tenant_id}.destroyed"
