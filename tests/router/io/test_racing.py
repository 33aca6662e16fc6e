"""A race of two coroutines: who ends it, what is cancelled, and that nothing outlives it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from turnout.io.racing import race
from turnout.sim.clock import run

Body = Callable[[], Coroutine[Any, Any, bool]]


class Runner:
    """Ends after so many seconds, and remembers how."""

    def __init__(self, seconds: float, result: bool | Exception = True, clean_up: float = 0.0) -> None:
        self.seconds = seconds
        self.result = result
        self.clean_up = clean_up
        self.how = "never began"

    async def go(self) -> bool:
        self.how = "running"
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(self.clean_up)
            self.how = "cancelled"
            raise
        self.how = "ended"
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


def raced(first: Runner, second: Runner | None, after: float = 1.0) -> tuple[float, str, str]:
    """Virtual seconds it took, and how the two ended. No task may be left."""

    async def main() -> float:
        await race(first.go(), after, lambda: None if second is None else second.go())
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return asyncio.get_running_loop().time()

    return run(main()), first.how, "none" if second is None else second.how


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Runner(0.5), Runner(1), (0.5, "ended", "never began")),
        (Runner(0.5, result=False), Runner(1), (0.5, "ended", "never began")),
        (Runner(9), Runner(1), (2.0, "cancelled", "ended")),
        (Runner(3), Runner(9), (3.0, "ended", "cancelled")),
        (Runner(3), None, (3.0, "ended", "none")),
        (Runner(2, result=False), Runner(5), (6.0, "ended", "ended")),
        (Runner(5), Runner(1, result=False), (5.0, "ended", "ended")),
        (Runner(5, result=False), Runner(1, result=False), (5.0, "ended", "ended")),
        (Runner(9, clean_up=1), Runner(1), (3.0, "cancelled", "ended")),
    ],
)
def test_the_first_to_say_so_ends_it(first: Runner, second: Runner | None, expected: tuple[float, str, str]) -> None:
    assert raced(first, second) == expected


def test_what_one_raises_ends_it_for_both() -> None:
    first, second = Runner(9), Runner(1, result=ValueError("broken"))
    with pytest.raises(ValueError, match="broken"):
        raced(first, second)
    assert first.how == "cancelled"


def test_a_second_that_cannot_begin_cancels_the_first() -> None:
    first = Runner(9)

    def second() -> None:
        raise ValueError("no second")

    async def main() -> None:
        with pytest.raises(ValueError, match="no second"):
            await race(first.go(), 1.0, second)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
    assert first.how == "cancelled"


@pytest.mark.parametrize("at", [0.5, 1.5])
@pytest.mark.parametrize("times", [1, 3])
def test_cancelling_the_caller_cancels_both_and_waits_for_them(at: float, times: int) -> None:
    first, second = Runner(9, clean_up=2), Runner(9, clean_up=1)

    async def main() -> None:
        task = asyncio.create_task(race(first.go(), 1.0, second.go))
        await asyncio.sleep(at)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())
    assert (first.how, second.how) == ("cancelled", "never began" if at < 1 else "cancelled")
