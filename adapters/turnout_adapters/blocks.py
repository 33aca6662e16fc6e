"""Lets the blocks of an answer through one at a time.

Some providers interleave the pieces of parallel calls. Responses has one open item at a time, so what belongs to
another block than the open one waits until that one has ended.
"""

from collections.abc import Callable, Hashable

Action = Callable[[], None]


class BlockOrder:
    """Blocks in the order in which they began."""

    def __init__(self) -> None:
        self._open: Hashable | None = None
        self._waiting: dict[Hashable, list[Action]] = {}
        self._stopped: set[Hashable] = set()

    @property
    def open(self) -> Hashable | None:
        """The block that is let through."""
        return self._open

    def put(self, block: Hashable, action: Action) -> None:
        """Does something to a block, now or in its turn."""
        if self._open is None:
            self._open = block
        if block == self._open:
            action()
        else:
            self._waiting.setdefault(block, []).append(action)

    def stop(self, block: Hashable) -> None:
        """The block has ended; the next one's turn comes with it."""
        if block != self._open:
            self._stopped.add(block)
            return
        self._open = None
        while self._waiting and self._open is None:
            following = next(iter(self._waiting))
            self._open = following
            for action in self._waiting.pop(following):
                action()
            if following in self._stopped:
                self._stopped.discard(following)
                self._open = None

    def stop_all(self) -> None:
        """The answer has ended."""
        while self._open is not None:
            self.stop(self._open)
