"""The index of a model group's deployments that can take a call now: maintained on every change, never rebuilt."""

import heapq
from math import inf

from turnout.deployment import Deployment, ModelGroup
from turnout.engine import cooldown


def unready(group: ModelGroup, deployment: Deployment) -> None:
    """Takes a deployment out of the list of its level, at constant cost."""
    if deployment.position < 0:
        return
    ready = group.ready[deployment.level]
    last = ready.pop()
    if last is not deployment:
        ready[deployment.position] = last
        last.position = deployment.position
    deployment.position = -1


def reindex(group: ModelGroup, deployment: Deployment, now: float) -> None:
    """Puts a deployment where it belongs after a change: among the ready ones, or on the heap of those to come."""
    at = cooldown.available_at(deployment, now)
    if at <= now:
        if deployment.position < 0:
            deployment.level = deployment.spec.order
            if deployment.level not in group.ready:
                group.ready[deployment.level] = []
                group.levels = sorted(group.ready)
            deployment.position = len(group.ready[deployment.level])
            group.ready[deployment.level].append(deployment)
        return
    unready(group, deployment)
    if at < deployment.due:
        deployment.due = at
        group.tie += 1
        heapq.heappush(group.due, (at, group.tie, deployment))


def drop_due(group: ModelGroup, deployment: Deployment) -> None:
    """Takes a deployment that was removed from those to come."""
    if deployment.due != inf:
        deployment.due = inf
        group.due = [entry for entry in group.due if entry[2] is not deployment]
        heapq.heapify(group.due)


def bring_back(group: ModelGroup, now: float) -> None:
    """Looks at the deployments again whose time has come."""
    while group.due and group.due[0][0] <= now:
        deployment = heapq.heappop(group.due)[2]
        deployment.due = inf
        if not deployment.removed:
            reindex(group, deployment, now)
