"""Scenarios 1 to 12: the same rules for any traffic, any number of deployments and any time of the fault."""

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from benchmarks.scorecard.scenario import ATTEMPT_TIMEOUT, Scenario
from turnout.sim.schedule import ScheduledFault
from turnout.sim.service import ServiceModel
from turnout.sim.traffic import Arrival

FAULT_SECONDS = 600.0
OUTAGE_SECONDS = 60.0
WARM_UP = 300.0
AFTERWARDS = 150.0
"""Seconds that are played after the fault, in which a region recovers."""
_FOREVER = float("inf")
_BURST_EVERY, _BURST_SECONDS, _BURST_RATE = 120.0, 15.0, 4
_MINUTE = 60.0
_TIME_ENOUGH = 1.4
_MODEL = ServiceModel()


@dataclass(frozen=True, slots=True)
class Setting:
    """What all scenarios of a run have in common."""

    traffic: Sequence[Arrival]
    deployments: int = 3
    fault_at: float = WARM_UP

    @property
    def window(self) -> tuple[float, float]:
        """The time of the fault."""
        return self.fault_at, self.fault_at + FAULT_SECONDS

    def arrivals(self, end: float) -> list[Arrival]:
        """The calls before `end`."""
        return [one for one in self.traffic if one.at < end]

    def with_seed(self, seed: int) -> "Setting":
        """The same for another seed: arrival times move by up to a second, sizes are dealt anew."""
        if seed == 0:
            return self
        rng = random.Random(f"arrivals:{seed}")
        sizes = [(one.prompt_tokens, one.output_tokens, one.conversation) for one in self.traffic]
        shift = rng.randrange(len(sizes) or 1)
        sizes = sizes[shift:] + sizes[:shift]
        moved = [
            Arrival(max(one.at + rng.uniform(-1, 1), 0.0), *size) for one, size in zip(self.traffic, sizes, strict=True)
        ]
        return replace(self, traffic=sorted(moved, key=lambda one: one.at))

    def names(self) -> list[str]:
        """The regions."""
        return [f"region{number}" for number in range(1, self.deployments + 1)]

    def attempt_timeout(self) -> float:
        """What somebody would configure who knows the traffic: its longest call may take 1.4 times its usual time."""
        longest = max(map(nominal, self.arrivals(self.window[1] + AFTERWARDS)), default=0.0)
        return max(ATTEMPT_TIMEOUT, 5.0 * ceil(longest * _TIME_ENOUGH / 5.0))

    def calls_under_way(self) -> float:
        """Calls that regions must be able to work on at once: 1.4 times the mean, or a fifth over the busiest minute.

        At nominal speed, by Little's law.
        """
        return self._needed(nominal, 1.4, 1.2, self.traffic)

    def tokens_per_minute(self) -> float:
        """Tokens per minute that regions must allow: 1.8 times the mean, or the busiest with its burst."""
        peaks = with_bursts(self.traffic, self.fault_at)
        return self._needed(lambda one: one.prompt_tokens + one.output_tokens, 1.8, 1.0, peaks) * _MINUTE

    def _needed(
        self, size: Callable[[Arrival], float], of_mean: float, of_peak: float, peaks: Sequence[Arrival]
    ) -> float:
        begin, end = self.window
        mean = sum(size(one) for one in self.traffic if begin <= one.at < end) / FAULT_SECONDS
        busiest, amount, minute = 0.0, 0.0, deque[Arrival]()
        for one in peaks:
            if begin <= one.at < end:
                minute.append(one)
                amount += size(one)
                while minute[0].at <= one.at - _MINUTE:
                    amount -= size(minute.popleft())
                busiest = max(busiest, amount)
        return max(mean * of_mean, busiest / _MINUTE * of_peak)


def nominal(one: Arrival) -> float:
    """Seconds that a call takes in a region of the usual speed, without its luck."""
    return _MODEL.first_token + _MODEL.per_input_token * one.prompt_tokens + _MODEL.per_output_token * one.output_tokens


def _alike(setting: Setting) -> dict[str, ServiceModel]:
    return dict.fromkeys(setting.names(), _MODEL)


def _scenario(
    setting: Setting, number: int, title: str, regions: Mapping[str, ServiceModel], *faults: ScheduledFault
) -> Scenario:
    end = setting.window[1] + AFTERWARDS
    victim = faults[0].regions[0] if faults else None
    return Scenario(
        number, title, setting.arrivals(end), regions, setting.window, faults,
        victim=victim, attempt_timeout=setting.attempt_timeout(),
    )  # fmt: skip


def _fault(setting: Setting, kind: str, amount: float = 1.0, regions: tuple[str, ...] = ("region1",)) -> ScheduledFault:
    return ScheduledFault(regions, kind, *setting.window, amount)


def speeds(setting: Setting) -> Scenario:
    """1: regions take 1, 1.3 and 1.8 times as long."""
    steps = {2: (1.0, 1.8)}.get(setting.deployments, (1.0, 1.3, 1.8))
    models = {name: ServiceModel(factor=steps[at % len(steps)]) for at, name in enumerate(setting.names())}
    return _scenario(setting, 1, "different speeds", models)


