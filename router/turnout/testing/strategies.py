"""What the Router expects of a strategy.

    @pytest.mark.parametrize("rule", STRATEGY_RULES.values(), ids=STRATEGY_RULES)
    def test_my_strategy(rule):
        rule(MyStrategy)

Every rule takes a function that makes a fresh strategy, and if need be one that makes the rows of `model_list` that
count as equals for it (`make_row(group, number)`).
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from random import Random
from threading import Lock
from typing import Any, get_args

from turnout.context import Call, Observation, Pick
from turnout.deployment import Deployment
from turnout.protocols import Learns, Strategy
from turnout.testing.rules import Rule, check_all, in_threads, need, table
from turnout.testing.traffic import MakeRow, Traffic, a_call, deployments_of, plain_row
from turnout.testing.watching import Unchanged, no_waiting
from turnout_adapters.types.route import Outcome

MakeStrategy = Callable[[], Strategy]

SIZES = (1, 2, 5, 100)
_NOW = 1_000.0
_RECOVERS = 1_060.0
_WEIGHTS = (0.0, 0.5, 3.0, 0.0, 1.0)
_TOKENS = ((None, None), (0, 0), (40, 100))
_WHO = "the strategy"


def picks_one_of_the_candidates(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """Whatever the candidates are like and whatever the call is: one of the very objects that were given."""
    strategy = make_strategy()
    for situation, candidates in _situations(make_row):
        for call in _calls():
            for given in (candidates, tuple(candidates)):
                for uniform in (False, True):
                    pick = Pick(call, _NOW, Random(len(candidates)), uniform)
                    chosen: object = strategy.pick(given, pick)
                    right = any(chosen is one for one in candidates)
                    text = f"of {len(candidates)} candidates ({situation}) for {call!r} it picked {chosen!r}"
                    need(right, f"{text}, which is none of them")


def changes_nothing(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """Candidates are the Router's own list of its own deployments: neither the list nor they are changed."""
    strategy = make_strategy()
    for situation, candidates in _situations(make_row):
        for call in _calls():
            given, before, body = list(candidates), Unchanged(candidates), repr(call.body)
            for seed in range(3):
                strategy.pick(given, Pick(call, _NOW, Random(seed)))
            same = len(given) == len(candidates) and all(map(lambda one, other: one is other, given, candidates))
            need(same, f"it changed the list of candidates ({situation})")
            before.confirm(_WHO)
            need(repr(call.body) == body, "it changed the body of the call")


