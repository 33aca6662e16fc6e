"""Virtual time: an asyncio event loop whose clock jumps to whatever is due next, instead of waiting for it.

    run(main())     # an hour of `asyncio.sleep` in a second; the same coroutines, timeouts and cancellations

Nothing in the loop is replaced but the selector, so real code runs in it unchanged; with seeded chance and no threads,
two runs take the same steps in the same order.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 10.0
"""Real seconds to wait for a thread when no task has anything left to wait for."""


class _JumpingSelector(selectors.SelectSelector):
    """Moves the clock on where another selector would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Nothing is ever ready but what another thread announces, for which alone it really waits."""
        if timeout is None:
            found = super().select(_PATIENCE)
            if not found:
                raise RuntimeError("every task waits for something that nothing will ever bring about")
            return found
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, which begins at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002 (asyncio gives it)
        """Waits for threads to end, which they do in real time: a limit in virtual seconds would pass at once."""
        await super().shutdown_default_executor()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end in virtual time, as `asyncio.run` does in real time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
