"""Holds the models of LiteLLM against the installed package: `python -m benchmarks.scorecard.litellm_check`.

Asks litellm's own functions and handlers the same questions as the models, and plays a few short scenarios with its
real Router over a server on 127.0.0.1. Prints what was compared; ends with 1 if anything disagrees. Needs the extra
`bench`; takes about half a minute.
"""

import asyncio
import os
import random
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from benchmarks.scorecard import litellm_loopback as loopback
from benchmarks.scorecard import litellm_models as models
from benchmarks.scorecard.engine import NO_CONNECTION, TIMED_OUT, Call, Ending
from turnout.sim.service import Size

STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
REGIONS = ["d0", "d1", "d2"]
_START = datetime(2026, 1, 1, 12, 0)  # noqa: DTZ001 (litellm compares naive times)
Found = Iterator[tuple[Any, Any, Any]]
"""A question, what the model says, what litellm says."""


def retried_statuses() -> Found:
    """Which statuses are worth another attempt."""
    from litellm.utils import should_retry

    for status in range(400, 600):
        yield status, models.should_retry(status), should_retry(status)


def cooling_statuses() -> Found:
    """Which failures may cool a deployment at all."""
    from litellm.router_utils.cooldown_handlers import _is_cooldown_required

    ctx: Any = None
    for status in STATUSES:
        yield status, models.may_cool(status), _is_cooldown_required(ctx, "d0", status, "an error")
    words = "litellm.APIConnectionError: AzureException APIConnectionError - Connection error."
    yield "no connection", models.may_cool(NO_CONNECTION), _is_cooldown_required(ctx, "d0", 500, words)


def cooling_counts() -> Found:
    """When a failure cools its deployment, by the counts of the last minute."""
    from litellm.router_utils.cooldown_handlers import _should_cooldown_deployment

    for single in (True, False):
        router = loopback.router([1] if single else [1, 1])
        ctx = router._core_ctx
        for status in (401, 404, 408, 429, 500, 503):
            for failures, successes in ((1, 0), (4, 0), (5, 0), (3, 2), (3, 3), (4, 3), (60, 59), (999, 0), (1000, 0)):
                store = ctx.health().store.in_memory_cache
                store.set_cache("d0:fails", failures)
                store.set_cache("d0:successes", successes)
                modelled = models.should_cool(status, failures, successes, single=single)
                real = _should_cooldown_deployment(ctx, "d0", status, Exception("an error"), "gpt")
                yield (single, status, failures, successes), modelled, real


def delays() -> Found:
    """The seconds before a retry in a group of one."""
    from litellm.utils import calculate_retry_after

    for retry_after in (None, 1, 7, 60, 61):
        for failures in (1, 2, 3, 4, 5, 6):
            random.seed(failures)
            headers: Any = {} if retry_after is None else {"retry-after": str(retry_after)}
            # three failures leave nothing of two retries: the power is retries that were made
            real = calculate_retry_after(remaining_retries=3 - failures, max_retries=2, response_headers=headers)
            chance = random.Random(failures).random()
            yield (retry_after, failures), round(models.delay(failures, retry_after, chance), 9), round(real, 9)


def shuffles() -> Found:
    """Who is chosen with the same luck, with and without weights."""
    from litellm.router_strategy.simple_shuffle import simple_shuffle

    limits: tuple[dict[str, float], ...] = ({}, {"d0": 100.0, "d1": 200.0, "d2": 500.0})
    for rpm in limits:
        for tpm in limits:
            deployments = [_deployment(name, rpm.get(name), tpm.get(name)) for name in REGIONS]
            for seed in range(200):
                random.seed(seed)
                real = simple_shuffle(lambda model: model, deployments, "gpt", {})
                chosen = models.SimpleShuffle(rpm, tpm, random.Random(seed)).choose(REGIONS, _call(1, 1), 0.0)
                yield (rpm, tpm, seed), chosen, real["model_info"]["id"]


def least_busy() -> Found:
    """Who is chosen at given counts."""
    from litellm.router_strategy.least_busy import _least_busy

    rng = random.Random(1)
    deployments = [_deployment(name) for name in REGIONS]
    for _ in range(300):
        counts = [rng.randrange(4) for _ in REGIONS]
        model = models.LeastBusy()
        for name, count in zip(REGIONS, counts, strict=True):
            for _ in range(count):
                model.sent(name, 0.0)
        real: Any = _least_busy(deployments, tuple(counts))
        yield counts, model.choose(REGIONS, _call(1, 1), 0.0), real["model_info"]["id"]


