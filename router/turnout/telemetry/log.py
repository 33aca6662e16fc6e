"""The log sink: one structlog event for each attempt that failed and each call that ended."""

from typing import Any

import structlog

from turnout.context import AttemptFinished, CallFinished, RouterEvent, Sink


def log_sink(logger: Any = None) -> Sink:
    """A sink that logs to `logger` (default: structlog's own). Successful calls at debug level, failures as warnings.

    What is logged is what the events hold: names, ids, numbers. Never a credential, never content.
    """
    target = structlog.get_logger("turnout") if logger is None else logger

    def sink(event: RouterEvent) -> None:
        if isinstance(event, AttemptFinished):
            attempt = event.attempt
            if attempt.outcome != "ok":
                target.warning(
                    "attempt failed",
                    deployment=attempt.deployment,
                    model_group=attempt.model_group,
                    outcome=attempt.outcome,
                    error=attempt.error,
                    status=attempt.status,
                    seconds=round(attempt.seconds, 4),
                    request_id=attempt.request_id,
                )
        elif event.error is None:
            target.debug("call served", **_facts(event))
        else:
            target.warning("call failed", error=event.error, **_facts(event))

    return sink


def _facts(event: CallFinished) -> dict[str, object]:
    facts: dict[str, object] = {
        "operation": event.operation,
        "model": event.model,
        "seconds": round(event.seconds, 4),
    }
    if event.route is not None:
        facts |= {"deployment": event.route.deployment, "attempts": len(event.route.attempts)}
    return facts
