"""The tag check: calls with tags go to deployments that carry one of them."""

from turnout.context import Call
from turnout.deployment import Deployment, ModelGroup


class Tags:
    """LiteLLM's tag filtering.

    A call with tags goes to deployments with at least one of them, or tagged "default"; a call without tags goes to
    deployments that have none, or are tagged "default". What is asked of a response that exists goes to where it is,
    whatever the tags there.
    """

    def applies(self, call: Call, group: ModelGroup) -> bool:
        """False where neither the call nor any deployment has tags."""
        return bool(call.tags) or any(one.spec.tags for one in group.members)

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        """See PreCallCheck."""
        own = deployment.spec.tags
        if call.stateless or "default" in own or not set(own).isdisjoint(call.tags) or (not own and not call.tags):
            return None
        return f"its tags are {list(own)}, the call's are {list(call.tags)}"
