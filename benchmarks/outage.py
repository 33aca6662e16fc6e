"""What becomes of conversations whose account dies: with transcripts, without, and with another router.

    python -m benchmarks.outage [--conversations 500] [--turns 6] [--seed 1] [--json] [--without-peer]

Every conversation begins on an account that is killed for good before its third turn is answered. The upstreams answer
from the history that they are sent and refuse what the real ones refuse; whether a history was whole is judged by what
the upstream says it was given and by the client's own record, which must agree. Ends with 1 if a promise is broken.
"""

import argparse
import asyncio
import importlib.util
import json
import logging
import math
import os
import random
import statistics
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.conversations import Conversation, Unexpected, asked_of, conversations, each
from turnout import Router
from turnout.errors import TurnoutError
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault
from turnout.sim.gemini_region import GeminiRegion
from turnout.sim.history import HistoryRegion
from turnout.sim.upstream import Upstream

DIES_AT = 3
DEADLINE = 1.0
"""Seconds that a call may take where it cannot be served."""
PATIENCE = 60.0
"""Seconds for every other call."""
LATE = 0.5
"""Seconds after its deadline at which an error counts as late: both cores are busy with the upstreams too."""
PEER_CONVERSATIONS = 30
"""It takes its time."""
CUT_AFTER = 9
"""Events after which a stream is cut: in the middle of the words, on every wire."""
Json = dict[str, Any]
REGIONS = ("eastus", "westus", "swedencentral")
_SECRET = "a secret of the benchmark"


@dataclass(frozen=True)
class Scenario:
    """Where conversations are, and what happens to them."""

    title: str
    upstreams: Callable[[int], list[Upstream]]
    """Made with a seed, so that no two runs use the same words."""
    rows: tuple[tuple[str, str, Json], ...]
    """Model group, upstream, parameters."""
    victims: tuple[str, ...]
    """One run each, with its part of the conversations."""
    group: str
    pinned: bool = False
    """The account keeps the conversation itself."""
    cut: bool = False
    """The third turn is a stream that is cut in the middle, then the account dies."""
    settings: Json = field(default_factory=dict)


def _azure(seed: int) -> list[Upstream]:
    return [HistoryRegion(name, seed=seed) for name in REGIONS]


def _mixed(seed: int) -> list[Upstream]:
    return [AnthropicRegion("anthropic", seed=seed), GeminiRegion("gemini", seed=seed)]


def _azure_and_claude(seed: int) -> list[Upstream]:
    return [HistoryRegion("eastus", seed=seed), AnthropicRegion("anthropic", seed=seed)]


_AZURE = tuple(("gpt", name, {"model": "azure/gpt-5", "api_version": "2025-04-01-preview"}) for name in REGIONS)
_CLAUDE = {"model": "anthropic/claude-sonnet-4-6", "order": 1}
_GEMINI = {"model": "gemini/gemini-3-pro", "order": 2}
_ONE_GROUP = (("chat", "anthropic", _CLAUDE), ("chat", "gemini", _GEMINI))
_FALLBACK = (("claude", "anthropic", _CLAUDE), ("gemini", "gemini", _GEMINI))
_TO_CLAUDE = (("gpt", "eastus", _AZURE[0][2]), ("claude", "anthropic", _CLAUDE))

_UNTIRING = {"disable_cooldowns": True}
"""So that every conversation has its stream cut, not only those that came before the breaker opened."""

SCENARIOS = (
    Scenario("three regions, each third's is killed", _azure, _AZURE, REGIONS, "gpt", pinned=True),
    Scenario("three regions, a stream is cut", _azure, _AZURE, REGIONS, "gpt", pinned=True, cut=True,
             settings=_UNTIRING),
    Scenario("anthropic to gemini, one group", _mixed, _ONE_GROUP, ("anthropic",), "chat"),
    Scenario("anthropic to gemini, by fallback", _mixed, _FALLBACK, ("anthropic",), "claude",
             settings={"fallbacks": [{"claude": ["gemini"]}]}),
    Scenario("anthropic to gemini, a stream is cut", _mixed, _ONE_GROUP, ("anthropic",), "chat", cut=True,
             settings=_UNTIRING),
    Scenario("azure to anthropic, by fallback", _azure_and_claude, _TO_CLAUDE, ("eastus",), "gpt",
             settings={"fallbacks": [{"gpt": ["claude"]}]}),
)  # fmt: skip


