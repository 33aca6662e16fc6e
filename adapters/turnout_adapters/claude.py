"""What a Claude model can do, told from its name. An unknown name counts as the newest."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"claude-([a-z0-9.@:-]+)")
_NEWEST = (99, 0)
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32000, "max": 32000}
"""Tokens of thinking for each effort, on models that take a budget."""


@dataclass(frozen=True, slots=True)
class Claude:
    """One model."""

    version: tuple[int, int]
    tier: str
    known: bool

    @property
    def thinks(self) -> bool:
        """Extended thinking came with 3.7."""
        return self.version >= (3, 7)

    @property
    def adaptive(self) -> bool:
        """Decides itself how long to think, steered by an effort: 4.6 and later."""
        return self.version >= (4, 6)

    @property
    def structured(self) -> bool:
        """Has output_config.format: 4.5 and later, and Opus 4.1."""
        return self.version >= (4, 5) or (self.tier == "opus" and self.version >= (4, 1))

    @property
    def samples(self) -> bool:
        """Takes temperature and top_p: until Opus 4.7, and below 5."""
        return self.version < ((4, 7) if self.tier == "opus" else (5, 0))

    @property
    def default_max_tokens(self) -> int:
        """max_tokens is required; this is sent if the caller says nothing."""
        if not self.known or self.version < (3, 5):
            return 4096
        return 8192 if self.version < (3, 7) else 32000

    def effort(self, name: str) -> str:
        """The nearest effort this (adaptive) model has."""
        if name == "minimal":
            return "low"
        if name == "xhigh" and self.known and self.version < (4, 7):
            return "max"
        return name


def claude(model: str) -> Claude:
    """The model of this name, in any platform's spelling: claude-3-7-sonnet@20250219, us.anthropic.claude-opus-4-1."""
    found = _NAME.search(model)
    if found is None:
        return Claude(_NEWEST, "", known=False)
    words = re.split(r"[-@:.]", found.group(1))
    numbers = [int(word) for word in words if word.isdigit() and len(word) <= 2][:2]
    tier = next((word for word in words if word in ("opus", "sonnet", "haiku")), "")
    if not numbers:
        return Claude(_NEWEST, tier, known=False)
    return Claude((numbers[0], numbers[1] if len(numbers) > 1 else 0), tier, known=True)


def budget(effort: str, max_tokens: int) -> int | None:
    """Tokens of thinking for an effort, fewer than max_tokens, which contains them; None if there is no room."""
    room = min(_BUDGETS.get(effort, _BUDGETS["medium"]), max_tokens - 1)
    return room if room >= _BUDGETS["minimal"] else None
