"""Server-sent events whose data is text, not JSON."""

from collections.abc import Iterator

from pydantic_core import to_json

from turnout_adapters.sse import SSESplitter


class TextEvents:
    """Cuts bytes into events and gives their text as {"data": ...}."""

    pending = False
    marked = False

    def __init__(self) -> None:
        self._inner = SSESplitter()

    def feed(self, piece: bytes) -> Iterator[tuple[str | None, bytes]]:
        """The events that these bytes complete."""
        for name, data in self._inner.feed(piece):
            yield name, to_json({"data": data.decode(errors="replace")})

    def rest(self) -> tuple[()]:
        """Nothing: an event without its blank line is none."""
        return ()
