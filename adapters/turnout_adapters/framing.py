"""How else bytes are cut into frames: lines of JSON, frames inside frames, one frame for all."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from turnout_adapters.errors import InvalidReplyError

_LONGEST = 64 << 20
"""Bytes of a line, or of an answer in one piece."""


class Framing(Protocol):
    """Cuts bytes into (event name, data). Pieces may be cut anywhere."""

    @property
    def pending(self) -> bool:
        """True if the bytes so far end inside a frame that is of no use as a part."""
        ...

    @property
    def marked(self) -> bool:
        """True once the stream's own end mark was seen."""
        ...

    def feed(self, piece: bytes) -> Iterable[tuple[str | None, bytes]]:
        """The frames that these bytes complete. Raises InvalidReplyError."""
        ...

    def rest(self) -> Iterable[tuple[str | None, bytes]]:
        """The frame that the end of the bytes completes, if any."""
        ...


class Lines:
    """One JSON object on each line, of up to `longest` bytes."""

    def __init__(self, longest: int = _LONGEST) -> None:
        self._longest = longest
        self._buffer = bytearray()
        self.marked = False

    @property
    def pending(self) -> bool:
        """True within a line that is cut off."""
        line = bytes(self._buffer).strip()
        return bool(line) and not line.endswith(b"}")

    def feed(self, piece: bytes) -> Iterator[tuple[str | None, bytes]]:
        """Complete lines."""
        self._buffer += piece
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end]).strip()
            del self._buffer[: end + 1]
            if line:
                yield None, line
        if len(self._buffer) > self._longest:
            raise InvalidReplyError(f"a line of the stream is longer than {self._longest} bytes")

    def rest(self) -> Iterator[tuple[str | None, bytes]]:
        """The last line may lack its line end."""
        line = bytes(self._buffer).strip()
        if line.endswith(b"}"):
            self._buffer.clear()
            yield None, line


class Nested:
    """Frames that carry pieces of another stream."""

    def __init__(self, outer: Framing, inner: Framing) -> None:
        self._outer = outer
        self._inner = inner

    @property
    def pending(self) -> bool:
        """True inside an outer frame."""
        return self._outer.pending

    @property
    def marked(self) -> bool:
        """Of the inner stream."""
        return self._inner.marked

    def feed(self, piece: bytes) -> Iterator[tuple[str | None, bytes]]:
        """Frames of the inner stream."""
        for _, payload in self._outer.feed(piece):
            yield from self._inner.feed(payload)

    def rest(self) -> Iterable[tuple[str | None, bytes]]:
        """Of the inner stream."""
        return self._inner.rest()


class Whole:
    """An answer that comes in one piece of up to `longest` bytes, for providers that do not stream."""

    pending = False
    marked = False

    def __init__(self, longest: int = _LONGEST) -> None:
        self._longest = longest
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Iterable[tuple[str | None, bytes]]:
        """Nothing yet."""
        self._buffer += piece
        if len(self._buffer) > self._longest:
            raise InvalidReplyError(f"the answer is longer than {self._longest} bytes")
        return ()

    def rest(self) -> Iterable[tuple[str | None, bytes]]:
        """Everything."""
        return [(None, bytes(self._buffer))] if self._buffer else []
