import contextlib
import errno
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from trunkline.kernel.embedded.errors import EmbeddedError


class FolderLock:
    """One process per data folder; freed by the kernel when that process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "lock"
        self._file: int | None = None

    def acquire(self) -> None:
        """Raise EmbeddedError naming the holder, or saying that the folder cannot be written."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise EmbeddedError(
                f"The data folder {self.folder} cannot be written ({error.strerror}): "
                "make it writable, or choose another with TRUNKLINE_DATA."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(file)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise EmbeddedError(
                    f"The data folder {self.folder} is on a file system without locks ({error.strerror}): "
                    "choose another with TRUNKLINE_DATA."
                ) from error
            holder = self.holder()
            raise EmbeddedError(
                f"Another Trunkline{f' (process {holder})' if holder else ''} already runs on "
                f"{self.folder}: stop it, or choose another folder with TRUNKLINE_DATA."
            ) from error
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._file = file

    def probe(self) -> None:
        """Raise what `acquire` would, and leave it free."""
        self.acquire()
        self.release()

    def holder(self) -> int | None:
        """The process that took the lock last, as it wrote itself down."""
        with contextlib.suppress(OSError, ValueError):
            return int(self.path.read_text())
        return None

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
