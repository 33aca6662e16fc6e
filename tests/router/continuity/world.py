"""Routers, accounts and a clock under the hand of a state machine, and what the model hopes for."""

from collections.abc import Sequence
from random import Random
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.conftest import in_flight
from tests.router.continuity.model import TTL, Said, Talk, text_of
from turnout import Router
from turnout.cache.memory_turns import MemoryTurns
from turnout.context import Pick
from turnout.deployment import Deployment
from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.faults import Fault, outage, throttle
from turnout.sim.gemini_region import GeminiRegion
from turnout.sim.history import HistoryRegion, hear
from turnout.sim.words import new_word, read_answer, words_of

ACCOUNTS = ("eastus", "westus", "north")
"""They keep what is said themselves."""
GROUPS = {
    "accounts": ACCOUNTS,
    "mixed": ("eastus", "claude", "gemini"),
    "stateless": ("claude", "gemini"),
}
MODELS = {"claude": "anthropic/claude-sonnet-4-6", "gemini": "gemini/gemini-3-pro"}
TENANTS = ("", "ann", "bob")
TOOL = "look_up"
TOOLS = [
    {"type": "function", "name": TOOL, "parameters": {"type": "object", "properties": {"note": {"type": "string"}}}}
]
UNKNOWN = "no response with this id (status 404)"
HOLE = "an earlier response of this conversation was deleted, has expired, or was not kept (status 404)"
NO_TALK = "no conversation with this id (status 404)"
FAULTS = {
    "503": lambda: outage(503),
    "one 503": lambda: Fault("status", 503, times=1),
    "429": lambda: throttle({"retry-after": "30"}),
    "short 429": lambda: throttle({"retry-after": "0.02"}, times=1),
    "cut": lambda: Fault("cut", events=9),
    "cut at once": lambda: Fault("cut", events=0, times=1),
}
WHICH = st.sampled_from([0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 6, 9, 14, 20])
"""Counted from the newest."""
Hope = Literal["answer", "refusal", "either"]


def words_heard(items: Any) -> tuple[str, ...]:
    """The words of listed items."""
    heard = [turn for item in items if (turn := hear(item.to_dict())) is not None]
    return tuple(words_of(heard))


class AnyOne:
    """A strategy that draws by itself, so that an example can be run again."""

    def __init__(self) -> None:
        self._rng = Random(0)

    def pick(self, candidates: Sequence[Deployment], pick: Pick) -> Deployment:
        return candidates[self._rng.randrange(len(candidates))]


