"""What the rules of every kind share: a claim, a table of rules, a run of all of them, work in threads."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

Rule = Callable[..., None]
"""A function named after what it demands; returns if that holds, raises AssertionError if not."""

THREADS = 8
API_KEY = "sk-of-the-conformance-kit-0123456789"
"""The key of every deployment of the rules: it must turn up nowhere."""
_PATIENCE = 60.0
"""Seconds after which a rule calls work that does not end a hang."""


def need(right: object, problem: str) -> None:
    """Raises AssertionError with the problem unless it is right; unlike `assert` also under `python -O`."""
    if not right:
        raise AssertionError(problem)


def table(*rules: Rule) -> Mapping[str, Rule]:
    """Rules by their names."""
    return {rule.__name__: rule for rule in rules}


def check_all(rules: Mapping[str, Rule], *given: Any) -> None:
    """Runs all rules. Raises one AssertionError that names each rule that was broken, and how."""
    broken: list[tuple[str, Exception]] = []
    for name, rule in rules.items():
        try:
            rule(*given)
        except Exception as error:  # noqa: BLE001 (what is under test may raise anything)
            broken.append((name, error))
    if broken:
        text = "\n".join(f"{name}: {_told(error)}" for name, error in broken)
        raise AssertionError(text) from broken[0][1]


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, AssertionError) else f"raised {type(error).__name__}: {error}"


def in_threads(work: Callable[[int], None], threads: int = THREADS, patience: float = _PATIENCE) -> None:
    """Runs `work(0)`, `work(1)` ... at the same time, each in a thread of its own, and raises what the first raised.

    Raises AssertionError if one has not ended after `patience` seconds; it is left behind as a daemon thread.
    """
    begin = threading.Barrier(threads)
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            begin.wait(patience)
            work(number)
        except BaseException as error:  # noqa: BLE001 (told to whoever asked for the work)
            raised.append(error)

    started = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(patience)
    if raised:
        raise raised[0]
    need(not any(thread.is_alive() for thread in started), f"it has not ended after {patience:g} s: it hangs")
