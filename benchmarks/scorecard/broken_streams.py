"""Scenario 16: connections break in the middle of streams. What was said stands, and nothing is asked twice."""

import asyncio
import random
from collections import Counter

from benchmarks.scorecard.correctness_result import CorrectnessResult
from benchmarks.scorecard.witness import GROUP, Witness, held_by, last_event, region, row, text_of
from turnout.errors import TurnoutError
from turnout.sim.clock import run
from turnout.sim.service import ServiceModel
from turnout.sim.simulated_router import SimulatedRouter

CALLS = 150
"""For each number of deployments."""
_RATE = 5.0
_CUT, _ERRORS = 0.3, 0.1
"""Share of streams that are cut after their first output, and of requests that fail before it."""
_ENDING = "all signals are green"
_NO_LIMIT = 10**12
_HEDGED = {"after": 0.4, "budget": 1.0}
"""From three deployments on, a stream that shows nothing for 0.4 s is asked for elsewhere too."""


def broken_streams(seed: int, deployments: tuple[int, ...] = (2, 3, 8)) -> CorrectnessResult:
    """Scenario 16, in virtual time.

    Before the first output a request may be sent again, because it failed or to hedge it, and some are. Tokens of a
    stream that breaks are those of the whole answer, which a provider charges at admission; the Router may count more,
    and never fewer.
    """
    count: Counter[str] = Counter()
    for number in deployments:
        run(_play(number, count, random.Random(f"broken streams:{seed}:{number}")))
    names = ("streams", "completed", "broken", "sent_again_before_output", "refused")
    zero = ("resent_after_output", "not_told", "text_lost", "untyped_errors", "in_flight", "tokens_not_counted")
    measured = {name: count[name] for name in (*names, *zero)}
    happened = all(measured[name] > 0 for name in ("completed", "broken", "sent_again_before_output"))
    passed = happened and not any(measured[name] for name in zero)
    gate = "0 sent again after the first output; each break told as response.failed; in_flight 0; tokens counted"
    return CorrectnessResult(16, "streams cut in the middle", measured, gate, passed)


async def _play(deployments: int, count: Counter[str], rng: random.Random) -> None:
    model, seed = ServiceModel(per_output_token=0.005), rng.getrandbits(32)
    regions = [region(f"region-{n}", model, seed=seed) for n in range(deployments)]
    network = Witness(regions)
    for service in network.services.values():
        service.change("cut", _CUT)
        service.change("errors", _ERRORS)
    rows = [row(name, tpd=_NO_LIMIT) for name in network.plain]
    hedge = _HEDGED if deployments > 2 else None
    async with SimulatedRouter(rows, network, seed=seed, timeout=60, hedge=hedge) as router:
        async with asyncio.TaskGroup() as group:
            for number in range(CALLS):
                await asyncio.sleep(rng.expovariate(_RATE))
                group.create_task(_one(router, count, str(number), rng.randint(20, 400), rng.randint(1, 900)))
        counted = sum(one.used["tpd"][0] for one in router.status())
        count["tokens_not_counted"] += max(round(network.charged - counted), 0)
        count["in_flight"] += held_by(router) + network.left_under_way()
    count["resent_after_output"] += network.resent
    count["sent_again_before_output"] += sum(network.sent[call] > 1 for call in network.shown)


async def _one(router: SimulatedRouter, count: Counter[str], call: str, words: int, letters: int) -> None:
    count["streams"] += 1
    metadata = {"call": call, "words": str(words)}
    try:
        stream = await router.aresponses(GROUP, "x" * letters, stream=True, max_output_tokens=words, metadata=metadata)
        response, heard, ends = await last_event(stream)
    except TurnoutError:
        count["refused"] += 1
        return
    except Exception:  # noqa: BLE001 (whatever a router raises is counted)
        count["untyped_errors"] += 1
        return
    if ends != 1:
        count["not_told"] += 1
        return
    count["text_lost"] += text_of(response) != heard or not heard
    if response.status == "failed":
        count["broken"] += 1
        count["not_told"] += not isinstance(stream.error, TurnoutError) or stream.response is not response
    else:
        count["completed"] += 1
        count["not_told"] += not heard.endswith(_ENDING)
