"""AWS event-stream frames (application/vnd.amazon.eventstream) to (event name, JSON), pure.

A frame is: length, length of headers, CRC of these; headers; payload; CRC of all that. Numbers are big-endian.
"""

import struct
import zlib
from base64 import b64decode
from collections.abc import Iterator
from typing import Literal

from turnout_adapters.decoding import json_object
from turnout_adapters.errors import InvalidReplyError
from turnout_adapters.refusals import stream_error

_LONGEST = 24 << 20
"""Bytes; AWS's own limit."""
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_STRINGS = (6, 7)


class EventStreamSplitter:
    """Cuts a byte stream into frames. Pieces may be cut anywhere; both checksums are checked.

    `inner="bytes"`: the payload is an envelope with the real one as base64 (InvokeModel); `inner="raw"`: it may be cut
    anywhere itself (SageMaker), and is given as it is.
    """

    __slots__ = ("_buffer", "_inner", "_provider")

    def __init__(self, provider: str, inner: Literal["", "bytes", "raw"] = "") -> None:
        self._buffer = bytearray()
        self._provider = provider
        self._inner = inner

    @property
    def pending(self) -> bool:
        """True inside a frame."""
        return bool(self._buffer)

    @property
    def marked(self) -> bool:
        """False: there is no end mark."""
        return False

    def rest(self) -> tuple[()]:
        """Nothing: a frame says its length."""
        return ()

    def feed(self, piece: bytes) -> Iterator[tuple[str | None, bytes]]:
        """The frames that these bytes complete. Raises InvalidReplyError, or the error that a frame reports."""
        self._buffer += piece
        while len(self._buffer) >= 12:
            total, headers_length, crc = struct.unpack_from(">III", self._buffer)
            if crc != zlib.crc32(self._buffer[:8]) or not 16 + headers_length <= total <= _LONGEST:
                raise InvalidReplyError("a frame of the stream is damaged")
            if len(self._buffer) < total:
                return
            frame = bytes(self._buffer[:total])
            del self._buffer[:total]
            if struct.unpack(">I", frame[-4:])[0] != zlib.crc32(frame[:-4]):
                raise InvalidReplyError("a frame of the stream is damaged")
            opened = self._opened(_headers(frame[12 : 12 + headers_length]), frame[12 + headers_length : -4])
            if opened is not None:
                yield opened

    def _opened(self, headers: dict[str, str], payload: bytes) -> tuple[str | None, bytes] | None:
        """What a frame holds; None if it is not one of those that carry the inner stream."""
        kind = headers.get(":message-type", "event")
        if kind != "event":
            name = headers.get(":exception-type") or headers.get(":error-code") or "unknown"
            told = json_object(payload) if payload else {"message": headers.get(":error-message", name)}
            raise stream_error({**told, "__type": name}, self._provider)
        if self._inner == "bytes":
            inner = json_object(payload).get("bytes")
            return None if inner is None else (None, _unpacked(inner))
        return headers.get(":event-type"), payload


def _unpacked(inner: object) -> bytes:
    try:
        return b64decode(inner if isinstance(inner, str) else "?", validate=True)
    except ValueError:
        raise InvalidReplyError("a frame of the stream holds no base64") from None


def _headers(data: bytes) -> dict[str, str]:
    """The headers with text values; the others are skipped."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_length = data[at]
        name = data[at + 1 : at + 1 + name_length].decode(errors="replace")
        at += 1 + name_length
        if at >= len(data):
            break
        kind = data[at]
        at += 1
        if kind in _STRINGS:
            length = int.from_bytes(data[at : at + 2])
            found[name] = data[at + 2 : at + 2 + length].decode(errors="replace")
            at += 2 + length
        else:
            at += _SIZES.get(kind, len(data))
    return found
