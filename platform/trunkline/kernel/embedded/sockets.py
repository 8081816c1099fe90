import hashlib
import os
import tempfile
from pathlib import Path

from trunkline.kernel.embedded.errors import EmbeddedError

SOCKET_PATH_LIMIT = 103
"""Bytes in sun_path without the closing NUL: 107 on Linux, 103 on macOS; the smaller for both."""
LONGEST_NAME = ".s.PGSQL.5432.lock"


def socket_folder(data: Path) -> Path:
    """A private folder whose socket paths fit: `<data>/run`, else a name derived from it under /tmp.

    The same for the same data folder, so that commands beside a running one find its servers.
    """
    folder = data.absolute() / "run"
    if len(os.fsencode(folder / LONGEST_NAME)) > SOCKET_PATH_LIMIT:
        digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"trunkline-{os.getuid()}-{digest}"
        if len(os.fsencode(folder / LONGEST_NAME)) > SOCKET_PATH_LIMIT:
            folder = Path("/tmp") / folder.name  # noqa: S108 - made 0700 and checked below
    return folder


def make_socket_folder(folder: Path) -> None:
    """Create it for us alone; EmbeddedError when somebody else's folder or link is in its place."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise EmbeddedError(f"The socket folder {folder} cannot be made: {error.strerror}.") from error
    if folder.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise EmbeddedError(
            f"The socket folder {folder} is not private to this user: remove it, "
            "or choose another data folder with TRUNKLINE_DATA."
        )
