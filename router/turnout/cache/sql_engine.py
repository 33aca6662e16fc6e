"""Database engines for turns: which URLs there are, and how a connection is set up so that it cannot hang for ever."""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from turnout.errors import ConfigError

_POSTGRES = "postgresql+psycopg"
_DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgres": _POSTGRES,
    "postgresql": _POSTGRES,
    "postgresql+psycopg": _POSTGRES,
}
_FORMS = "use sqlite:///path or postgresql://user:password@host/database, or give a SQLAlchemy Engine"
_PAUSE = 0.02
"""Seconds between two attempts to switch a SQLite file to its write-ahead log."""


def engine_for(url: str, timeout: float) -> Engine:
    """An engine whose statements commit one by one and whose operations end within about `timeout` seconds.

    Raises ConfigError, without a word of the URL, if this cannot be one; ImportError if its driver is missing.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(f"the URL of the transcript store cannot be read: {_FORMS}") from None
    driver = _DRIVERS.get(parsed.drivername)
    if driver is None:
        raise ConfigError(f"transcripts are not kept in {parsed.drivername!r}: {_FORMS}")
    if driver == _POSTGRES:
        return _postgres(parsed.set(drivername=driver), timeout)
    return _sqlite(parsed, timeout)


def adopted(engine: object) -> Engine:
    """A user's engine, for single statements. Raises ConfigError for anything else."""
    if not isinstance(engine, Engine):
        raise ConfigError(f"a {type(engine).__name__} is no database for transcripts: {_FORMS} (not an AsyncEngine)")
    ours = engine.execution_options(isolation_level="AUTOCOMMIT")
    ours.hide_parameters = True
    return ours


def _engine(url: URL, **options: Any) -> Engine:
    # parameters are what people said to a model: they belong in no error message
    return create_engine(url, isolation_level="AUTOCOMMIT", hide_parameters=True, **options)


def _sqlite(url: URL, timeout: float) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("transcripts in SQLite need a file: sqlite:///path")
    file = Path(url.database)
    if not file.parent.is_dir():
        raise ConfigError(f"the folder of the transcript store does not exist: {file.parent}")
    engine = _engine(url, pool_timeout=timeout, connect_args={"timeout": timeout})

    def create(*_: Any) -> None:
        with contextlib.suppress(FileExistsError):  # for its owner alone: SQLite itself would ask the umask
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def connected(connection: Any, _record: Any) -> None:
        _write_ahead(connection, timeout)
        # without an fsync for each commit: a crash of this process loses nothing, one of the machine the last second
        connection.execute("PRAGMA synchronous = NORMAL")

    event.listen(engine, "do_connect", create)
    event.listen(engine, "connect", connected)
    return engine


def _write_ahead(connection: Any, timeout: float) -> None:
    """Readers and the writer do not wait for each other from now on. The file remembers it."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except connection.OperationalError:  # another process is just switching: SQLite does not wait for that
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE)


def _postgres(url: URL, timeout: float) -> Engine:
    from turnout.cache.sql_postgres import BoundedConnection  # noqa: PLC0415 (psycopg comes with another extra)

    defaults = {"connect_timeout": max(2, round(timeout)), "options": f"-c statement_timeout={round(timeout * 1000)}"}
    given = {name: value for name, value in defaults.items() if name not in url.query}
    engine = _engine(url, pool_timeout=timeout, pool_pre_ping=True, connect_args=given)

    def connect(_dialect: Any, _record: Any, args: Any, params: Any) -> Any:
        return BoundedConnection.within(timeout, *args, **params)

    event.listen(engine, "do_connect", connect)
    return engine
