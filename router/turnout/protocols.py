"""What a user may bring along: a strategy, a pre-call check, a store. Plain protocols, nothing to inherit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from turnout.context import Call, Observation, Pick
from turnout.deployment import Deployment, ModelGroup


@runtime_checkable
class Strategy(Protocol):
    """Chooses one of the deployments that are fit for a call.

    `candidates` is never empty, is read-only, and holds only deployments that are neither resting nor full; health is
    not a strategy's business. It is called under the Router's lock: it must not wait.
    """

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        """The deployment to use; one of `candidates`."""
        ...


@runtime_checkable
class Learns(Protocol):
    """The optional part of a strategy that learns from what becomes of attempts.

    The methods are called under the Router's lock and must not wait. `deployment.learned` is the strategy's to use.
    """

    def started(self, deployment: Deployment, call: Call, now: float) -> object:
        """An attempt begins; `deployment.in_flight` counts it already. What it returns comes back as `token`."""
        ...

    def answering(self, deployment: Deployment, token: object, now: float) -> None:
        """The first output of a stream has arrived. Not called for other attempts."""
        ...

    def finished(self, deployment: Deployment, seen: Observation) -> None:
        """An attempt ended; `deployment.in_flight` counts it no more. Follows every `started`, exactly once."""
        ...


@runtime_checkable
class Compares(Protocol):
    """The optional part of a strategy that knows how deployments compare: a prompt cache is not worth any wait."""

    def comparable(self, candidates: Sequence[Deployment], now: float) -> Sequence[Deployment]:
        """The candidates that are not much slower or more faulty than the best of them; at least one."""
        ...


@runtime_checkable
class PreCallCheck(Protocol):
    """Says which deployments are unfit for a call, and why.

    A check may also have `applies(call, group) -> bool`: False spares it the look at every deployment.
    """

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        """Why this deployment may not serve the call, None if it may."""
        ...


@runtime_checkable
class Applies(Protocol):
    """The optional part of a pre-call check."""

    def applies(self, call: Call, group: ModelGroup) -> bool:
        """False if the check would reject no deployment of the group for this call."""
        ...


class Store(Protocol):
    """Remembers small facts for a while. An entry may vanish at any time; nothing breaks when it does."""

    def get(self, key: str) -> str | None:
        """The value, None if unknown or expired."""
        ...

    def set(self, key: str, value: str, ttl: float) -> None:
        """Keeps the value for at most `ttl` seconds."""
        ...

    def delete(self, key: str) -> None:
        """Forgets the key; unknown keys are no error."""
        ...


@runtime_checkable
class Askable(Protocol):
    """The optional part of a store that other processes share: what it does not know here it can be asked for."""

    def lookup(self, keys: Sequence[str], waiter: "Wakes | None" = None) -> "Job":
        """Asks for keys; the job's value is a mapping of those that are known, and `get` knows them from then on."""
        ...


class TurnStore(Protocol):
    """Keeps the turns of conversations: bytes under keys of 40 hexadecimal characters, each with a time to live.

    The methods block. Those of a store with `remote = True` run in a thread of their own, never in an event loop; they
    may raise anything, which means that the store cannot be reached. A store keeps what it is given as it is: what a
    turn is, whose it is and which one came before it is `continuity/transcripts.py`'s to know.
    """

    remote: bool
    """True if a method may wait for a network or a disk."""

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of the keys; None for what is unknown or expired."""
        ...

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        """Keeps the entries for `ttl` seconds from now; what was there under a key is replaced."""
        ...

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        """Gives entries `ttl` seconds from now; unknown keys are no error."""
        ...

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        """In one atomic step: writes `new` if the value is `old` (None: if there is none), and says whether it did."""
        ...

    def erase(self, keys: Sequence[str]) -> None:
        """Forgets the keys; unknown ones are no error."""
        ...

    def close(self) -> None:
        """Gives its connections back. The store may be used again after it."""
        ...


class Job(Protocol):
    """Work that was handed to a thread."""

    done: bool
    error: BaseException | None
    value: Any


class Wakes(Protocol):
    """Something that waits for a job."""

    def wake(self) -> None:
        """Called once, from any thread, when the job is done."""
        ...


class Background(Protocol):
    """Threads that do blocking work for one remote store, and know how the store is doing."""

    @property
    def healthy(self) -> bool:
        """False while the store cannot be reached: nobody should wait for it. Costs nothing to ask."""
        ...

    @property
    def typical(self) -> float:
        """Seconds that its work takes lately (moving average of what succeeded)."""
        ...

    def submit(self, work: Callable[[], Any], waiter: Wakes | None = None) -> Job:
        """Hands work over, and returns at once. While the store cannot be reached, the job fails at once."""
        ...

    def close(self, timeout: float) -> None:
        """Lets what was handed over finish for so many seconds, and ends the threads."""
        ...
