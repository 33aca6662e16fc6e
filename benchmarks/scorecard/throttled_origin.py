"""Scenario 13: conversations go on while the account that holds them answers 429 and says when to come back."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks.scorecard.correctness_result import CorrectnessResult, share
from benchmarks.scorecard.witness import GROUP, Json, Witness, last_event, region, row, text_of
from turnout.errors import TurnoutError
from turnout.sim.clock import run
from turnout.sim.service import Service, ServiceModel, Size
from turnout.sim.simulated_router import SimulatedRouter

CONVERSATIONS = 24
"""Of each layout."""
_BEGINS, _THROTTLED, _LASTS = 8.0, 10.0, 20.0
"""Seconds in which conversations begin, at which the throttling does, and for which it lasts."""
_TPM = 60_000.0
_CAPACITY = 0.01
"""With an empty bucket, a call of 200 tokens then has to wait for 20 seconds."""
_INPUT = "word " * 80
_PATIENT, _HASTY = 60.0, 5.0
"""Deadlines in seconds: one that outlasts the throttling, and one that does not."""
_LATE = 0.05


@dataclass(frozen=True, slots=True)
class Layout:
    """Who is there, and how the origin is throttled."""

    deployments: int
    peer: bool
    """A second deployment is on the origin's account, with room."""
    by_limit: bool
    """The account's limit is used up by others; if not, everything there gets a 429 for five seconds at a time."""
    transcripts: bool = False


LAYOUTS = (
    Layout(2, peer=False, by_limit=True),
    Layout(2, peer=False, by_limit=False),
    Layout(3, peer=True, by_limit=True),
    Layout(3, peer=False, by_limit=True, transcripts=True),
    Layout(6, peer=True, by_limit=False),
    Layout(16, peer=False, by_limit=True),
)


@dataclass(slots=True)
class Tally:
    """What became of the follow-ups."""

    follow_ups: int = 0
    served: int = 0
    replayed: int = 0
    typed: int = 0
    """TurnoutErrors within the deadline."""
    late: int = 0
    untyped: int = 0
    wrong_history: int = 0
    """Answers from another turn of the conversation than the one before."""
    misrouted: int = 0
    throttles: int = 0
    errors: Counter[str] = field(default_factory=Counter)


def throttled_origin(seed: int, layouts: tuple[Layout, ...] = LAYOUTS) -> CorrectnessResult:
    """Scenario 13, in virtual time."""
    tally = Tally()
    for number, layout in enumerate(layouts):
        run(_play(layout, tally, random.Random(f"throttled origin:{seed}:{number}")))
    handled = share(tally.served + tally.typed, tally.follow_ups)
    measured = {
        "follow_ups": tally.follow_ups,
        "misrouted": tally.misrouted,
        "served_pct": share(tally.served, tally.follow_ups),
        "replayed": tally.replayed,
        "typed_errors": tally.typed,
        "served_or_typed_pct": handled,
        "late": tally.late,
        "untyped_errors": tally.untyped,
        "wrong_history": tally.wrong_history,
        "throttles": tally.throttles,
    }
    wrong = tally.misrouted + tally.untyped + tally.wrong_history
    passed = wrong == 0 and handled >= 99.0 and tally.served > 0 and tally.throttles > 0
    gate = "0 misrouted; served within the deadline or a typed error >= 99 %"
    return CorrectnessResult(13, "origin throttled, follow-ups by id", measured, gate, passed)


async def _play(layout: Layout, tally: Tally, rng: random.Random) -> None:
    seed = rng.getrandbits(32)
    origin = region("region-0", ServiceModel(tpm=_TPM if layout.by_limit else None), seed=seed)
    others = [
        region(f"region-{n}", ServiceModel(), seed=seed, account=origin if layout.peer and n == 1 else None)
        for n in range(1, layout.deployments)
    ]
    network = Witness([origin, *others])
    rows = [row(name, "region-0" if layout.peer and name == "region-1" else None) for name in network.plain]
    router = SimulatedRouter(rows, network, seed=seed, transcripts=layout.transcripts)
    async with router, asyncio.TaskGroup() as group:
        group.create_task(_throttle(network.services[origin.name], by_limit=layout.by_limit))
        for _ in range(CONVERSATIONS):
            group.create_task(_converse(router, tally, random.Random(rng.getrandbits(64))))
            group.create_task(_ask_once(router, rng.uniform(_THROTTLED, _THROTTLED + _LASTS)))
    tally.misrouted += network.misrouted
    tally.throttles += network.refusals[429]


async def _throttle(service: Service, *, by_limit: bool) -> None:
    await asyncio.sleep(_THROTTLED)
    if by_limit:
        now = asyncio.get_running_loop().time()
        while service.plan(Size(1000, 0), now).status == 200:
            pass  # somebody else uses up the account's limit
    condition, ill, well = ("capacity", _CAPACITY, 1.0) if by_limit else ("throttled", True, False)
    service.change(condition, ill)
    await asyncio.sleep(_LASTS)
    service.change(condition, well)


async def _ask_once(router: SimulatedRouter, at: float) -> None:
    """A call that is bound to nobody, in between."""
    await asyncio.sleep(at)
    await router.aresponses(GROUP, _INPUT, timeout=_PATIENT)


async def _converse(router: SimulatedRouter, tally: Tally, rng: random.Random) -> None:
    """One conversation: it begins on the origin, and is taken up three times, first while that one is throttled."""
    await asyncio.sleep(rng.uniform(0.0, _BEGINS))
    previous = (await router.aresponses("region-0", _INPUT, timeout=_PATIENT)).id
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(max(_THROTTLED - now, 0.0) + rng.uniform(0.0, _LASTS * 0.8))
    turn = 2
    for _ in range(3):
        limit = _PATIENT if rng.random() < 0.8 else _HASTY
        asked: Json = {"previous_response_id": previous, "timeout": limit, "stream": rng.random() < 0.5}
        answer = await _follow_up(router, tally, asked)
        if answer is None:
            return
        response, replayed = answer
        previous, turn = response.id, 1 if replayed else turn
        tally.wrong_history += f" turn {turn}:" not in text_of(response)
        turn += 1
        await asyncio.sleep(rng.uniform(0.5, 8.0))


async def _follow_up(router: SimulatedRouter, tally: Tally, asked: Json) -> tuple[Any, bool] | None:
    clock = asyncio.get_running_loop().time
    started = clock()
    tally.follow_ups += 1
    try:
        answer = await router.aresponses(GROUP, _INPUT, **asked)
        response = (await last_event(answer))[0] if asked["stream"] else answer
        if response.status == "failed":  # a stream that begun, and was not complete by its deadline
            raise answer.error
    except TurnoutError as error:
        tally.errors[type(error).__name__] += 1
        on_time = clock() - started <= asked["timeout"] + _LATE
        tally.typed += on_time
        tally.late += not on_time
        return None
    except Exception as error:  # noqa: BLE001 (whatever a router raises is counted)
        tally.errors[type(error).__name__] += 1
        tally.untyped += 1
        return None
    on_time = clock() - started <= asked["timeout"] + _LATE
    tally.served += on_time
    tally.late += not on_time
    replayed = response.about.route.affinity == "replayed"
    tally.replayed += replayed
    return response, replayed
