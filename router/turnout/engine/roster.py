"""The deployments of one Router by id, by model group and by account. Pure; the fleet locks."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from turnout.deployment import Deployment, ModelGroup
from turnout.engine import budget, shares
from turnout.engine.ready import drop_due, reindex, unready
from turnout.limits.book import LimitBook
from turnout.policies import BudgetPolicy

if TYPE_CHECKING:  # data of the configuration layer, needed for annotations only
    from turnout.config import DeploymentSpec


class Roster:
    """All deployments. `wake` is told of every model group whose members changed."""

    def __init__(self, limits: LimitBook, budget_policy: BudgetPolicy, wake: Callable[[str], None]) -> None:
        self.groups: dict[str, ModelGroup] = {}
        self.deployments: dict[str, Deployment] = {}
        self.domains: dict[str, list[Deployment]] = {}
        self._limits = limits
        self._budget = budget_policy
        self._wake = wake

    def put(self, spec: "DeploymentSpec", now: float) -> Deployment:
        """See `Fleet.add`."""
        self._limits.check(spec.id, spec.provider, spec.quotas, spec.prices)
        known = self.deployments.get(spec.id)
        if known is not None and (known.spec.model_group, known.domain) == (spec.model_group, spec.domain):
            self._change(known, spec, now)
            return known
        if known is not None:
            self._remove(known, now)
        deployment = Deployment(spec)
        self._limit(deployment)
        group = self.groups.get(spec.model_group)
        if group is None:
            group = ModelGroup(spec.model_group, budget.new_budget(self._budget, now))
            self.groups[group.name] = group
        group.members.append(deployment)
        shares.count(group, deployment, 1)
        self.deployments[deployment.id] = deployment
        self.domains.setdefault(deployment.domain, []).append(deployment)
        reindex(group, deployment, now)
        self._wake(group.name)
        return deployment

    def take_out(self, deployment_id: str, now: float) -> bool:
        """See `Fleet.remove`."""
        deployment = self.deployments.get(deployment_id)
        if deployment is not None:
            self._remove(deployment, now)
        return deployment is not None

    def _change(self, known: Deployment, spec: "DeploymentSpec", now: float) -> None:
        group = self.groups[spec.model_group]
        shares.count(group, known, -1)
        known.configure(spec)
        self._limit(known)
        shares.count(group, known, 1)
        unready(group, known)
        reindex(group, known, now)
        self._wake(group.name)

    def _remove(self, deployment: Deployment, now: float) -> None:
        group = self.groups[deployment.spec.model_group]
        deployment.removed = True
        self._limits.close(deployment.id, deployment.limits)
        unready(group, deployment)
        group.members.remove(deployment)
        shares.count(group, deployment, -1)
        del self.deployments[deployment.id]
        peers = self.domains[deployment.domain]
        peers.remove(deployment)
        if not peers:
            del self.domains[deployment.domain]
            for one in self.groups.values():
                one.last_panic.pop(deployment.domain, None)
        drop_due(group, deployment)
        if not group.members:
            del self.groups[group.name]
        self._wake(group.name)
        budget.deposit(group.budget, self._budget, now)

    def _limit(self, deployment: Deployment) -> None:
        spec = deployment.spec
        deployment.limits = self._limits.open(spec.id, spec.provider, spec.quotas, spec.prices, deployment.limits)
