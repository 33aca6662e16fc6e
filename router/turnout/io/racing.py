"""Two attempts at once, as asyncio tasks."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

Attempt = Coroutine[Any, Any, bool]


async def race(first: Attempt, after: float, second: Callable[[], Attempt | None]) -> None:
    """See `engine.port.IO.race`. Whatever happens, cancellation included, no task outlives it."""
    tasks = [asyncio.create_task(first)]
    try:
        await asyncio.wait(tasks, timeout=after)
        if not tasks[0].done() and (other := second()) is not None:
            tasks.append(asyncio.create_task(other))
        while not any(map(_decided, tasks)) and (left := _running(tasks)):
            await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _stop(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def _decided(task: "asyncio.Task[bool]") -> bool:
    """True if the task leaves nothing to wait for: it says so, or broke."""
    return task.done() and (task.cancelled() or task.exception() is not None or task.result())


def _running(tasks: "Sequence[asyncio.Task[bool]]") -> "list[asyncio.Task[bool]]":
    return [task for task in tasks if not task.done()]


async def _stop(tasks: "Sequence[asyncio.Task[bool]]") -> None:
    """Cancels what is still running, and waits for its end, however often this is cancelled itself meanwhile."""
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while left := _running(tasks):
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
