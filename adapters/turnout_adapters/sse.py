"""Bytes to server-sent events (WHATWG HTML, section 9.2), pure."""

from turnout_adapters.errors import InvalidReplyError

_LONGEST = 64 << 20
"""Bytes; a finished image in one event is some megabytes."""


class SSESplitter:
    """Cuts a byte stream into (event name, data). Pieces may be cut anywhere; line ends may be LF, CRLF or CR."""

    __slots__ = ("_buffer", "_crlf", "_longest", "_started", "marked")

    def __init__(self, longest: int = _LONGEST) -> None:
        self._buffer = bytearray()
        self._longest = longest
        self._crlf = False
        self._started = False
        self.marked = False
        """[DONE] was seen."""

    @property
    def pending(self) -> bool:
        """False: an event without its blank line is no event, and what came before it stands."""
        return False

    def rest(self) -> tuple[()]:
        """Nothing: see `pending`."""
        return ()

    def feed(self, piece: bytes) -> list[tuple[str | None, bytes]]:
        """The events that these bytes complete; `[DONE]` is left out. Raises InvalidReplyError past the size bound."""
        if not self._started:
            self._started = True
            piece = piece.removeprefix(b"\xef\xbb\xbf")
        if b"\r" in piece or self._crlf:
            piece = self._unified(piece)
        scan = max(len(self._buffer) - 1, 0)
        self._buffer += piece
        events = list[tuple[str | None, bytes]]()
        start = 0
        while (end := self._buffer.find(b"\n\n", max(scan, start))) >= 0:
            event = _event(bytes(self._buffer[start:end]))
            if event is not None and event[1] == b"[DONE]":
                self.marked = True
            elif event is not None:
                events.append(event)
            start = end + 2
        if start:
            del self._buffer[:start]
        if len(self._buffer) > self._longest:
            raise InvalidReplyError(f"an event of the stream is longer than {self._longest} bytes")
        return events

    def _unified(self, piece: bytes) -> bytes:
        """Line ends as LF. A CR at the very end is held back: an LF may follow."""
        if self._crlf:
            piece = b"\r" + piece
        self._crlf = piece.endswith(b"\r")
        if self._crlf:
            piece = piece[:-1]
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _event(block: bytes) -> tuple[str | None, bytes] | None:
    name: str | None = None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            name = line[6:].strip().decode(errors="replace")
    if not data:
        return None
    joined = data[0] if len(data) == 1 else b"\n".join(data)
    return name, joined
