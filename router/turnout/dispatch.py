"""Runs calls through the engine: the one place where a call, an outcome and the telemetry meet."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from turnout.calls import CallBuilder
from turnout.context import AttemptFinished, Call, CallFinished, Sink
from turnout.continuity.affinity import Continuity
from turnout.continuity.kept import answer, instead, turns_before
from turnout.continuity.sealing import Sealer
from turnout.continuity.transcripts import Transcripts, stamp
from turnout.engine.fleet import Fleet
from turnout.engine.journey import Rules
from turnout.engine.leases import Destination
from turnout.engine.port import IO
from turnout.engine.route import Served, route
from turnout.engine.send import Begun, send_stream, send_unary
from turnout.engine.settling import settle_success
from turnout.errors import APIError, NotFoundError, PinnedUnavailable, TurnoutError
from turnout.streams import Keep, StreamCore
from turnout_adapters.adapter import Operation
from turnout_adapters.types import Response, Result


class Dispatcher:
    """Builds, routes, seals, keeps and reports calls. Waits only through the port it is given."""

    def __init__(
        self,
        fleet: Fleet,
        builder: CallBuilder,
        continuity: Continuity,
        rules: Rules,
        transcripts: Transcripts | None,
        begin: Callable[[], None] | None,
    ) -> None:
        self._fleet = fleet
        self._builder = builder
        self._continuity = continuity
        self._rules = rules
        self._transcripts = transcripts
        self._begin = begin
        """Called when a call begins; it does not wait."""
        self._sinks: tuple[Sink, ...] = rules.sinks

    async def run(
        self, io: IO, operation: Operation, model: str | None, response_id: str | None, given: Mapping[str, Any]
    ) -> Result | StreamCore:
        """Serves one call: a complete result, or a stream that has begun."""
        if self._begin is not None:
            self._begin()
        call, destination = await self._built(io, operation, model, response_id, given)
        try:
            draft = call.draft
            if draft is None or self._transcripts is None or not (draft.expand or draft.own):
                return await self._serve(call, destination, io)
            return await self._with_transcripts(call, destination, self._transcripts, io)
        except TurnoutError as error:
            self._report_error(call, error, io)
            raise

    async def _built(
        self, io: IO, operation: Operation, model: str | None, response_id: str | None, given: Mapping[str, Any]
    ) -> tuple[Call, Destination]:
        """The call; for an id that only another process has seen, after asking."""
        try:
            return self._builder.build(operation, model, response_id, given)
        except NotFoundError:
            token, tenant = response_id or given.get("previous_response_id"), str(given.get("tenant") or "")
            if not await self._continuity.learn(token, tenant, io):
                raise
        return self._builder.build(operation, model, response_id, given)

    async def _serve(self, call: Call, destination: Destination, io: IO) -> Result | StreamCore:
        if call.stream:
            begun = await route(call, destination, self._fleet, self._rules, io, send_stream)
            try:
                stream = self._stream(begun, io)
                if call.body.get("background"):
                    await stream.keep_begun()
                await stream.keep()
            except BaseException:
                self._fleet.release(begun.lease, io.now(), None, None)
                begun.answer.body.abandon()
                raise
            return stream
        served = await route(call, destination, self._fleet, self._rules, io, send_unary)
        return await self._result(served, io)

    async def _with_transcripts(
        self, call: Call, destination: Destination, transcripts: Transcripts, io: IO
    ) -> Result | StreamCore:
        """Serves what is kept here, and what an account that is down cannot serve; the rest as any call."""
        kept = await self._kept(call, transcripts, io)
        if kept is None:
            call = await transcripts.expand(call, io)
            try:
                return await self._serve(call, destination, io)
            except (APIError, PinnedUnavailable) as error:
                kept = await instead(transcripts, call, error, io)
                if kept is None:
                    raise
        for sink in self._sinks:
            sink(CallFinished(call.operation, call.model, io.now() - call.started, kept.about.route))
        return kept

    async def _kept(self, call: Call, transcripts: Transcripts, io: IO) -> Result | None:
        """The result of an operation on a response that no account has; a deletion begins here in any case."""
        draft = call.draft
        if draft is None or draft.own is None:
            return None
        if draft.whole_chain:
            for turn in await turns_before(transcripts, call, io):
                with suppress(NotFoundError):
                    own = {"tenant": call.tenant, "allowed_model_region": call.regions[-1] if call.regions else None}
                    await self.run(io, "delete", None, str(turn["id"]), own)
        if draft.expand:
            return await answer(transcripts, call, io)
        if call.operation == "delete":
            await transcripts.erase_copy(draft.own, io)
        return None

    async def _result(self, served: Served[Result], io: IO) -> Result:
        result, lease, call = served.answer, served.lease, served.call
        usage: Any = getattr(result, "usage", None)
        tokens_in, tokens_out = getattr(usage, "input_tokens", None), getattr(usage, "output_tokens", None)
        settle_success(lease, self._fleet, io.now(), tokens_in, tokens_out)
        if call.operation == "delete" and call.response_id is not None:
            self._continuity.forget(lease.deployment, call.tenant, call.response_id)
        sealer, keep = self._after(served, io)
        sealer.result(result)
        if isinstance(result, Response) and keep is not None:
            await keep(result)
        about = result.about
        about.route, about.warnings, about.text_format = served.route, lease.warnings, call.text_format
        if self._sinks:
            self._report(served, None, tokens_in, tokens_out, io)
        return result

    def _stream(self, served: Served[Begun], io: IO) -> StreamCore:
        lease = served.lease
        now = io.now()
        lease.first_event = now - lease.started
        self._fleet.answering(lease, now)

        def finished(
            done: Served[Begun], error: TurnoutError | None, tokens_in: int | None, tokens_out: int | None
        ) -> None:
            self._report(done, error, tokens_in, tokens_out, io)

        report = finished if self._sinks else None
        sealer, keep = self._after(served, io)
        return StreamCore(served, self._fleet, io, sealer, report, keep)

    def _after(self, served: Served[Any], io: IO) -> tuple[Sealer, Keep | None]:
        """What is done with an answer: the sealer of its ids, and what writes it to the transcript, if it is kept."""
        call, lease, transcripts = served.call, served.lease, self._transcripts
        deployment = lease.deployment
        if call.draft is None or transcripts is None:
            return self._continuity.sealer(deployment, call.tenant), None
        kept = transcripts.keeps(call, deployment)
        sealer = self._continuity.sealer(deployment, call.tenant, stamp(call, deployment, kept=kept))
        if kept:
            return sealer, partial(transcripts.keep, call, lease, io)
        return sealer, partial(transcripts.finish, call, io) if transcripts.follows(call) else None

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
