"""What a user may bring along: a strategy, a pre-call check, a store. Plain protocols, nothing to inherit."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from turnout.context import Call, Pick
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
