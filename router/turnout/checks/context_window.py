"""The context-window check: no call to a model that cannot hold its input."""

from turnout.context import Call, estimate_input_tokens
from turnout.deployment import Deployment, ModelGroup


class ContextWindow:
    """Rejects deployments whose `model_info.max_input_tokens` is below the estimated input.

    The estimate is a quarter of the characters; it is compared as it is, so a check that is right at the limit leaves
    the last word to the provider, whose refusal leads to `context_window_fallbacks`.
    """

    def applies(self, call: Call, group: ModelGroup) -> bool:
        """False where no deployment states a limit."""
        return call.operation == "create" and any(one.spec.max_input_tokens is not None for one in group.members)

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        """See PreCallCheck."""
        limit = deployment.spec.max_input_tokens
        if limit is None:
            return None
        tokens = estimate_input_tokens(call.body)
        return f"about {tokens} input tokens exceed its {limit}" if tokens > limit else None
