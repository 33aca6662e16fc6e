"""Who waits for what: first in, first out among calls that could use the same deployments. Pure; the fleet locks."""

from collections import deque

from turnout.context import Call
from turnout.engine.leases import Destination, QueueKey, Ticket
from turnout.engine.port import Waiter
from turnout.errors import NoDeploymentAvailable


class Queues:
    """The queues of one Router, and the calls that watch a model group for an outcome."""

    def __init__(self, longest: int) -> None:
        self.waiting: dict[QueueKey, deque[Ticket]] = {}
        self._watchers: dict[str, dict[Waiter, None]] = {}
        self._longest = longest

    def join(self, key: QueueKey, waiter: Waiter) -> Ticket:
        """A place at the end. Raises NoDeploymentAvailable if too many are waiting already."""
        queue = self.waiting.get(key)
        if (queue is not None and len(queue) >= self._longest) or not self._longest:
            waiting = 0 if queue is None else len(queue)
            raise NoDeploymentAvailable(f"{waiting} calls are already waiting for model group {key[0]!r} (max_queue)")
        if queue is None:
            queue = self.waiting[key] = deque()
        ticket = Ticket(key, waiter)
        queue.append(ticket)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Gives the place up; the next in line is woken."""
        queue = self.waiting.get(ticket.key)
        if queue is None or ticket not in queue:  # the queues of a forked child are new
            return
        queue.remove(ticket)
        first = self.head(ticket.key)
        if first is not None:
            first.waiter.wake()

    def head(self, key: QueueKey) -> Ticket | None:
        """Whose turn it is, None if nobody waits."""
        queue = self.waiting.get(key)
        while queue and queue[0].waiter.gone:
            queue.popleft()
        if queue is not None and not queue:
            del self.waiting[key]
        return queue[0] if queue else None

    def watch(self, group: str, waiter: Waiter) -> None:
        """Wakes the waiter at the next outcome in the group."""
        self._watchers.setdefault(group, {})[waiter] = None

    def unwatch(self, group: str, waiter: Waiter) -> None:
        """Ends `watch`."""
        watchers = self._watchers.get(group)
        if watchers is not None:
            watchers.pop(waiter, None)
            if not watchers:
                del self._watchers[group]

    def wake(self, group: str) -> None:
        """Something changed in a group: its watchers and the first in each of its lines look again.

        Pinned calls may wait for deployments of other groups on their account, so they look too.
        """
        for key in [key for key in self.waiting if key[0] == group or key[1] is not None]:
            first = self.head(key)
            if first is not None:
                first.waiter.wake()
        for waiter in self._watchers.get(group, ()):
            waiter.wake()


def queue_key(destination: Destination, call: Call) -> QueueKey:
    """What calls have in common that could use the same deployments."""
    only = None if destination.only is None else tuple(one.id for one in destination.only)
    return destination.group.name, call.pin, only, call.regions, call.tags
