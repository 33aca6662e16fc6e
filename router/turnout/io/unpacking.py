"""Bodies that arrive packed, and how much of a body is taken."""

import zlib
from collections.abc import Awaitable, Callable, Mapping

from turnout.errors import InvalidReplyError

_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 2**18
"""Bytes that are unpacked at once: a few bytes of a packed body may stand for gigabytes."""


_HEAD = 2
"""Bytes in which zlib's head shows, or its absence."""


class Unpacker:
    """The content of one body, piece by piece. Raises InvalidReplyError for what cannot be unpacked."""

    def __init__(self, encoding: str) -> None:
        self._inflate = zlib.decompressobj(_GZIP if encoding != "deflate" else zlib.MAX_WBITS)
        self._gzip = encoding != "deflate"
        self._packed = b""
        self._begun = self._full = False

    def feed(self, data: bytes) -> None:
        """Takes packed bytes; `take` gives what is in them."""
        self._packed += data

    def take(self) -> bytes:
        """The next piece of content, b"" if more packed bytes are needed."""
        if not self._begun and len(self._packed) < _HEAD:
            return b""
        while self._packed or self._full:
            if self._inflate.eof:
                if not self._gzip or not self._packed.strip(b"\0"):  # padding
                    self._packed, self._full = b"", False
                    return b""
                self._inflate = zlib.decompressobj(_GZIP)  # the next member
            content = self._inflated()
            if content:
                return content
        return b""

    def _inflated(self) -> bytes:
        packed, self._packed = self._packed, b""
        try:
            content = self._inflate.decompress(packed, _PIECE)
        except zlib.error:
            if self._begun or self._gzip:
                raise InvalidReplyError("the answer is packed, and cannot be unpacked") from None
            # some servers send deflate without zlib's head
            self._inflate, self._begun = zlib.decompressobj(-zlib.MAX_WBITS), True
            self._packed = packed
            return b""
        self._begun, self._full = True, len(content) == _PIECE
        self._packed = self._inflate.unconsumed_tail or self._inflate.unused_data
        return content

    def end(self) -> None:
        """No more bytes come. Raises InvalidReplyError if some are missing."""
        if (self._begun or self._packed) and not self._inflate.eof:
            raise InvalidReplyError("the answer is packed, and its end is missing")


async def read_unpacked(unpacker: Unpacker, read: Callable[[], Awaitable[bytes]]) -> bytes:
    """The next piece of content, b"" at the end; `read` gives packed bytes."""
    while not (content := unpacker.take()):
        data = await read()
        if not data:
            unpacker.end()
            return b""
        unpacker.feed(data)
    return content


def unpacker_for(headers: Mapping[str, str]) -> Unpacker | None:
    """None for a body as it is. Raises InvalidReplyError for an encoding that nobody asked for and nobody reads."""
    encoding = headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding in ("gzip", "x-gzip", "deflate"):
        return Unpacker(encoding)
    raise InvalidReplyError("the answer is packed in a way that was not asked for (content-encoding)")


class Whole:
    """A complete body in the making. Raises InvalidReplyError as soon as it is larger than `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        """The next piece."""
        self._size += len(part)
        if self._size > self._most:
            raise InvalidReplyError(f"the answer is larger than {self._most} bytes (max_response_bytes)")
        self._parts.append(part)

    @property
    def content(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)
