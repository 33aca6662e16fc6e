"""Makes a failing world smaller: leaves out what it fails without."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.simulation.plans import Place, World
from tests.simulation.running import Run, run
from turnout.sim.schedule import ScheduledFault

T = TypeVar("T")
_NEEDED = ("id_secret", "routing_strategy", "num_retries", "model_group_alias")


def shrink(found: Run, *, attempts: int = 400) -> Run:
    """The smallest world that was found to fail in the same way (the same words, whatever the numbers)."""
    smallest, left = found, attempts
    progress = True
    while progress and left > 0:
        progress = False
        for world in _smaller(smallest.world):
            left -= 1
            tried = _tried(world)
            if tried is not None and tried.violation is not None and _kind(tried) == _kind(smallest):
                smallest, progress = tried, True
                break
            if left <= 0:
                break
    return smallest


def _tried(world: World) -> Run | None:
    """What becomes of a world; None if it is none: a model group without deployments, say."""
    try:
        return run(world)
    except Exception:
        return None


def _kind(found: Run) -> str:
    return "".join(one for one in str(found.violation) if not one.isdigit() and one != ".")[:40]


def _smaller(world: World) -> Iterator[World]:
    for calls in _without(world.calls):
        yield replace(world, calls=tuple(calls))
    for faults in _without(world.faults):
        yield replace(world, faults=tuple(faults))
    for changes in _without(world.changes):
        yield replace(world, changes=tuple(changes))
    for places in _without(world.places):
        if places:
            yield replace(world, places=tuple(places), faults=_still_there(world, places))
    for name in world.settings:
        if name not in _NEEDED:
            yield replace(world, settings={key: value for key, value in world.settings.items() if key != name})


def _without(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Halves first, then quarters, down to leaving out one at a time."""
    size = len(values) // 2 or len(values)
    while size:
        for at in range(0, len(values), size):
            yield [*values[:at], *values[at + size :]]
        size //= 2


def _still_there(world: World, places: Sequence[Place]) -> tuple[ScheduledFault, ...]:
    ids = {one.id for one in (*places, *world.absent)}
    return tuple(one for one in world.faults if set(one.regions) <= {*ids, "all"})
