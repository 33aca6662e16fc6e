"""The real LiteLLM Router and ours, side by side, under the same fake cloud over real sockets and the same traffic.

    python -m benchmarks.scorecard.litellm_real [--seed 1] [--json]

Short versions of the scorecard's scenarios (`socket_plays.py`), which take some two minutes. Each router has a process
of its own, and all play at the same time. LiteLLM retries twice, may take as long for an attempt as ours, has its own
check that keeps conversations on their deployment, and where load is what counts, each of its strategies that go by
load, time or usage. Only 127.0.0.1 is called.
"""

import argparse
import asyncio
import importlib.metadata
import importlib.util
import json
import logging
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from benchmarks.scorecard.socket_plays import (
    ATTEMPT_TIMEOUT,
    DEADLINE,
    PLAYS,
    RETRIES,
    Figures,
    Play,
    act,
)
from turnout import Router

Json = dict[str, Any]
Results = Mapping[str, Figures]
"""By title of the play."""


@dataclass(frozen=True)
class Contender:
    """One router."""

    name: str
    strategy: Any = None
    """LiteLLM's; None for ours."""
    only_load: bool = False
    """Its strategy changes nothing of the other plays."""

    @property
    def plays(self) -> list[Play]:
        """What it plays."""
        return [play for play in PLAYS if play.load or not self.only_load]

    def make(self, rows: list[Json]) -> Any:
        """The router over these rows."""
        if self.strategy is None:
            secret = "a secret of the benchmark"
            return Router(
                rows, id_secret=secret, timeout=DEADLINE, attempt_timeout=ATTEMPT_TIMEOUT, num_retries=RETRIES
            )
        import litellm
        from litellm.router import Router as TheirRouter

        litellm.suppress_debug_info = True
        return TheirRouter(
            model_list=rows,
            num_retries=RETRIES,
            timeout=ATTEMPT_TIMEOUT,
            routing_strategy=self.strategy,
            optional_pre_call_checks=["responses_api_deployment_check"],
        )


OURS = Contender("turnout")
LITELLM = (
    Contender("simple-shuffle", "simple-shuffle"),
    Contender("least-busy", "least-busy", only_load=True),
    Contender("latency-based", "latency-based-routing", only_load=True),
    Contender("usage-based-v2", "usage-based-routing-v2", only_load=True),
)


def litellm_version() -> str | None:
    """None if it is not installed."""
    return None if importlib.util.find_spec("litellm") is None else importlib.metadata.version("litellm")


def play_all(contender: Contender, seed: int) -> Results:
    """All plays of one contender, one after another. Runs in a process of its own."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_LOG"] = "CRITICAL"
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    return {play.title: asyncio.run(act(play, contender.make, seed)) for play in contender.plays}


def compare(contenders: Sequence[Contender], seed: int) -> dict[str, Results]:
    """All contenders at the same time."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(contenders), mp_context=spawn) as pool:
        playing = {one.name: pool.submit(play_all, one, seed) for one in contenders}
        return {name: running.result() for name, running in playing.items()}


def table(results: Mapping[str, Results]) -> None:
    """One line for each figure, one column for each contender."""
    print(f"{'':44}" + "".join(f"{name:>16}" for name in results))
    for play in PLAYS:
        print(play.title)
        for figure in results[OURS.name][play.title]:
            values = [found.get(play.title, {}).get(figure) for found in results.values()]
            print(f"    {figure:40}" + "".join(f"{'' if one is None else f'{one:.2f}':>16}" for one in values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    version = litellm_version()
    if version is None:
        print("litellm is not installed (pip install 'turnout[bench]'): ours is played alone", file=sys.stderr)
    started = time.monotonic()
    results = compare([OURS, *(LITELLM if version else ())], options.seed)
    if options.json:
        print(json.dumps({"litellm": version, "results": results}, indent=1))
        return
    table(results)
    others = f"; all others: the Router of litellm {version} with that strategy" if version else ""
    print(f"\n{OURS.name}: this Router as it is by default{others}. {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