@dataclass
class Tally:
    """How the conversations of one scenario and one router ended."""

    scenario: str
    router: str
    promise: str
    conversations: int
    cut: bool = False
    deadline: float = PATIENCE
    """Seconds that a call had after the death."""
    complete: int = 0
    """All turns answered, every answer from the whole history."""
    silent: int = 0
    """Answered, but not from the whole history."""
    errors: Counter[str] = field(default_factory=Counter)
    untyped: int = 0
    late: int = 0
    """Errors that came after their deadline."""
    replayed: int = 0
    """Conversations of which a call was replayed."""
    broken_streams: int = 0
    foreign_ids: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    """Of the first turn after the death."""
    doubled: int = 0
    """Words that are in more than one place of the records."""
    example: str = ""
    """The first unexpected answer, or error."""

    @property
    def failed(self) -> int:
        """Conversations that ended in an error."""
        return self.errors.total()

    def add(self, one: Conversation, turns: int) -> None:
        """Counts a conversation that is over."""
        self.replayed += one.replayed > 0
        self.broken_streams += one.broken_streams
        if one.error is None:
            asked = [word for word in one.record if word.startswith("ask-")]
            self.complete += one.turns == len(asked) == turns and one.pending is None
        elif isinstance(one.error, Unexpected):
            self.silent += 1
        else:
            self.errors[type(one.error).__name__] += 1
            self.untyped += not isinstance(one.error, TurnoutError)
            self.late += one.seconds > self.deadline + LATE
        self.example = self.example or ("" if one.error is None else f"{type(one.error).__name__}: {one.error}")

    def broken_promises(self) -> list[str]:
        """What is not as it should be, in words."""
        if not self.promise:
            return []
        wrong = {
            "ids or reasoning sent to a foreign account": self.foreign_ids,
            "requests that an upstream refused": self.refused.total(),
            "answers without the whole history": self.silent,
            "words in two places": self.doubled,
        }
        if self.promise == "survives":
            wrong["conversations that did not complete"] = self.conversations - self.complete
            wrong["streams that were not cut"] = self.cut * (self.conversations - self.broken_streams)
        else:
            wrong["pinned calls that did not end in an error"] = self.conversations - self.failed
            wrong["errors without a type"] = self.untyped
            wrong["errors after their deadline"] = self.late
        return [f"{what}: {count}" for what, count in wrong.items() if count]

    def figures(self) -> Json:
        """For --json."""
        shown: Json = {"errors": dict(self.errors), "refused": dict(self.refused), "seconds": self.took()}
        return {**vars(self), **shown, "broken": self.broken_promises()}

    def took(self) -> tuple[float, float]:
        """Median and worst time of the first turn after the death; not a number if none got so far."""
        return (statistics.median(self.seconds), max(self.seconds)) if self.seconds else (math.nan, math.nan)


def rows_of(scenario: Scenario, cloud: FakeCloud) -> list[Json]:
    """LiteLLM's model_list."""
    return [
        {
            "model_name": group,
            "litellm_params": {**params, "api_key": f"the-key-of-{name}", "api_base": cloud[name].url},
            "model_info": {"id": name},
        }
        for group, name, params in scenario.rows
    ]


@dataclass(frozen=True)
class Contender:
    """A router, and what is promised of it."""

    name: str
    make: Callable[[list[Json], Json], Any]
    settings: Json = field(default_factory=dict)
    """Of each call after the death."""
    promise: str = ""
    """survives, tells (a typed error in time), or nothing."""


class Outage:
    """One run: conversations that begin on an account, its death, and what follows."""

    def __init__(self, scenario: Scenario, contender: Contender, victim: str, them: list[Conversation]) -> None:
        self.scenario = scenario
        self.contender = contender
        self.victim = victim
        self.them = them

    async def run(self, cloud: FakeCloud, router: Any, turns: int) -> list[float]:
        """Runs it; returns the seconds of the first turns after the death."""
        group, alive = self.scenario.group, cloud[self.victim]
        by_name = partial(asked_of, router, self.victim)
        ask = partial(asked_of, router, group)
        for turn in range(1, DIES_AT):
            await self._all(lambda one, ask=by_name if turn == 1 else ask: one.turn(ask))
        if self.scenario.cut:
            alive.set_fault(Fault("cut", events=CUT_AFTER))
            await self._all(lambda one: one.begin(ask, stream=True))
        else:
            midway = [one for one in self.them if DIES_AT in one.tool_turns and one.rng.random() < 0.5]
            await each([one for one in midway if one.error is None], lambda one: one.begin(ask))
        await asyncio.to_thread(cloud.kill, self.victim)
        seconds: list[float] = []
        for turn in range(DIES_AT, turns + 1):
            left = [one for one in self.them if one.error is None and one.turns < turn]
            await each(left, lambda one: one.turn(ask, **self.contender.settings))
            seconds = seconds or [one.seconds for one in left]
        return seconds

    async def _all(self, what: Callable[[Conversation], Any]) -> None:
        await each([one for one in self.them if one.error is None], what)


