"""Runs calls through the engine: the one place where a call, an outcome and the telemetry meet."""

from collections.abc import Mapping
from typing import Any

from turnout.calls import CallBuilder
from turnout.context import AttemptFinished, Call, CallFinished, Sink
from turnout.continuity.affinity import Continuity
from turnout.engine.fleet import Fleet
from turnout.engine.port import IO
from turnout.engine.route import Rules, Served, route
from turnout.engine.send import Begun, send_stream, send_unary
from turnout.engine.settling import settle_success
from turnout.errors import TurnoutError
from turnout.streams import StreamCore
from turnout_adapters.adapter import Operation
from turnout_adapters.types import Result


class Dispatcher:
    """Builds, routes, seals and reports calls. Waits only through the port it is given."""

    def __init__(self, fleet: Fleet, builder: CallBuilder, continuity: Continuity, rules: Rules) -> None:
        self._fleet = fleet
        self._builder = builder
        self._continuity = continuity
        self._rules = rules
        self._sinks: tuple[Sink, ...] = rules.sinks

    async def run(
        self, io: IO, operation: Operation, model: str | None, response_id: str | None, given: Mapping[str, Any]
    ) -> Result | StreamCore:
        """Serves one call: a complete result, or a stream that has begun."""
        call, destination = self._builder.build(operation, model, response_id, given)
        try:
            if call.stream:
                begun = await route(call, destination, self._fleet, self._rules, io, send_stream)
                try:
                    return self._stream(begun, io)
                except BaseException:
                    self._fleet.release(begun.lease, io.now(), None, None)
                    begun.answer.body.abandon()
                    raise
            served = await route(call, destination, self._fleet, self._rules, io, send_unary)
            return self._result(served, io)
        except TurnoutError as error:
            self._report_error(call, error, io)
            raise

    def _result(self, served: Served[Result], io: IO) -> Result:
        result, lease, call = served.answer, served.lease, served.call
        usage: Any = getattr(result, "usage", None)
        tokens_in, tokens_out = getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)
        settle_success(lease, self._fleet, io.now(), tokens_in, tokens_out)
        if call.operation == "delete" and call.response_id is not None:
            self._continuity.forget(lease.deployment, call.tenant, call.response_id)
        self._continuity.sealer(lease.deployment, call.tenant).result(result)
        about = result.about
        about.route, about.warnings, about.text_format = served.route, lease.warnings, call.text_format
        if self._sinks:
            self._report(served, None, tokens_in, tokens_out, io)
        return result

    def _stream(self, served: Served[Begun], io: IO) -> StreamCore:
        lease, call = served.lease, served.call
        lease.first_event = io.now() - lease.started

        def finished(
            done: Served[Begun], error: TurnoutError | None, tokens_in: int | None, tokens_out: int | None
        ) -> None:
            self._report(done, error, tokens_in, tokens_out, io)

        seals = self._continuity.sealer(lease.deployment, call.tenant)
        return StreamCore(served, self._fleet, io, seals, finished if self._sinks else None)

    def _report(
        self, served: Served[Any], error: TurnoutError | None, tokens_in: int | None, tokens_out: int | None, io: IO
    ) -> None:
        call = served.call
        attempt = AttemptFinished(served.route.attempts[-1], call.operation, call.stream)
        name = None if error is None else type(error).__name__
        seconds = io.now() - call.started
        done = CallFinished(call.operation, call.model, seconds, served.route, name, tokens_in, tokens_out)
        for sink in self._sinks:
            sink(attempt)
            sink(done)

    def _report_error(self, call: Call, error: TurnoutError, io: IO) -> None:
        for sink in self._sinks:
            sink(CallFinished(call.operation, call.model, io.now() - call.started, None, type(error).__name__))
