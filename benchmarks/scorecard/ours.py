"""Plays a scenario with the real Router in virtual time."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.scorecard.scenario import RETRIES, Scenario
from turnout.errors import TurnoutError
from turnout.sim.clock import run
from turnout.sim.network import VirtualNetwork
from turnout.sim.plain_region import PlainRegion
from turnout.sim.record import Outcome, tries_of
from turnout.sim.schedule import follow
from turnout.sim.simulated_router import SimulatedRouter
from turnout.sim.traffic import Arrival

_PROSE = "x" * 1_000_000


def play(
    scenario: Scenario,
    seed: int,
    strategy: Any = "adaptive",
    *,
    patch: Callable[[SimulatedRouter], None] | None = None,
    **settings: Any,
) -> list[Outcome]:
    """What became of each call. `patch` changes each Router before the first one."""
    return run(_play(scenario, seed, strategy, patch, settings))


async def _play(
    scenario: Scenario,
    seed: int,
    strategy: Any,
    patch: Callable[[SimulatedRouter], None] | None,
    settings: Mapping[str, Any],
) -> list[Outcome]:
    services = scenario.services(seed)
    network = VirtualNetwork([PlainRegion(one, seed=seed) for one in services.values()])
    routers = [
        SimulatedRouter(
            [_row(scenario, name) for name in scenario.regions if name not in scenario.joins],
            network,
            seed=seed * 1000 + worker,
            routing_strategy=strategy if isinstance(strategy, str) else strategy(),
            timeout=scenario.deadline,
            attempt_timeout=scenario.attempt_timeout,
            num_retries=RETRIES,
            **settings,
        )
        for worker in range(scenario.workers)
    ]
    for router in routers if patch is not None else ():
        patch(router)
    faults = asyncio.ensure_future(follow(scenario.changes(), services))
    joining = [asyncio.ensure_future(_join(scenario, name, at, routers)) for name, at in scenario.joins.items()]
    loop = asyncio.get_running_loop()
    mistaken = scenario.mistaken(seed)
    calls: list[asyncio.Task[Outcome]] = []
    for number, (arrival, wrong) in enumerate(zip(scenario.arrivals, mistaken, strict=True)):
        if arrival.at > loop.time():
            await asyncio.sleep(arrival.at - loop.time())
        calls.append(loop.create_task(_call(routers[number % len(routers)], arrival, wrong=wrong)))
    done = await asyncio.gather(*calls)
    for task in (faults, *joining):
        task.cancel()
    await asyncio.gather(faults, *joining, return_exceptions=True)
    for router in routers:
        await router.aclose()
    return done


def _row(scenario: Scenario, name: str) -> dict[str, Any]:
    params: dict[str, Any] = {"model": "azure/gpt-4o", "api_key": "none", "api_base": f"https://{name}.simulated"}
    model = scenario.regions[name]
    if scenario.configured and model.tpm is not None:
        params["tpm"] = int(model.tpm)
    if scenario.configured and model.rpm is not None:
        params["rpm"] = int(model.rpm)
    return {"model_name": "gpt", "litellm_params": params, "model_info": {"id": name}}


async def _join(scenario: Scenario, name: str, at: float, routers: list[SimulatedRouter]) -> None:
    await asyncio.sleep(at)
    for router in routers:
        router.add_deployment(_row(scenario, name))


async def _call(router: SimulatedRouter, arrival: Arrival, *, wrong: bool) -> Outcome:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    words = str(arrival.output_tokens)
    metadata = {"words": words, "mistake": "yes"} if wrong else {"words": words}
    prompt = _PROSE[: arrival.prompt_tokens * 4]
    done = Outcome(begun, 0.0, ok=False, prompt_tokens=arrival.prompt_tokens, output_tokens=arrival.output_tokens)
    try:
        response = await router.aresponses(
            "gpt", prompt, metadata=metadata, max_output_tokens=max(arrival.output_tokens, 16)
        )
    except TurnoutError as error:
        done.error = type(error).__name__
        attempts = getattr(error, "attempts", ())
        if wrong:
            done.blame = "caller"
    else:
        done.ok = True
        attempts = response.route.attempts
        done.waited = response.route.waited
    done.seconds = loop.time() - begun
    done.tries = tries_of(attempts)
    return done