async def measure(scenario: Scenario, contender: Contender, count: int, turns: int, seed: int) -> Tally:
    """All conversations of a scenario, one run for each victim."""
    deadline = contender.settings.get("timeout", PATIENCE)
    tally = Tally(scenario.title, contender.name, contender.promise, count, scenario.cut, deadline)
    shares = [count // len(scenario.victims)] * len(scenario.victims)
    shares[0] += count - sum(shares)
    words: list[str] = []
    for number, (victim, share) in enumerate(zip(scenario.victims, shares, strict=True)):
        plain = DIES_AT if scenario.cut else 0
        them = conversations(share, random.Random(f"{seed}:{number}"), plain_turn=plain)
        with FakeCloud(scenario.upstreams(number)) as cloud:
            router = contender.make(rows_of(scenario, cloud), scenario.settings)
            try:
                tally.seconds += await Outage(scenario, contender, victim, them).run(cloud, router, turns)
            finally:
                if hasattr(router, "aclose"):  # LiteLLM's has nothing of the kind
                    await router.aclose()
                    router.close()
            for upstream in cloud.regions.values():
                tally.foreign_ids += upstream.foreign_ids
                tally.refused.update(upstream.refused)
        for one in them:
            tally.add(one, turns)
            words += one.record
    tally.doubled = len(words) - len(set(words))
    return tally


def with_transcripts(rows: list[Json], settings: Json) -> Router:
    return Router(rows, id_secret=_SECRET, timeout=PATIENCE, transcripts=True, **settings)


def without_transcripts(rows: list[Json], settings: Json) -> Router:
    return Router(rows, id_secret=_SECRET, timeout=PATIENCE, transcripts=False, **settings)


def litellm_router(rows: list[Json], settings: Json, *, checks: Sequence[str] = ()) -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    import litellm

    litellm.suppress_debug_info = True
    return litellm.Router(model_list=rows, optional_pre_call_checks=[*checks], num_retries=2, timeout=20, **settings)


OURS = Contender("turnout, transcripts", with_transcripts, promise="survives")
BARE = Contender("turnout, none", without_transcripts, {"timeout": DEADLINE}, promise="tells")
_PROXY = ("fastapi", "backoff", "mcp", "soundfile")
"""Of `litellm[proxy]`: LiteLLM looks in its proxy's code for the history of conversations that no account keeps."""
PEERS = (
    Contender("litellm", litellm_router),
    Contender("litellm, affinity", partial(litellm_router, checks=["responses_api_deployment_check"])),
)


def contenders(scenario: Scenario, *, peer: bool) -> list[Contender]:
    """Who runs a scenario: where an account keeps the conversation, also the Router without transcripts."""
    found = [OURS]
    if scenario.pinned and not scenario.cut:
        found.append(BARE)
    if peer and not scenario.cut and installed("litellm", *(() if scenario.pinned else _PROXY)):
        found.extend(PEERS if scenario.pinned else PEERS[:1])
    return found


def installed(*modules: str) -> bool:
    """True if all of them are."""
    return all(importlib.util.find_spec(name) is not None for name in modules)


def table(tallies: Sequence[Tally]) -> None:
    heads = ("begun", "complete", "error", "silent", "replayed", "cut", "foreign", "refused", "median s", "worst s")
    previous = ""
    for one in tallies:
        if one.scenario != previous:
            print(f"\n{one.scenario}")
            print(" " * 24 + "".join(f"{head:>10}" for head in heads))
            previous = one.scenario
        counts = (one.conversations, one.complete, one.failed, one.silent, one.replayed, one.broken_streams,
                  one.foreign_ids, one.refused.total())  # fmt: skip
        print(f"  {one.router:22}" + "".join(f"{value:>10}" for value in counts)
              + "".join(f"{value:>10.3f}" for value in one.took()))  # fmt: skip
        for text in (
            ", ".join(f"{name} {times}" for name, times in one.errors.items()),
            one.example.partition("\n")[0][:200],
        ):
            if text:
                print(f"      {text}")
        for text in one.broken_promises():
            print(f"      BROKEN: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=500)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--without-peer", action="store_true")
    options = parser.parse_args()
    if options.conversations < len(REGIONS) or options.turns < DIES_AT:
        parser.error(f"it takes {len(REGIONS)} conversations of {DIES_AT} turns")
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    tallies: list[Tally] = []
    for scenario in SCENARIOS:
        for contender in contenders(scenario, peer=not options.without_peer):
            print(f"{scenario.title}: {contender.name} ...", file=sys.stderr, flush=True)
            count = options.conversations if contender.promise else min(options.conversations, PEER_CONVERSATIONS)
            found = measure(scenario, contender, count, options.turns, options.seed)
            tallies.append(asyncio.run(found))
    if options.json:
        print(json.dumps([one.figures() for one in tallies], indent=1))
    else:
        table(tallies)
        if not installed("litellm", *_PROXY):
            print("\nlitellm[proxy]: not installed, compared in part or not at all")
    broken = [f"{one.scenario}, {one.router}: {text}" for one in tallies for text in one.broken_promises()]
    print(f"\n{len(broken)} promises broken" if broken else "\nall promises kept", file=sys.stderr)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