def slow_region(setting: Setting, workers: int = 1) -> Scenario:
    """2 and 11: one region takes ten times as long."""
    number, title = (2, "one region 10x slow") if workers == 1 else (11, f"the same, {workers} workers")
    made = _scenario(setting, number, title, _alike(setting), _fault(setting, "slow", 10.0))
    return made if workers == 1 else replace(made, workers=workers)


def token_limits(setting: Setting) -> Scenario:
    """3: limits of tokens per minute as 1:2:5, and bursts of four times the traffic."""
    names = setting.names()
    parts = (1.0, 2.0, 5.0)
    total = sum(parts[at % 3] for at in range(len(names)))
    most = setting.tokens_per_minute()
    regions = {name: ServiceModel(tpm=most * parts[at % 3] / total) for at, name in enumerate(names)}
    made = _scenario(setting, 3, "TPM 1:2:5, bursts", regions)
    return replace(made, arrivals=with_bursts(made.arrivals, setting.fault_at), configured=True)


def with_bursts(arrivals: Sequence[Arrival], start: float) -> list[Arrival]:
    """Every two minutes, fifteen seconds in which each call comes four times."""
    found: list[Arrival] = []
    for one in arrivals:
        found.append(one)
        if one.at >= start and (one.at - start) % _BURST_EVERY < _BURST_SECONDS:
            found.extend(
                Arrival(one.at + copy * 0.07, one.prompt_tokens, one.output_tokens) for copy in range(1, _BURST_RATE)
            )
    return sorted(found, key=lambda one: one.at)


def brown_out(setting: Setting) -> Scenario:
    """4: a fifth of the requests to one region fails."""
    return _scenario(setting, 4, "brown-out 20 %", _alike(setting), _fault(setting, "errors", 0.2))


def outage(setting: Setting) -> Scenario:
    """5: one region answers 503 at once."""
    return _scenario(setting, 5, "outage, fast 503", _alike(setting), _fault(setting, "unavailable"))


def black_hole(setting: Setting) -> Scenario:
    """6: one region takes requests and never answers."""
    return _scenario(setting, 6, "black hole", _alike(setting), _fault(setting, "black-hole"))


def total_outage(setting: Setting, *, single: bool = False) -> Scenario:
    """7 and 8: for a minute nothing answers but 503."""
    names = ["region1"] if single else setting.names()
    start = setting.fault_at
    window = (start, start + OUTAGE_SECONDS)
    fault = ScheduledFault(("all",), "unavailable", *window)
    number, title = (8, "the same, one deployment") if single else (7, "total outage of 60 s")
    arrivals = setting.arrivals(window[1] + AFTERWARDS)
    return Scenario(
        number, title, arrivals, dict.fromkeys(names, _MODEL), window, (fault,),
        attempt_timeout=setting.attempt_timeout(),
    )  # fmt: skip


def small_region_joins(setting: Setting) -> Scenario:
    """9: a small cold region is added to regions that just suffice."""
    names = setting.names()
    busy = setting.calls_under_way()
    each = max(2, round(busy * 1.04 / max(len(names) - 1, 1)))
    regions = dict.fromkeys(names[:-1], ServiceModel(concurrency=each))
    regions[names[-1]] = ServiceModel(concurrency=max(1, round(each / 5)))
    made = _scenario(setting, 9, "small cold region joins", regions)
    return replace(made, joins={names[-1]: setting.fault_at})


def mistakes(setting: Setting) -> Scenario:
    """10: a tenth of the callers ask for what is not there."""
    return replace(_scenario(setting, 10, "caller 404s, 10 %", _alike(setting)), mistakes=0.1)


def self_hosted(setting: Setting) -> Scenario:
    """12: servers that work on 5, 10 and 20 requests at once and let others wait."""
    names = setting.names()
    places = _dealt(ceil(setting.calls_under_way()), [(1, 2, 4)[at % 3] for at in range(len(names))])
    regions = {name: ServiceModel(concurrency=many) for name, many in zip(names, places, strict=True)}
    return _scenario(setting, 12, "self-hosted, concurrency 1:2:4", regions)


def _dealt(places: int, parts: Sequence[int]) -> list[int]:
    """Places in proportion, at least one for each; those left over go to who is furthest below its proportion."""
    each = places / sum(parts)
    dealt = [max(1, int(part * each)) for part in parts]
    while sum(dealt) < places:
        at = max(range(len(parts)), key=lambda at: parts[at] * each - dealt[at])
        dealt[at] += 1
    return dealt


SCENARIOS: Mapping[int, Callable[[Setting], Scenario]] = {
    1: speeds,
    2: slow_region,
    3: token_limits,
    4: brown_out,
    5: outage,
    6: black_hole,
    7: total_outage,
    8: lambda setting: total_outage(setting, single=True),
    9: small_region_joins,
    10: mistakes,
    11: lambda setting: slow_region(setting, workers=4),
    12: self_hosted,
}
