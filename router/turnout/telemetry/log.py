"""The log sink: one event for each attempt that failed and each call that ended."""

import logging
from collections.abc import MutableMapping
from typing import Any

import structlog

from turnout.context import AttemptFinished, CallFinished, RouterEvent, Sink


def log_sink(logger: Any = None) -> Sink:
    """A sink that logs to `logger`, a structlog one; by default to Python's logger "turnout".

    Successful calls at debug level, failures as warnings. Python's logger gets them as one line of text, and as a dict
    in the record's attribute `turnout` for who writes JSON. What is logged is what the events hold: names, ids,
    numbers. Never a credential, never content.
    """
    target = _standard() if logger is None else logger

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


def _standard() -> Any:
    processors = [structlog.stdlib.filter_by_level, _for_logging]
    return structlog.wrap_logger(
        logging.getLogger("turnout"), processors=processors, wrapper_class=structlog.stdlib.BoundLogger
    )


def _for_logging(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """structlog's event as the arguments of a logging call."""
    facts = dict(event)
    text = facts.pop("event")
    pairs = " ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
    return ("%s: %s", text, pairs), {"extra": {"turnout": facts}}


def _facts(event: CallFinished) -> dict[str, object]:
    facts: dict[str, object] = {
        "operation": event.operation,
        "model": event.model,
        "seconds": round(event.seconds, 4),
    }
    if event.route is not None:
        facts |= {"deployment": event.route.deployment, "attempts": len(event.route.attempts)}
    return facts
