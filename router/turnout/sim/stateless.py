"""What fake upstreams share that keep nothing: the whole history comes with every request."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from turnout.sim.account import Account
from turnout.sim.faults import Fault
from turnout.sim.upstream import Answer, Refused, Upstream, message_of

Block = Mapping[str, Any]


class StatelessRegion(Upstream):
    """An account that answers from the history in the request (see `words.py`)."""

    key_header = ""

    def __init__(
        self,
        name: str,
        *,
        api_keys: tuple[str, ...] = (),
        latency: float = 0.0,
        word_seconds: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(name, api_keys=api_keys, latency=latency, word_seconds=word_seconds, seed=seed)
        self.account = Account(name, self._rng)

    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],  # noqa: ARG002 (the base's signature)
        headers: Mapping[str, str],
        body: Mapping[str, Any],
    ) -> Answer:
        """The answer, or the provider's refusal in its own form."""
        if self.api_keys and headers.get(self.key_header) not in self.api_keys:
            return Answer(401, self.error(401, "the API key is not valid"))
        if method != "POST" or not self.serves(path):
            return Answer(404, self.error(404, f"{method} {path} is not found"))
        try:
            self.account.check_ids(body)
            answer = self.converse(path, headers, body)
        except Refused as refused:
            self.note_refusal(refused)
            return Answer(400, self.error(400, refused.message))
        self.served += 1
        return answer

    def fault_body(self, fault: Fault) -> Mapping[str, Any]:
        """The provider's error of that status."""
        return self.error(fault.status, message_of(fault))

    @abstractmethod
    def serves(self, path: str) -> bool:
        """True for the path of its one operation."""

    @abstractmethod
    def converse(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Answer:
        """The next turn. Raises Refused."""

    @abstractmethod
    def error(self, status: int, message: str) -> Mapping[str, Any]:
        """The body of an error."""


def fields_of(value: object) -> Block:
    """An object's fields; none if it is no object."""
    return cast("Block", value) if isinstance(value, Mapping) else {}


def blocks_of(value: object) -> Sequence[Block]:
    """The objects in a list; none if it is no list."""
    listed = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Block", one) for one in listed if isinstance(one, Mapping)]


def pieces(text: str) -> list[str]:
    """A text cut into its words, as streams send it."""
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:]


def check_alternation(roles: Sequence[str], *, first: str, message: str) -> None:
    """Roles take turns, and the user has the first word and the last."""
    in_order = all(one != other for one, other in pairwise(roles))
    if not roles or roles[0] != first or roles[-1] != first or not in_order:
        raise Refused("role", message)


def check_known(body: Mapping[str, Any], known: frozenset[str], message: str) -> None:
    """No field that the API does not have. `message` has the place of its name."""
    for name in body:
        if name not in known:
            raise Refused("unknown field", message.format(name=name))
