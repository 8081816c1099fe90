"""An answer's body, unpacked in pieces under a cap of bytes and time."""

import time
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Final

import httpx2

from trunkline.kernel.egress.errors import AnswerTooLargeError

TOTAL_SECONDS: Final = 60.0  # a provider that drips a byte every 29 s would otherwise hold a worker for ever
_PIECE: Final = 256 * 1024  # decompressed at a time, so that a bomb is noticed before it is unpacked


class Body(httpx2.AsyncByteStream):
    def __init__(
        self, stream: httpx2.AsyncByteStream, max_bytes: int, *, packed: bool, deadline: float
    ) -> None:
        self._deadline = deadline
        self._stream = stream
        self._max_bytes = max_bytes
        self._packed = packed

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        unpacker = _Gunzip() if self._packed else None
        async for chunk in self._stream:
            if time.monotonic() > self._deadline:
                raise httpx2.ReadTimeout(f"The answer took longer than {TOTAL_SECONDS:.0f} s.")
            for piece in unpacker.feed(chunk) if unpacker else (chunk,):
                seen += len(piece)
                if seen > self._max_bytes:
                    raise AnswerTooLargeError(
                        f"The provider's answer is larger than {self._max_bytes:,} bytes when unpacked."
                    )
                yield piece
        if unpacker is not None and not unpacker.complete:
            raise httpx2.RemoteProtocolError("The packed answer ended early.")

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Gunzip:
    """gzip in bounded pieces, several members in a row allowed (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._unzip = zlib.decompressobj(31)  # 16 + MAX_WBITS: gzip header and checksum
        self._fresh = True

    @property
    def complete(self) -> bool:
        return self._unzip.eof or self._fresh

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            piece, data = self._step(data)
            if piece:
                yield piece

    def _step(self, data: bytes) -> tuple[bytes, bytes]:
        """A piece and what is left of the input."""
        if self._unzip.eof:
            self._unzip = zlib.decompressobj(31)
        self._fresh = False
        try:
            piece = self._unzip.decompress(data, _PIECE)
        except zlib.error as error:
            raise httpx2.RemoteProtocolError("The packed answer is damaged.") from error
        return piece, self._unzip.unused_data if self._unzip.eof else self._unzip.unconsumed_tail
