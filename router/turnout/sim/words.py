"""Answers that show from which history they were given.

Everything that is said carries a word of its own: `ask-...` what the user says, `got-...` what a tool gives, `say-...`
what the model says. An answer names its own word first and then every word of the history it was given from, in order,
so that a turn that was lost, doubled, moved or is somebody else's can be seen in the very next answer.
"""

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Role = Literal["user", "model", "tool"]
_GIVEN = re.compile(r"\b(?:ask|got)-[0-9a-f]{12}\b")
_OWN = re.compile(r"^I say (say-[0-9a-f]{12})\b")
_ANSWER = re.compile(r"^I say (say-[0-9a-f]{12}) to (.+)\.$")
UNREADABLE = "?"
"""Stands for a turn that has no word."""


class Heard(NamedTuple):
    """One turn of the history, in the form common to all wires."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model answers: a text, or a call of `tool` with the text as its argument `note`."""

    text: str
    tool: str | None = None


def new_word(kind: Literal["ask", "got", "say"], rng: random.Random) -> str:
    """A word that was never used before."""
    return f"{kind}-{rng.getrandbits(48):012x}"


def words_of(turns: Sequence[Heard]) -> list[str]:
    """The words of a history, in order; a turn without one counts as UNREADABLE."""
    found: list[str] = []
    for turn in turns:
        words = (_OWN if turn.role == "model" else _GIVEN).findall(turn.text)
        found += words or [UNREADABLE]
    return found


def reply_to(turns: Sequence[Heard], tools: Collection[str], rng: random.Random, *, must_call: bool = False) -> Reply:
    """The answer to a history. The model calls a tool whose name the user has just said, or if it must."""
    text = f"I say {new_word('say', rng)} to {' '.join(words_of(turns))}."
    last = turns[-1]
    if last.role != "user":
        return Reply(text)
    named = next((name for name in tools if name in last.text), None)
    return Reply(text, named or (next(iter(tools), None) if must_call else None))


def read_answer(text: str) -> tuple[str, list[str]] | None:
    """The own word of an answer and those it was given from, None if it is no whole answer."""
    found = _ANSWER.match(text)
    return None if found is None else (found[1], found[2].split(" "))