class World(RuleBasedStateMachine):
    """One process after another, five accounts, and what was said."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0
        self.rng = Random(0)
        self.cloud = FakeCloud(
            [*(HistoryRegion(name) for name in ACCOUNTS), AnthropicRegion("claude"), GeminiRegion("gemini")]
        )
        self.cloud.__enter__()
        self.read = dict.fromkeys(self.cloud.regions, 0)
        self.stores: list[MemoryTurns] = []
        self.secrets = ["the first secret of all"]
        self.said: list[Said] = []
        self.talks: list[Talk] = []
        self.ill: str | None = None
        """The account that is down, or has a fault: one at a time, so that there is always somewhere to go."""
        self.router = self.open(fresh=True)

    def teardown(self) -> None:
        self.router.close()
        self.cloud.__exit__(None, None, None)

    # --- the process

    def open(self, *, fresh: bool) -> Router:
        if fresh:
            self.stores.append(MemoryTurns(timer=lambda: self.time))
        rows = [self.row(group, region) for group, regions in GROUPS.items() for region in regions]
        kept = {"store": self.stores[-1], "ttl": TTL}
        return Router(
            rows,
            transcripts=kept,
            id_secret=self.secrets,
            routing_strategy=AnyOne(),
            num_retries=0,
            disable_cooldowns=True,
            timeout=10.0,
            max_wait=0.1,
        )

    def row(self, group: str, region: str) -> dict[str, Any]:
        params = {"model": MODELS.get(region, "azure/gpt-5"), "api_key": "k", "api_base": self.cloud[region].url}
        return {"model_name": group, "litellm_params": params, "model_info": {"id": f"{group}/{region}"}}

    @property
    def store(self) -> int:
        return len(self.stores) - 1

    @rule(what=st.sampled_from(["restart", "restart", "lose the store", "rotate", "rotate", "drop old secrets"]))
    def begin_again(self, what: str) -> None:
        """Another process: with the same store or an empty one, with the same secrets or others."""
        if what in ("rotate", "drop old secrets"):
            fresh = f"secret number {self.rng.getrandbits(32)}"
            self.secrets = [fresh, *self.secrets][: 3 if what == "rotate" else 1]
        self.router.close()
        self.router = self.open(fresh=what == "lose the store")

    @rule(share=st.sampled_from([0.2, 0.3, 0.6, 1.1]))
    def wait(self, share: float) -> None:
        self.time += share * TTL

    # --- the accounts

    @precondition(lambda self: self.ill is None and self.said)
    @rule(which=WHICH, how=st.sampled_from(["down", "down", *FAULTS]))
    def fall_ill(self, which: int, how: str) -> None:
        """The account that gave a response is down, or has a fault."""
        self.ill = self.nth(which).region
        if how == "down":
            self.cloud.kill(self.ill)
        else:
            self.cloud[self.ill].set_fault(FAULTS[how]())

    def nth(self, which: int) -> Said:
        return self.said[-1 - which % len(self.said)]

    @precondition(lambda self: self.ill is not None)
    @rule()
    def recover(self) -> None:
        assert self.ill is not None
        self.cloud.revive(self.ill)
        self.cloud[self.ill].set_fault(None)
        self.ill = None

    @rule(name=st.sampled_from(ACCOUNTS))
    def forget(self, name: str) -> None:
        """An account loses what it kept."""
        self.account(name).responses.clear()

    def account(self, name: str) -> HistoryRegion:
        region = self.cloud[name]
        assert isinstance(region, HistoryRegion)
        return region

    def holds(self, said: Said) -> bool:
        """True if the account has the response."""
        return said.raw is not None and said.raw in self.account(said.region).responses

    # --- what is hoped for

    def hope(self, before: Said | None, group: str) -> Hope:
        """What must become of a call that follows a response."""
        well = self.ill not in GROUPS[group]
        if before is None:
            return "answer" if well else "either"
        if before.secret not in self.secrets:
            return "refusal"
        kept = before.is_whole(self.store, self.time)
        if before.region in ACCOUNTS:
            if self.holds(before) and before.region in GROUPS[group]:
                if self.ill != before.region:
                    return "answer"
                return "answer" if kept else "either"
            well = well or self.ill == before.region
            if self.ill == before.region and not self.holds(before):
                well = False
        if kept is None:
            return "either"
        return "refusal" if not kept else "answer" if well else "either"

    # --- talking

    def given(self, before: Said | None, *, tool: bool = False) -> tuple[str, Any]:
        """What the user says next: the result of the call before, or a word."""
        if before is not None and before.call_id is not None:
            word = new_word("got", self.rng)
            return word, [{"type": "function_call_output", "call_id": before.call_id, "output": word}]
        word = new_word("ask", self.rng)
        return word, f"Please {TOOL} {word}." if tool else f"Well, {word}."

    def ask(self, group: str, given: Any, more: dict[str, Any]) -> tuple[Any, str]:
        """The response, and who gave it."""
        answer = self.router.responses(group, given, tools=TOOLS, **more)
        if not more.get("stream"):
            return answer, answer.route.deployment.partition("/")[2]
        with answer as events:
            response = list(events)[-1].response
        return response, answer.route.deployment.partition("/")[2]

    def note(
        self, response: Any, region: str, before: Said | None, word: str, tenant: str, *, kept: bool, talk: bool = False
    ) -> Said | None:
        """Checks an answer against the model, and puts it there."""
        heard = (*(before.words if before is not None else ()), word)
        raw = None
        if region in ACCOUNTS and response.store:
            raw = list(self.account(region).responses)[-1]
        if response.status == "failed":
            assert self.ill == region, response.error
            words, call_id, kept = self.read_kept(region, raw) if raw is not None else None, None, False
            if words is None:
                return None
        else:
            text, call_id = text_of(response.output)
            answer = read_answer(text)
            assert answer is not None, text
            words = (*answer[1], answer[0])
        assert words[:-1] == heard, "the history is not the whole history, or another"
        if before is not None and not talk:
            assert response.previous_response_id is not None
            if before.region in ACCOUNTS:
                assert response.route.affinity == "replayed" or region == before.region
        said = self.new(response.id, tenant, words, before, region=region, raw=raw, kept=kept)
        said.call_id = call_id
        said.finished = response.status == "completed"
        if kept:
            said.written(self.time, whole=talk or before is None or before.region not in ACCOUNTS)
        self.said.append(said)
        return said

    def new(self, response_id: str, tenant: str, words: tuple[str, ...], before: Said | None, **more: Any) -> Said:
        """Something that was just said."""
        return Said(response_id, tenant, words, before, self.store, self.secrets[0], **more)

    def read_kept(self, region: str, raw: str) -> tuple[str, ...] | None:
        """The words of a response that the account made and the caller has not seen the end of; None for a call."""
        for item in self.account(region).responses[raw]["output"]:
            answer = read_answer(item["content"][0]["text"]) if item["type"] == "message" else None
            if answer is not None:
                return (*answer[1], answer[0])
        return None

    # --- looking, and checking that nothing else went out

    @property
    def requests(self) -> int:
        return sum(region.requests for region in self.cloud.regions.values())

    @invariant()
    def nothing_foreign_was_sent(self) -> None:
        for name, region in self.cloud.regions.items():
            assert isinstance(region, HistoryRegion | AnthropicRegion | GeminiRegion)
            for entry in list(region.journal)[self.read[name] :]:
                region.account.check_ids({"path": entry.path, "body": dict(entry.body)})
            self.read[name] = len(region.journal)
            assert set(region.refused) <= {"not stored"}, region.refused

    @invariant()
    def nothing_is_under_way(self) -> None:
        assert in_flight(self.router) == 0
