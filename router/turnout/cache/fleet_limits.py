"""Limits shared by many processes through Redis or Valkey.

Calls take from leases that this process holds (`limits/allowance.py`); this makes the exchanges that renew them, in the
background. There is one key for each deployment with limits, and one for each provider with a budget; all windows of a
key change in one atomic step, a script (`fleet_limits.lua`).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, Protocol
from uuid import uuid4

from turnout.limits.allowance import Exchange, LeasePolicy, SharedKey, StoreState
from turnout.limits.ledger import CLAIM, MEMORY, Answer, Request
from turnout.limits.meter import Meter
from turnout.limits.window import BUCKETS
from turnout_adapters.forks import in_forked_children

_BATCH = 100
"""Keys in one round trip."""


class Update(Protocol):
    """`Fleet.update`: runs a change under the fleet's lock, and looks at the deployments again that it returns."""

    def __call__(self, change: Callable[[], Iterable[str]], now: float) -> None:
        """See the class."""
        ...


class FleetLimits:
    """This process's part in the shared limits; one for each Router. Safe for threads.

    `update` is the fleet's, `now` its monotonic clock in seconds. `exchange` is to be called by a thread of its own,
    about once a second, and as soon as can be after `wake` was called. `server_time` (milliseconds) stands in for the
    store's clock in tests.
    """

    def __init__(
        self,
        update: Update,
        now: Callable[[], float],
        *,
        namespace: str = "turnout",
        policy: LeasePolicy | None = None,
        replica: str | None = None,
        server_time: Callable[[], int] | None = None,
    ) -> None:
        self._update = update
        self._now = now
        self._namespace = namespace
        self._replica = replica or uuid4().hex
        self._server_time = server_time
        self._state = StoreState(policy or LeasePolicy())
        self._keys: dict[str, SharedKey] = {}
        in_forked_children(self._begin_anew)

    @property
    def wake(self) -> Callable[[], None] | None:
        """Called when an exchange is wanted soon; under the fleet's lock, so it must not wait."""
        return self._state.wake

    @wake.setter
    def wake(self, wake: Callable[[], None] | None) -> None:
        self._state.wake = wake

    def _begin_anew(self) -> None:
        """In a forked child: the leases are the parent's, and so is what was used."""
        self._replica = uuid4().hex
        for name, key in list(self._keys.items()):
            meters = [part.meter for part in key.parts]
            for meter in meters:
                meter.window.clear()
            self._keys[name] = SharedKey(name, self._state)
            self._keys[name].configure(meters)

    # --- called by the book of limits, under the fleet's lock

    def attach(self, name: str, meters: Sequence[Meter]) -> None:
        """Shares the meters of a deployment or provider from now on."""
        key = self._keys.get(name)
        if key is None:
            key = self._keys[name] = SharedKey(name, self._state)
        key.closing = False
        key.configure(meters)

    def detach(self, name: str) -> None:
        """Gives a deployment's leases back with the next exchange."""
        key = self._keys.get(name)
        if key is not None:
            key.closing = True

    # --- the exchange, by a thread in the background

    def exchange(self, client: Any) -> None:
        """Makes the exchanges that are due, in few round trips. `client` is a redis.Redis or a RedisCluster.

        Raises what redis raises; the exchanges are made up for when it is called again.
        """
        now = self._now()
        due = [key for key in list(self._keys.values()) if key.is_due(now)]
        for start in range(0, len(due), _BATCH):
            self._exchange(client, due[start : start + _BATCH])

    def leave(self) -> None:
        """With the next exchange everything is reported and all leases are given back: this process may end."""

        def change() -> Iterable[str]:
            for key in self._keys.values():
                key.rest(self._now())
            return ()

        self._update(change, self._now())

    def _exchange(self, client: Any, keys: Sequence[SharedKey]) -> None:
        begun = [self._begin(key) for key in keys]
        try:
            requests = [(key.name, one.request) for key, one in zip(keys, begun, strict=True)]
            answers = ask_all(client, self._namespace, requests, self._server_time)
        except Exception as error:  # noqa: BLE001 (whatever it is, the leases are not renewed; it is raised below)
            answers = [error] * len(keys)
        failure: Exception | None = None
        for key, one, answer in zip(keys, begun, answers, strict=True):
            if isinstance(answer, Exception):
                failure = answer
            self._end(key, one, answer)
        if failure is not None:
            raise failure

    def _begin(self, key: SharedKey) -> Exchange:
        begun: list[Exchange] = []

        def prepare() -> Iterable[str]:
            begun.append(key.prepare(self._replica, self._now()))
            return ()

        self._update(prepare, self._now())
        return begun[0]

    def _end(self, key: SharedKey, exchange: Exchange, answer: Answer | Exception) -> None:
        now = self._now()

        def change() -> Iterable[str]:
            if isinstance(answer, Exception):
                key.fail(exchange)
            else:
                key.apply(exchange, answer, now)
                if key.closing and exchange.idle and self._keys.get(key.name) is key:
                    del self._keys[key.name]
            return list(key.parts[0].meter.users)

        self._update(change, now)


def ask_all(
    client: Any, namespace: str, requests: Sequence[tuple[str, Request]], server_time: Callable[[], int] | None = None
) -> list[Answer | Exception]:
    """One script call for each (name, request), in one round trip, or two where a server does not know the script yet.

    Raises what redis raises if there is no connection; an error of one key is its answer.
    """
    text, digest = _script()
    calls = [(_key(namespace, name), _arguments(request, server_time)) for name, request in requests]
    replies = _run(client, [("EVALSHA", digest, 1, key, *arguments) for key, arguments in calls])
    unknown = [index for index, reply in enumerate(replies) if _is_unknown_script(reply)]
    if unknown:
        again = _run(client, [("EVAL", text, 1, calls[index][0], *calls[index][1]) for index in unknown])
        for index, reply in zip(unknown, again, strict=True):
            replies[index] = reply
    return [reply if isinstance(reply, Exception) else _answer(reply) for reply in replies]


def _key(namespace: str, name: str) -> str:
    """Names may hold any character; in a cluster the braces say what the key's place is made of."""
    return f"{namespace}:limits:{{{hashlib.sha256(name.encode()).hexdigest()[:32]}}}"


def _run(client: Any, commands: Sequence[Sequence[Any]]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline.execute(raise_on_error=False)


def _is_unknown_script(reply: object) -> bool:
    return isinstance(reply, Exception) and "NOSCRIPT" in f"{type(reply).__name__} {reply}".upper()


def _arguments(request: Request, server_time: Callable[[], int] | None) -> list[str | int]:
    now: str | int = "" if server_time is None else server_time()
    found: list[str | int] = [
        now, request.replica, request.epoch, request.serial, request.life, request.grace, CLAIM, MEMORY, BUCKETS,
        len(request.wishes),
    ]  # fmt: skip
    for wish in request.wishes:
        found += [wish.name, wish.width, wish.limit, wish.held, wish.least, wish.most, len(wish.reports)]
        for report in wish.reports:
            found += report
    return found


def _answer(reply: Sequence[Any]) -> Answer:
    now, epoch, grace, replicas, *granted = reply
    epoch = epoch.decode() if isinstance(epoch, bytes) else epoch
    return Answer(int(now), epoch, int(grace), int(replicas), [int(amount) for amount in granted])


@lru_cache(maxsize=1)
def _script() -> tuple[str, str]:
    text = files("turnout.cache").joinpath("fleet_limits.lua").read_text()
    return text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
