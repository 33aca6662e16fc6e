"""Turns in a database: SQLite or PostgreSQL, through SQLAlchemy (extras `sql` and `postgres`)."""

import contextlib
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from turnout.cache.background import Background
from turnout.errors import ConfigError
from turnout_adapters.forks import in_forked_children

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,50}")
_TIMEOUT = 2.0
_AT_ONCE = 1000
"""Keys in one statement; databases bound the number of parameters."""
_SWEEP_EVERY = 64
"""After so many written rows ..."""
_SWEEP_MOST = 256
"""... at most so many expired ones are deleted: more than come in, and a moment's work."""
_SLACK = 1 / 64
"""A touch that would move an expiry by less than this part of the time to live writes nothing."""


class SQLTurns:
    """Keeps turns in one table of a database, made at first use. Safe for threads and for many processes.

    Args:
        database: `sqlite:///path` (a file, with write-ahead log), `postgresql://user:password@host/database`, or a
            SQLAlchemy 2 Engine for one of the two. An Engine keeps its own settings: give it timeouts.
        table: its name; the index on the expiry is called `<table>_expires`.
        timeout: seconds (default 2) for a connection, for a statement, and for another process's lock on a SQLite
            file. A database that hangs costs a thread this long once or twice, never more.
        clock: epoch seconds. Expiry is counted on the clocks of the processes, not the database's: they should agree
            as well as hosts commonly do.

    An operation is one statement (one for each 1,000 keys), a write of several entries one transaction. Expired rows
    are never returned; writes delete them in small batches. `touch` leaves alone what already lives within 1/64 of
    `ttl` as long as asked: extending every turn of a chain with every follow-up would write the whole chain again.
    Errors of the database pass through, without values and credentials; connections that broke are replaced with the
    next call.

    Raises ConfigError for another database, another kind of name, or a missing package.
    """

    remote = True

    def __init__(
        self,
        database: "str | Engine",
        table: str = "turnout_turns",
        *,
        timeout: float = _TIMEOUT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not _NAME.fullmatch(table):
            raise ConfigError("the table of the transcript store needs a name of letters, digits and underscores")
        try:
            from turnout.cache.sql_engine import adopted, engine_for  # noqa: PLC0415 (SQLAlchemy comes with the extra)
            from turnout.cache.sql_statements import DIALECTS, Statements  # noqa: PLC0415

            self._owned = isinstance(database, str)
            self._engine = engine_for(database, timeout) if isinstance(database, str) else adopted(database)
        except ImportError:
            raise ConfigError("transcripts in SQL need: pip install 'turnout[sql]', or 'turnout[postgres]'") from None
        self._dialect = self._engine.dialect.name
        if self._dialect not in DIALECTS:
            raise ConfigError(f"transcripts are kept in SQLite or PostgreSQL, not in {self._dialect!r}")
        self._together = self._engine.execution_options(isolation_level=DIALECTS[self._dialect])
        self._sql = Statements(table, self._dialect)
        self._table = table
        self._clock = clock
        self._ready = False
        self._written = 0
        in_forked_children(self._leave_connections)

    def __repr__(self) -> str:
        return f"SQLTurns({self._dialect!r}, {self._table!r})"

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of the keys; None for what is unknown or expired."""
        found: dict[str, bytes] = {}
        with self._connected() as connection:
            for some in _portions(keys):
                rows: Iterable[Any] = connection.execute(self._sql.read, {"keys": some, "now": self._clock()})
                found.update((key, bytes(value)) for key, value in rows)
        return [found.get(key) for key in keys]

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        """Keeps the entries for `ttl` seconds."""
        if not entries:
            return
        until = self._clock() + ttl
        # in one order, so that two processes cannot wait for each other for ever
        rows = [{"one": key, "new": value, "until": until} for key, value in sorted(entries.items())]
        with self._connected(together=len(rows) > 1) as connection:
            connection.execute(self._sql.write, rows)
            self._sweep(connection, len(rows))

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        """Gives entries `ttl` seconds from now, or up to 1/64 less."""
        now = self._clock()
        times = {"now": now, "until": now + ttl, "slack": ttl * _SLACK}
        with self._connected() as connection:
            for some in _portions(keys):
                connection.execute(self._sql.touch, {"keys": some, **times})

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        """Writes `new` if the value is `old`, in one statement."""
        now = self._clock()
        entry = {"one": key, "new": new, "until": now + ttl, "now": now}
        with self._connected() as connection:
            if old is None:
                changed = connection.execute(self._sql.write_new, entry).rowcount
            else:
                changed = connection.execute(self._sql.replace, {**entry, "old": old}).rowcount
            self._sweep(connection, 1)
        return changed == 1

    def erase(self, keys: Sequence[str]) -> None:
        """Forgets the keys."""
        with self._connected() as connection:
            for some in _portions(keys):
                connection.execute(self._sql.erase, {"keys": some})

    def close(self) -> None:
        """Closes the connections, unless they are those of an Engine that was given."""
        if self._owned:
            self._engine.dispose()

    def ping(self) -> None:
        """Fails if the database cannot be reached, or cannot be written to. Changes nothing."""
        self.erase([""])

    @contextlib.contextmanager
    def _connected(self, *, together: bool = False) -> "Generator[Connection]":
        """A connection on which every statement commits by itself, or all of them together at the end."""
        try:
            if not self._ready:
                with self._together.begin() as connection:
                    self._sql.set_up(connection)
                self._ready = True
            with self._together.begin() if together else self._engine.connect() as connection:
                yield connection
        except Exception:
            self._ready = False  # it may be that somebody dropped the table
            raise

    def _leave_connections(self) -> None:
        """In a forked child: they are the parent's."""
        self._engine.dispose(close=False)

    def _sweep(self, connection: "Connection", written: int) -> None:
        """Deletes some of the expired rows, now and then."""
        self._written += written
        if self._written < _SWEEP_EVERY:
            return
        self._written = 0
        connection.execute(self._sql.sweep, {"now": self._clock(), "most": _SWEEP_MOST})


def sql_turns(database: "str | Engine", *, timeout: float = _TIMEOUT) -> tuple[SQLTurns, Background]:
    """A store of turns and the one thread that drives it: in that order what is handed over is done."""
    store = SQLTurns(database, timeout=timeout)
    return store, Background("transcripts", store.ping, patience=timeout)


def _portions(keys: Sequence[str]) -> "Iterator[Sequence[Any]]":
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