def does_not_wait_or_ask_a_clock(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """It is called under the Router's lock, and in simulations: no I/O, no sleep, and the time is `pick.now`."""
    strategy = make_strategy()
    for _, candidates in _situations(make_row):
        for call in _calls():
            strategy.pick(candidates, Pick(call, _NOW, Random(1)))  # what it loads at first use is no matter
            with no_waiting(_WHO, clocks=True):
                strategy.pick(candidates, Pick(call, _NOW, Random(1)))


def is_replayed_by_the_same_seed(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """The same calls at the same times with the same chance go the same ways: chance comes from `pick.rng` only."""

    def places(seed: int) -> list[str]:
        traffic = Traffic(make_strategy(), make_row, seed=seed, seconds=_uneven)
        traffic.join("a", *range(7))
        return traffic.run("a", 300, 0.2)

    for seed in (1, 2):
        once, again = places(seed), places(seed)
        differ = next((at for at, (one, other) in enumerate(zip(once, again, strict=True)) if one != other), None)
        need(
            differ is None, f"call {differ} of two equal runs went to different deployments: take chance from pick.rng"
        )


def shares_calls_among_equals(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """Of equal deployments each gets calls, and none gets three times its share, idle or busy."""
    for size in (2, 5, 60):
        for every in (2.0, 0.1):
            traffic = Traffic(make_strategy(), make_row)
            traffic.join("a", *range(size))
            _need_shared(traffic.run("a", 60 * size, every), size, f"calls come each {every:g} s")
            traffic.finish()


def keeps_groups_apart(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """One strategy serves all model groups: calls that alternate between groups are shared within each."""
    for sizes in ((2, 2), (4, 2, 2)):
        traffic = Traffic(make_strategy(), make_row)
        groups = [f"group{number}" for number in range(len(sizes))]
        for group, size in zip(groups, sizes, strict=True):
            traffic.join(group, *range(size))
        places: dict[str, list[str]] = {group: [] for group in groups}
        for _ in range(240):
            for group in groups:
                places[group].append(traffic.call(group))
                traffic.advance(2.0)
        for group, size in zip(groups, sizes, strict=True):
            _need_shared(places[group], size, f"calls alternate between {len(groups)} model groups")


def finds_who_joins_and_forgets_who_left(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """Deployments come and go between calls; one that comes back under its old id is another object."""
    traffic = Traffic(make_strategy(), make_row)
    traffic.join("a", 0, 1)
    traffic.run("a", 100, 0.5)
    for number in range(2, 12):
        traffic.join("a", number)
        joined, left = traffic.id_of("a", number), traffic.id_of("a", number - 2)
        need(joined in traffic.run("a", 400, 0.5), f"a deployment that joined got none of 400 calls ({joined})")
        traffic.leave("a", number - 2)
        need(left not in traffic.run("a", 50, 0.5), f"a deployment that had left was chosen ({left})")
        traffic.join("a", number - 2)
        need(left in traffic.run("a", 400, 0.5), f"a deployment that came back got none of 400 calls ({left})")
        traffic.leave("a", number - 2)
    traffic.finish()


def returns_to_one_that_was_slow(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """A deployment that was slow for a minute is tried again within ten: nobody is shunned for ever."""
    slow = deployments_of([make_row("a", 0)])[0].id

    def seconds(deployment: Deployment, now: float) -> float:
        return 20.0 if deployment.id == slow and now < _RECOVERS else 1.0

    for stream in (False, True):
        traffic = Traffic(make_strategy(), make_row, seconds=seconds)
        traffic.join("a", 0, 1, 2)
        while traffic.now < _RECOVERS:
            traffic.call("a", stream=stream)
            traffic.advance(0.5)
        later: set[str] = set()
        while traffic.now < _RECOVERS + 600:
            later.add(traffic.call("a", stream=stream))
            traffic.advance(0.5)
        need(slow in later, "a deployment that was slow for a minute got no call in the ten minutes after it")


def learns_from_every_end(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """For strategies with `started` and `finished`: they take the end of any attempt, and do not wait.

    Attempts end in all ways and in any order, also on deployments that the strategy never picked (those of pinned
    calls, probes, an only candidate), and on some that have left.
    """
    strategy = make_strategy()
    if not isinstance(strategy, Learns):
        return
    deployments = deployments_of([make_row("a", number) for number in range(4)])
    deployments[-1].removed = True
    ends = product((*get_args(Outcome), None), _TOKENS, (None, 0.5))
    for step, (outcome, tokens, first_event) in enumerate(ends):
        now = _NOW + step
        tokens_of: dict[str, list[object]] = {one.id: [] for one in deployments}
        for one in (*deployments, *deployments):
            one.in_flight += 1
            with _only_looking(one):
                call = a_call(number=step, now=now, stream=first_event is not None)
                tokens_of[one.id].append(strategy.started(one, call, now))
        for late, one in enumerate((*reversed(deployments), *deployments)):
            one.in_flight -= 1
            token = tokens_of[one.id].pop()
            if first_event is not None:
                strategy.answering(one, token, now)
            seen = Observation(now, now + late / 10, outcome, *tokens, first_event, token=token)
            with _only_looking(one):
                strategy.finished(one, seen)
    picked: object = strategy.pick(deployments[:3], Pick(a_call(), _NOW + 1_000.0, Random(1)))
    need(any(picked is one for one in deployments[:3]), f"after ends of all kinds it picked {picked!r}")


@contextmanager
def _only_looking(deployment: Deployment) -> Generator[None]:
    """Neither changes the deployment nor waits."""
    before = Unchanged([deployment])
    with no_waiting(_WHO, clocks=True):
        yield
    before.confirm(_WHO)


def works_from_any_thread(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """Calls come from any thread, one at a time, with no event loop in sight."""
    strategy, lock = make_strategy(), Lock()
    candidates = deployments_of([make_row("a", number) for number in range(5)])

    def work(number: int) -> None:
        rng = Random(number)
        for step in range(50):
            with lock:
                chosen: object = strategy.pick(candidates, Pick(a_call(number=step), _NOW + step, rng))
            need(any(chosen is one for one in candidates), f"from another thread it picked {chosen!r}")

    in_threads(work)


STRATEGY_RULES: Mapping[str, Rule] = table(
    picks_one_of_the_candidates,
    changes_nothing,
    does_not_wait_or_ask_a_clock,
    is_replayed_by_the_same_seed,
    shares_calls_among_equals,
    keeps_groups_apart,
    finds_who_joins_and_forgets_who_left,
    returns_to_one_that_was_slow,
    learns_from_every_end,
    works_from_any_thread,
)


def check_strategy(make_strategy: MakeStrategy, make_row: MakeRow = plain_row) -> None:
    """Checks a strategy against all rules. Raises AssertionError that names each rule it breaks.

    `make_strategy` makes a fresh one each time; `make_row(group, number)` a row of `model_list`, where the strategy
    looks at more than the plain rows have. Rows of one group are to be equals in its eyes.
    """
    check_all(STRATEGY_RULES, make_strategy, make_row)


# --- situations


def _calls() -> Iterator[Call]:
    """Calls of all kinds."""
    yield a_call()
    yield a_call(stream=True)
    yield replace(a_call(), body={}, operation="retrieve", response_id="resp_1", stateless=True)
    yield replace(a_call(), body={"input": [{"role": "user", "content": [{"type": "input_text", "text": "x" * 9}]}]})
    yield replace(a_call(), body={"input": "", "max_output_tokens": None, "tools": []}, tags=("fast",))


def _situations(make_row: MakeRow) -> Iterator[tuple[str, Sequence[Deployment]]]:
    """Candidates of all numbers, in all states in which the Router offers them."""
    for size in SIZES:
        rows = [make_row("a", number) for number in range(size)]
        yield "fresh ones", deployments_of(rows)
        yield "busy ones with a past", _with_a_past(deployments_of(rows))
        yield (
            "weighted and priced ones",
            _with_a_past(deployments_of([_uneven_row(row, at) for at, row in enumerate(rows)])),
        )
        yield "ones without weight", deployments_of([_with_params(row, weight=0.0) for row in rows])


def _with_a_past(deployments: Sequence[Deployment]) -> Sequence[Deployment]:
    for number, one in enumerate(deployments):
        one.in_flight = number % 4
        one.latency.unary = None if number % 3 == 0 else 0.01 * (number % 7)
        one.latency.first_event = None if number % 5 == 0 else 0.1 * (number % 6)
        one.latency.updated = _NOW - 30.0 * (number % 2)
        one.health.samples, one.health.success, one.health.failures = number, 0.5 + 0.5 / (number + 1), (number + 1) % 3
        one.health.last_success = None if number % 4 else _NOW - 1.0
        one.health.recovered_at = _NOW - 5.0 if number % 6 == 1 else None
    return deployments


def _with_params(row: Mapping[str, Any], **params: Any) -> Mapping[str, Any]:
    key = "params" if "params" in row else "litellm_params"
    return {**row, key: {**row[key], **params}}


def _uneven_row(row: Mapping[str, Any], number: int) -> Mapping[str, Any]:
    prices = {"input_cost_per_token": 1e-6 * number, "output_cost_per_token": 2e-6} if number % 2 else {}
    return _with_params(row, weight=_WEIGHTS[number % len(_WEIGHTS)], **prices)


def _uneven(deployment: Deployment, now: float) -> float:
    return 0.5 + (sum(map(ord, deployment.id)) % 7) / 5 + (now % 3) / 10


def _need_shared(places: Sequence[str], size: int, when: str) -> None:
    counts = Counter(places)
    share = len(places) / size
    need(
        len(counts) == size,
        f"{size - len(counts)} of {size} equal deployments got none of {len(places)} calls ({when})",
    )
    most = max(counts.values())
    limit = 3 * share if size > 2 else 0.9 * len(places)
    need(most <= limit, f"one of {size} equal deployments got {most} of {len(places)} calls ({when})")
