"""What every conversation should be, after whatever was done to it: trees of turns, each with the words before it.

The model says what must still be there, what must be gone, and leaves open what may be either (an entry whose time to
live depends on what a process happened to know).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from json import loads
from math import inf
from typing import Any

from turnout.continuity.turns import PATH

TTL = 1000.0


@dataclass(eq=False)
class Said:
    """One response, or items that were put into a conversation."""

    id: str
    tenant: str
    words: tuple[str, ...]
    """All that was said up to it and in it."""
    before: "Said | None"
    store: int
    """The store that it was written to, or would have been."""
    secret: str
    """Its id is signed with."""
    region: str = ""
    """Who gave it; nobody did where items were put into a conversation."""
    raw: str | None = None
    """The account's own id of it, if an account was told to keep it."""
    kept: bool = False
    call_id: str | None = None
    finished: bool = True
    surely: float = -inf
    """Until then the store has it, unless it was deleted."""
    perhaps: float = -inf
    """After that the store does not have it."""

    def line(self) -> Iterator["Said"]:
        """It and all before it."""
        one: Said | None = self
        while one is not None:
            yield one
            one = one.before

    def written(self, now: float, *, whole: bool) -> None:
        """It was written to the store; those before it, as far as its writer knew them, live on as long.

        `whole`: the writer had read them all. Else it knew the one before, and perhaps more.
        """
        self.surely = self.perhaps = now + TTL
        for number, one in enumerate(islice(self.line(), 1, PATH + 1)):
            if one.store != self.store:
                return
            if now < one.surely and (whole or number == 0):
                one.surely = now + TTL
            if now < one.perhaps:
                one.perhaps = now + TTL

    def is_kept(self, store: int, now: float) -> bool | None:
        """True if the store has it, False if not, None if that cannot be said."""
        if not self.kept or self.store != store or now >= self.perhaps:
            return False
        return True if now < self.surely else None

    def is_whole(self, store: int, now: float) -> bool | None:
        """The same of it and all before it."""
        states = [one.is_kept(store, now) and one.finished for one in self.line()]
        if all(states):
            return True
        return False if False in states else None


@dataclass(eq=False)
class Talk:
    """A conversation that is kept here."""

    id: str
    tenant: str
    store: int
    secret: str
    until: float
    last: Said | None = None
    deleted: bool = False
    turns: list[Said] = field(default_factory=list[Said])

    def is_kept(self, store: int, now: float) -> bool:
        """True if the store has its record."""
        return not self.deleted and self.store == store and now < self.until


def text_of(output: Any) -> tuple[str, str | None]:
    """What the model said, in a message or in the arguments of a call, and the id of the call."""
    text, call_id = "", None
    for item in output:
        if item.type == "function_call":
            text, call_id = loads(item.arguments)["note"], item.call_id
        elif item.type == "message":
            text += "".join(part.text for part in item.content)
    return text, call_id