def latencies() -> Found:
    """Samples and choices of latency-based-routing after the same answers and timeouts."""
    from litellm.caching.dual_cache import DualCache
    from litellm.exceptions import Timeout
    from litellm.router_strategy.lowest_latency import LowestLatencyLoggingHandler

    rng = random.Random(2)
    for round_ in range(40):
        handler = LowestLatencyLoggingHandler(DualCache())
        model = models.LatencyBased({}, {}, random.Random(round_))
        deployments = [_deployment(name) for name in REGIONS]
        for step in range(25):
            real: Any = handler.get_available_deployments("gpt", deployments, messages=[])
            chosen = model.choose(REGIONS, _call(1, 1), 0.0)
            samples = [sum(model.samples[name]) / len(model.samples[name]) for name in model.samples] or [0.0]
            if len(set(samples)) == len(samples) > 1:
                yield (round_, step), chosen, real["model_info"]["id"]
            region = rng.choice(REGIONS)
            seconds, tokens = rng.randrange(1000, 20000) / 1000, rng.randrange(5, 500)
            timeout = rng.random() < 0.1
            call = _call(10, tokens)
            call.region = region
            model.ended(call, Ending(region, TIMED_OUT if timeout else 200, seconds, tokens), 0.0)
            told = _logged(region)
            if timeout:
                told["exception"] = Timeout("timed out", "gpt", "azure")
                asyncio.run(handler.async_log_failure_event(told, None, _START, _START))
            else:
                answer = _answer(10, tokens)
                asyncio.run(handler.async_log_success_event(told, answer, _START, _START + timedelta(seconds=seconds)))
        known: Any = handler.router_cache.get_cache("gpt_map")
        for name in REGIONS:
            modelled = [round(sample, 6) for sample in model.samples[name]]
            yield (round_, name), modelled, [round(sample, 6) for sample in known[name]["latency_normalized"]]


def usages() -> Found:
    """Who may be chosen by usage-based-routing-v2 at given counts and limits."""
    from litellm.router_strategy.lowest_tpm_rpm_v2 import LowestTPMLoggingHandler_v2

    rng = random.Random(3)
    handler = asyncio.run(_made(LowestTPMLoggingHandler_v2))
    for case in range(300):
        tpm = {name: float(rng.choice((500, 1000))) for name in REGIONS}
        rpm = {name: float(rng.choice((3, 5))) for name in REGIONS}
        model = models.UsageBased(rpm, tpm, random.Random(case))
        tokens = {name: rng.choice((0, 200, 400, 900)) for name in REGIONS}
        requests = {name: rng.randrange(6) for name in REGIONS}
        for name in REGIONS:
            for _ in range(requests[name]):
                model.sent(name, 0.0)
            call = _call(0, tokens[name])
            call.region = name
            model.ended(call, Ending(name, 200), 0.0)
        deployments = [_deployment(name, rpm[name], tpm[name]) for name in REGIONS]
        real = handler._return_potential_deployments(
            healthy_deployments=deployments, all_deployments=dict(tokens), input_tokens=100, rpm_dict=dict(requests)
        )
        among = {one["model_info"]["id"] for one in real}
        chosen = model.choose(REGIONS, _call(100, 1), 0.0)
        agrees = chosen in among if isinstance(chosen, str) else not among
        yield (tokens, requests, tpm, rpm), agrees, True


def routers() -> Found:
    """What the real Router sends, call after call, to servers that fail, and which of its deployments then cool."""
    yield from asyncio.run(loopback.compare())


COMPARISONS: tuple[Callable[[], Found], ...] = (
    retried_statuses,
    cooling_statuses,
    cooling_counts,
    delays,
    shuffles,
    least_busy,
    latencies,
    usages,
    routers,
)


def _deployment(name: str, rpm: float | None = None, tpm: float | None = None) -> dict[str, Any]:
    limits = {key: value for key, value in (("rpm", rpm), ("tpm", tpm)) if value is not None}
    return {"model_name": "gpt", "litellm_params": {"model": "azure/gpt", **limits}, "model_info": {"id": name}}


def _call(prompt_tokens: int, output_tokens: int) -> Call:
    peer: Any = None
    return Call(0.0, Size(prompt_tokens, output_tokens), mistaken=False, peer=peer)


async def _made(handler: Any) -> Any:
    """A handler that wants a running event loop when it is made."""
    from litellm.caching.dual_cache import DualCache

    return handler(DualCache())


def _logged(region: str) -> dict[str, Any]:
    return {"litellm_params": {"metadata": {"model_group": "gpt"}, "model_info": {"id": region}}}


def _answer(prompt_tokens: int, output_tokens: int) -> Any:
    from litellm import ModelResponse, Usage

    used = Usage(
        prompt_tokens=prompt_tokens, completion_tokens=output_tokens, total_tokens=prompt_tokens + output_tokens
    )
    return ModelResponse(usage=used)


def main() -> int:
    """Prints a line for each rule; the process's exit code."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    wrong = 0
    for comparison in COMPARISONS:
        answers = list(comparison())
        differing = [one for one in answers if one[1] != one[2]]
        wrong += len(differing)
        print(f"{comparison.__name__:18} {len(answers) - len(differing):5} of {len(answers):5} agree")
        for question, modelled, real in differing[:5]:
            print(f"    {question}: model {modelled}, litellm {real}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
