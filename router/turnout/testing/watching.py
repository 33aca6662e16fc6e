"""What a strategy or a check does besides judging: whether it waits, reads a clock, or changes what it was shown."""

import sys
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from turnout.deployment import Deployment
from turnout.testing.rules import need

_WAITING = frozenset(
    """
    time.sleep io.open _io.open posix.open posix.system nt.open nt.system _posixsubprocess.fork_exec
    _winapi.CreateProcess socket.getaddrinfo _socket.getaddrinfo socket.connect socket.connect_ex socket.send
    socket.sendall socket.recv socket.recv_into socket.accept select.select poll.poll epoll.poll kqueue.control
    """.split()
)
"""Functions in C, by their modules' names in all supported versions of Python."""
_WAITING_CODE = {
    threading.Condition.wait.__code__: "threading.Condition.wait",
    threading.Thread.join.__code__: "threading.Thread.join",
}
_CLOCKS = frozenset(
    f"time.{name}" for name in "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns".split()
)


@contextmanager
def no_waiting(who: str, *, clocks: bool) -> Generator[None]:
    """Raises AssertionError at the end of the block if something in it waited for a clock, a disk or a network.

    Sees the calls of this thread into the interpreter's own functions. With `clocks`, reading one is noted too.
    """
    forbidden = _WAITING | _CLOCKS if clocks else _WAITING
    found: list[str] = []

    def note(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and (name := _name_of(called)) in forbidden:
            found.append(name)
        elif event == "call" and frame.f_code in _WAITING_CODE:
            found.append(_WAITING_CODE[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)
    if found:
        why = "take the time from `pick.now`" if found[0] in _CLOCKS else "it is called under the Router's lock"
        raise AssertionError(f"{who} calls {found[0]}(): {why}")


def _name_of(called: Any) -> str:
    """As "module.function", or "Class.method" without its module."""
    module, name = getattr(called, "__module__", None), getattr(called, "__qualname__", "")
    return f"{module}.{name}" if module is not None and "." not in name else name


class Unchanged:
    """What deployments were like; `confirm` raises AssertionError if they are no longer."""

    def __init__(self, deployments: Sequence[Deployment]) -> None:
        self._before = [(one, _state_of(one)) for one in deployments]

    def confirm(self, who: str) -> None:
        """Compares."""
        for deployment, before in self._before:
            after = _state_of(deployment)
            changed = [name for name, value in before.items() if after[name] != value]
            need(not changed, f"{who} changed {', '.join(changed)} of the deployment {deployment.id!r}")


def _state_of(deployment: Deployment) -> dict[str, Any]:
    """Every attribute as text, but `learned`, which is the strategy's, and `recovered_at`.

    That is cleared by `Deployment.pace` when a slow start is over, whoever asks.
    """
    state = {
        name: repr(getattr(deployment, name)) for name in Deployment.__slots__ if name not in ("health", "learned")
    }
    health = deployment.health
    return state | {
        f"health.{name}": repr(getattr(health, name)) for name in type(health).__slots__ if name != "recovered_at"
    }
