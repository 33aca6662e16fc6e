"""What happens to regions when: faults as one line of text each, and the schedule that they make.

eastus down 10m-20m            westus slow x10 600s-20m         eastus,westus unavailable 10m-11m
eastus errors 20% 10m-20m      westus capacity 50% 10m-         eastus skew 90s 0-1h
"""

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from turnout.errors import ConfigError
from turnout.sim.service import Conditions, Service

FAULTS: Mapping[str, tuple[str, str]] = {
    "down": ("refused", "connections are refused"),
    "unavailable": ("unavailable", "503 to every request"),
    "black-hole": ("silent", "requests are taken and never answered"),
    "overloaded": ("overloaded", "529 to every request"),
    "throttled": ("throttled", "429 to every request, with Retry-After"),
    "auth-expired": ("expired", "401 to every request"),
    "errors": ("errors", "a share of requests ends in a 500 (a brown-out)"),
    "cut": ("cut", "a share of answers breaks off in the middle"),
    "slow": ("slowdown", "answers take so many times as long"),
    "capacity": ("capacity", "so much of limits and concurrency is left"),
    "skew": ("skew", "the region's clock is fast by so many seconds"),
}
"""By name: the condition that it sets, and what it means."""
_SWITCHES = ("down", "unavailable", "black-hole", "overloaded", "throttled", "auth-expired")
EVERYONE = "all"
"""In place of names: every region."""
_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s?)?")
_AMOUNT = re.compile(r"x?(\d+(?:\.\d+)?)(%|s)?")


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """Something that ails regions for a while. Seconds since the start of the run."""

    regions: tuple[str, ...]
    """Names; ("all",) for every one."""
    kind: str
    start: float
    end: float
    amount: float = 1.0

    def __str__(self) -> str:
        told = "" if self.kind in _SWITCHES else f" {self.amount:g}"
        return f"{','.join(self.regions)} {self.kind}{told}"

    def hits(self, name: str) -> bool:
        """True for the regions that it is about."""
        return self.regions == (EVERYONE,) or name in self.regions


@dataclass(frozen=True, slots=True)
class Change:
    """One condition of one region, from a moment on."""

    at: float
    region: str
    condition: str
    value: float | bool


def parse_fault(text: str, where: str = "fault") -> ScheduledFault:
    """A line such as `eastus slow x10 10m-20m`. Raises ConfigError that names what is wrong with it."""
    words = text.split()
    if len(words) not in (3, 4) or words[1] not in FAULTS:
        kinds = ", ".join(FAULTS)
        raise ConfigError(
            f"{where}: {text!r} is not `regions fault [amount] start-end`, where the fault is one of {kinds}",
            param=where,
        )
    kind = words[1]
    needs = kind not in _SWITCHES
    if needs != (len(words) == 4):
        given = "needs an amount, such as 20%, x10 or 90s" if needs else "takes no amount"
        raise ConfigError(f"{where}: {text!r}: {kind!r} {given}", param=where)
    first, dash, last = words[-1].partition("-")
    start, end = parse_seconds(first, where), parse_seconds(last, where) if last else inf
    if not dash or end <= start:
        raise ConfigError(f"{where}: {words[-1]!r} is no span of time, such as 10m-20m", param=where)
    return ScheduledFault(tuple(words[0].split(",")), kind, start, end, _amount(words[2], where) if needs else 1.0)


def parse_seconds(text: str, where: str) -> float:
    """ "90", "90s", "10m", "1h30m" as seconds. Raises ConfigError."""
    match = _TIME.fullmatch(text)
    if not text or match is None:
        raise ConfigError(f"{where}: {text!r} is no time, such as 90s, 10m or 1h30m", param=where)
    return sum(float(part) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True) if part)


def _amount(text: str, where: str) -> float:
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ConfigError(f"{where}: {text!r} is no amount, such as 20%, x10 or 90s", param=where)
    return float(match[1]) / (100 if match[2] == "%" else 1)


def changes(faults: Iterable[ScheduledFault], regions: Sequence[str]) -> list[Change]:
    """The moments at which something changes, in order; of faults of one kind that overlap, the latest holds.

    Raises ConfigError for a region that is not there.
    """
    ailments: dict[tuple[str, str], list[ScheduledFault]] = {}
    for fault in faults:
        unknown = [name for name in fault.regions if name not in (EVERYONE, *regions)]
        if unknown:
            known = ", ".join(regions)
            raise ConfigError(f"fault: there is no region {unknown[0]!r}; there are {known}", param="fault")
        for name in regions:
            if fault.hits(name):
                ailments.setdefault((name, fault.kind), []).append(fault)
    found = [change for (name, kind), those in ailments.items() for change in _course(name, kind, those)]
    return sorted(found, key=lambda one: one.at)


def _course(region: str, kind: str, faults: Sequence[ScheduledFault]) -> Iterator[Change]:
    """How one condition of one region changes."""
    condition = FAULTS[kind][0]
    value = usual = getattr(Conditions(), condition)
    for at in sorted({moment for fault in faults for moment in (fault.start, fault.end)} - {inf}):
        holding = [fault for fault in faults if fault.start <= at < fault.end]
        before = value
        value = usual if not holding else True if kind in _SWITCHES else max(holding, key=lambda one: one.start).amount
        if value != before:
            yield Change(at, region, condition, value)


async def follow(
    planned: Sequence[Change], services: Mapping[str, Service], changed: Callable[[Change], None] | None = None
) -> None:
    """Makes the changes when their time comes, by the clock of the running event loop."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for change in planned:
        await asyncio.sleep(max(begun + change.at - loop.time(), 0.0))
        services[change.region].change(change.condition, change.value)
        if changed is not None:
            changed(change)
