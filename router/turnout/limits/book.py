"""The limits of all deployments of one Router: which meter limits whom."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from turnout.errors import ConfigError
from turnout.limits.meter import Limits, Meter
from turnout.limits.quota import Prices, Quota


class Shares(Protocol):
    """What shares meters with other processes: `cache/fleet_limits.py`. Called under the fleet's lock."""

    def attach(self, name: str, meters: Sequence[Meter]) -> None:
        """These are the meters of a deployment or provider now."""
        ...

    def detach(self, name: str) -> None:
        """The deployment is gone."""
        ...

    def leave(self) -> None:
        """This process may end. Called without the lock."""
        ...


class LimitBook:
    """Makes and unmakes the limits of deployments. `provider_budgets` are shared by a provider's deployments."""

    def __init__(self, provider_budgets: Mapping[str, Quota] | None = None) -> None:
        self.shares: Shares | None = None
        """None: all quotas are this process's alone. To be set before the first deployment is added."""
        self._providers = {name: Meter(quota) for name, quota in (provider_budgets or {}).items()}

    def check(self, deployment: str, provider: str, quotas: Sequence[Quota], prices: Prices | None) -> None:
        """Raises ConfigError if money is limited and the prices are not known."""
        budget = self._providers.get(provider)
        if prices is None and (budget is not None or any(quota.unit == "money" for quota in quotas)):
            raise unpriced(f"deployment {deployment!r}", budget.quota.name if budget is not None else "max_budget")

    def open(
        self, deployment: str, provider: str, quotas: Sequence[Quota], prices: Prices | None, known: Limits | None
    ) -> Limits | None:
        """The limits of a deployment, new or changed: what was used of a quota it keeps stays counted.

        None if it has no limit.
        """
        budget = self._providers.get(provider)
        own = [self._meter(quota, known) for quota in quotas]
        for meter in own:
            meter.users[deployment] = None
        if own and self.shares is not None:
            self.shares.attach(f"deployment:{deployment}", own)
        elif known is not None:
            self._detach(f"deployment:{deployment}")
        if budget is not None:
            budget.users[deployment] = None
            if self.shares is not None and budget.lent is None:
                self.shares.attach(f"provider:{provider}", [budget])
        upstream = known.upstream if known is not None else {}
        if not own and budget is None and not upstream:
            return None
        limits = Limits(own, prices or Prices(), budget)
        limits.upstream = upstream
        return limits

    def close(self, deployment: str, limits: Limits | None) -> None:
        """The deployment is gone. A provider's budget stays, whatever becomes of its deployments."""
        for meter in limits.meters if limits is not None else ():
            meter.users.pop(deployment, None)
        self._detach(f"deployment:{deployment}")

    def _detach(self, name: str) -> None:
        if self.shares is not None:
            self.shares.detach(name)

    @staticmethod
    def _meter(quota: Quota, known: Limits | None) -> Meter:
        for meter in known.meters if known is not None else ():
            if (meter.quota.name, meter.quota.unit, meter.quota.period) == (quota.name, quota.unit, quota.period):
                meter.configure(quota)
                return meter
        return Meter(quota)


def unpriced(where: str, limit: str) -> ConfigError:
    """The error for a deployment whose cost nobody knows, under a limit on money."""
    return ConfigError(
        f"{where}: {limit} limits money, but the prices are not known; give input_cost_per_token and "
        "output_cost_per_token in its litellm_params or model_info (0 for what is free)",
        param="input_cost_per_token",
    )
