"""Cooldowns that all processes of a fleet respect: throttles, and circuit breakers that opened or closed.

They are kept in one hash, a field for each deployment, with the server's clock: a process says and is told remaining
milliseconds, so no two machines' clocks are ever compared. What comes from others is a hint (`Fleet.hint`): it benches
a deployment, or has it probed, and each process still judges by its own calls.
"""

from collections.abc import Callable
from typing import Any

from turnout.cache.shared import SharedState
from turnout.deployment import Deployment
from turnout.engine.fleet import Fleet
from turnout_adapters.forks import Guard

_UNKNOWN, _CLOSED = -1, 0
"""What is said of a breaker, besides milliseconds of rest."""
_EXCHANGE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local version = time[1] .. string.format('%06d', time[2])
local function parsed(value)
    local version, throttled, rest = string.match(value, '^(%d+) (%d+) (-?%d+)$')
    return tonumber(version), tonumber(throttled), tonumber(rest)
end
for at = 1, #ARGV, 3 do
    local throttled, rest = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local known = redis.call('HGET', KEYS[1], ARGV[at])
    local _, old_throttled, old_rest = parsed(known or '0 0 -1')
    throttled = math.max(old_throttled, throttled > 0 and now + throttled or 0)
    rest = rest > 0 and now + rest or (rest == 0 and 0 or old_rest)
    redis.call('HSET', KEYS[1], ARGV[at], string.format('%s %.0f %.0f', version, throttled, rest))
end
local found, longest = {}, 0
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
    local changed, throttled, rest = parsed(all[at + 1])
    local last = math.max(throttled, rest, changed / 1000 + 10000)
    if last <= now then
        redis.call('HDEL', KEYS[1], all[at])
    else
        longest = math.max(longest, last - now)
        found[#found + 1] = all[at]
        found[#found + 1] = string.match(all[at + 1], '^%d+')
        found[#found + 1] = math.max(0, throttled - now)
        found[#found + 1] = rest > now and rest - now or (rest == 0 and 0 or -1)
    end
end
if longest > 0 then redis.call('PEXPIRE', KEYS[1], math.ceil(longest)) end
return found
"""
"""ARGV: for each change a deployment id, milliseconds of throttle, and of rest (0: closed, -1: nothing to say).

A field is `version throttled-until rest-until`; the version is the time of the change in microseconds. Of two throttles
the longer counts, of two words on a breaker the later. A change stays readable for ten seconds at least, so that every
process hears of a breaker that closed. Returns id, version and the remaining milliseconds of everything that is kept.
"""


class SharedCooldowns:
    """Carries one Router's rests to the other processes and theirs to it. `now` is the fleet's clock."""

    def __init__(self, fleet: Fleet, now: Callable[[], float], state: SharedState) -> None:
        self._fleet = fleet
        self._now = now
        self._key = f"{{{state.namespace}:cooldowns}}"
        self._lock = Guard()
        self._changes: dict[str, tuple[float, float | None]] = {}
        """Until when a deployment is throttled, and rests (None: its breaker is closed), as not said yet."""
        self._open: set[str] = set()
        """Deployments whose breaker is known to be open, here or elsewhere."""
        self._seen: dict[str, bytes] = {}
        self._wake = state.add(self)
        fleet.on_rest = self.on_rest

    def on_rest(self, deployment: Deployment, _now: float) -> None:
        """A rest began or ended here. Called under the fleet's lock."""
        with self._lock():
            self._changes[deployment.id] = deployment.health.throttled_until, deployment.health.open_until
        self._wake()

    def exchange(self, client: Any) -> None:
        """Says what changed here, and takes what changed elsewhere as hints."""
        with self._lock():
            changes, self._changes = self._changes, {}
        try:
            found = client.eval(_EXCHANGE, 1, self._key, *self._said(changes))
        except BaseException:
            with self._lock():
                self._changes = {**changes, **self._changes}
            raise
        seen: dict[str, bytes] = {}
        for at in range(0, len(found), 4):
            name, version = found[at].decode(), found[at + 1]
            if name in self._fleet.deployments:
                seen[name] = version
                if self._seen.get(name) != version:
                    self._hint(name, found[at + 2], found[at + 3])
        self._seen = seen
        self._open &= self._fleet.deployments.keys()

    def _said(self, changes: dict[str, tuple[float, float | None]]) -> list[str | int]:
        now = self._now()
        said = list[str | int]()
        for name, (throttled_until, open_until) in changes.items():
            rest = _UNKNOWN
            if open_until is not None:
                self._open.add(name)
                rest = _milliseconds(open_until - now) or _UNKNOWN
            elif name in self._open:
                self._open.discard(name)
                rest = _CLOSED
            said += [name, _milliseconds(throttled_until - now), rest]
        return said

    def _hint(self, name: str, throttled: int, rest: int) -> None:
        with self._lock():
            if name in self._changes:  # this process knows better meanwhile
                return
        if rest > 0:
            self._open.add(name)
        self._fleet.hint(name, self._now(), throttled / 1000, None if rest == _UNKNOWN else rest / 1000)


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
