"""What a Router shares with other processes, put together. Imported only where Redis is configured."""

from collections.abc import Callable, Mapping
from typing import Any

from turnout.cache.fleet_limits import FleetLimits
from turnout.cache.redis_client import RedisClient
from turnout.cache.shared import SharedState
from turnout.cache.shared_cooldowns import SharedCooldowns
from turnout.config.redis import RedisSettings
from turnout.engine.fleet import Fleet
from turnout.limits.allowance import LeasePolicy


def share(settings: RedisSettings, fleet: Fleet, now: Callable[[], float], policy: Mapping[str, Any]) -> SharedState:
    """Shares cooldowns and limits; `policy` is that of limits without the store.

    Connects to nothing yet. Raises ConfigError if redis-py is not installed.
    """
    state = SharedState(RedisClient(settings))
    SharedCooldowns(fleet, now, state)
    limits = FleetLimits(fleet.update, now, namespace=state.namespace, policy=LeasePolicy(**policy))
    fleet.limits.shares = limits
    limits.wake = state.add(limits)
    return state
