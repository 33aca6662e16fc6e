"""Connections to PostgreSQL that give up on a server that does not answer."""

import time
from collections.abc import Generator
from typing import Any, Self

import psycopg


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that closes itself, and raises OperationalError, when one exchange takes longer than its limit.

    The server's `statement_timeout` does not help where the server itself is stopped, or the network swallows what is
    sent. The socket is libpq's, so there is no timeout to set on it; but psycopg asks its generators for what to wait
    for ten times a second, and they may end the wait.
    """

    limit = 5.0

    @classmethod
    def within(cls, seconds: float, *args: Any, **params: Any) -> Self:
        """Connects, and gives every exchange so many seconds."""
        connection = cls.connect(*args, **params)
        connection.limit = seconds
        return connection

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        """Sees an exchange through."""
        return super().wait(self._bounded(gen), *args, **options)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        until = time.monotonic() + self.limit
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if time.monotonic() > until:
                    self.close()
                    raise psycopg.OperationalError(f"the database did not answer within {self.limit} s")
                wanted = gen.send(ready)
        except StopIteration as end:
            return end.value
