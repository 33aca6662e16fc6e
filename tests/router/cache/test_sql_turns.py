"""Turns in databases: many processes on one, servers that die and hang, and what no message may say."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

from tests.postgres import PostgresServer
from tests.router.cache.stores import Clock
from tests.valkey import free_port
from turnout.cache.sql_turns import SQLTurns, sql_turns
from turnout.errors import ConfigError

KEYS = [f"{number:040x}" for number in range(200)]
PROCESS = """
import sys
from turnout.cache.sql_turns import SQLTurns
url, table, number = sys.argv[1:]
store = SQLTurns(url, table, timeout=60.0)
print("ready", flush=True)
sys.stdin.readline()
counted = 0
for step in range(50):
    store.write({f"{number}{step:039x}": b"x" * 2000, "a" * 40: number.encode()}, 3600)
    for _ in range(10_000):
        found = store.read(["c" * 40])[0]
        if store.swap("c" * 40, found, str(int(found or 0) + 1).encode(), 3600):
            counted += 1
            break
    store.touch(["a" * 40, "c" * 40, f"{number}{step:039x}"], 7200)
    store.erase(["b" * 40])
store.close()
print(counted)
"""
FORKED = """
import os, sys
from turnout.cache.sql_turns import SQLTurns
store = SQLTurns(*sys.argv[1:])
store.write({"a" * 40: b"parent"}, 3600)
child = os.fork()
if child == 0:
    store.write({"b" * 40: b"child"}, 3600)
    os._exit(0 if store.read(["a" * 40]) == [b"parent"] else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert store.read(["a" * 40, "b" * 40]) == [b"parent", b"child"]
"""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """A database and a table that is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/turns.db", "turns"
    return request.getfixturevalue("postgres").url, f"turns_{abs(hash(request.node.name)):x}"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own."""
    with PostgresServer() as running:
        yield running


def test_processes_share_a_database_from_the_first_moment(place: tuple[str, str]) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROCESS, *place, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    try:
        assert [one.stdout.readline() for one in started] == ["ready\n"] * 4
        for one in started:
            one.stdin.write("\n")
            one.stdin.flush()
        assert [one.communicate(timeout=60) for one in started] == [("50\n", "")] * 4
    finally:
        for one in started:
            one.kill()
            one.communicate()
    store = SQLTurns(*place)
    assert store.read(["c" * 40]) == [b"200"]
    assert all(store.read([f"{number}{step:039x}" for number in range(4) for step in range(50)]))
    store.close()


def test_a_forked_child_has_connections_of_its_own(place: tuple[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, *place], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_expired_rows_are_deleted_while_others_are_written(place: tuple[str, str]) -> None:
    clock = Clock()
    store = SQLTurns(*place, clock=clock)
    store.write(dict.fromkeys(KEYS, b"old"), 100.0)
    clock.advance(101.0)
    for number in range(64):
        store.write({f"new {number}": b"new"}, 100.0)
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql(f"select count(*) from {place[1]}").scalar() == 64
    store.close()


def test_a_table_that_was_dropped_is_made_again(place: tuple[str, str]) -> None:
    store = SQLTurns(*place)
    store.write({KEYS[0]: b"x"}, 60.0)
    with store._engine.connect() as connection:
        connection.exec_driver_sql(f"drop table {place[1]}")
    with pytest.raises(sqlalchemy.exc.DBAPIError):
        store.write({KEYS[0]: b"x"}, 60.0)
    store.write({KEYS[0]: b"again"}, 60.0)
    assert store.read(KEYS[:1]) == [b"again"]
    store.close()


def test_a_killed_server_that_is_back_is_used_again_and_has_forgotten_nothing(server: PostgresServer) -> None:
    store = SQLTurns(server.url)
    store.write({KEYS[0]: b"kept"}, 3600.0)
    server.kill()
    for _ in range(3):
        with pytest.raises(OperationalError):
            store.read(KEYS[:1])
        with pytest.raises(OperationalError):
            store.ping()
    server.restart()
    assert store.read(KEYS[:1]) == [b"kept"]
    server.restart()
    assert store.swap(KEYS[0], b"kept", b"more", 3600.0), "the dead connection is found before it is used"
    store.close()


def test_a_hanging_server_is_given_up(server: PostgresServer) -> None:
    store = SQLTurns(server.url, timeout=0.5)
    store.write({KEYS[0]: b"kept"}, 3600.0)
    server.pause()
    with pytest.raises(OperationalError):
        store.read(KEYS[:1])
    server.resume()
    assert store.read(KEYS[:1]) == [b"kept"]
    store.close()


def test_a_statement_that_waits_for_a_lock_ends(postgres: PostgresServer) -> None:
    store = SQLTurns(postgres.url, "locked", timeout=0.5)
    store.write({KEYS[0]: b"x"}, 3600.0)
    other = sqlalchemy.create_engine(store._engine.url)
    with other.begin() as connection:
        connection.exec_driver_sql("lock table locked")
        with pytest.raises(OperationalError):
            store.read(KEYS[:1])
    assert store.read(KEYS[:1]) == [b"x"]
    other.dispose()
    store.close()


def test_a_server_that_takes_no_writes_does_not_answer_the_ping(postgres: PostgresServer) -> None:
    store = SQLTurns(postgres.url, "pinged")
    store.ping()
    store.close()
    read_only, background = sql_turns(postgres.url + "?options=-c%20default_transaction_read_only%3Don")
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="read-only"):
        read_only.ping()
    assert background.healthy
    read_only.close()


def test_an_engine_of_the_users_is_used_and_not_closed(tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/turns.db", connect_args={"timeout": 0.01})
    store = SQLTurns(engine)
    store.write({KEYS[0]: b"x"}, 60.0)
    with engine.connect() as connection:
        store.close()
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(OperationalError, match="locked") as caught:
            store.write({KEYS[0]: b"what somebody said"}, 60.0)
        assert "what somebody said" not in str(caught.value)
        connection.exec_driver_sql("ROLLBACK")
    assert store.read(KEYS[:1]) == [b"x"]
    engine.dispose()


def test_a_sqlite_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = SQLTurns(f"sqlite:///{tmp_path}/turns.db")
    store.write({KEYS[0]: b"x"}, 60.0)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()


@pytest.mark.parametrize(
    ("database", "says"),
    [
        ("hunter2", "cannot be read"),
        ("postgresql://somebody:hunter2@host:port/db", "cannot be read"),
        ("mysql://somebody:hunter2@host/db", "not kept in 'mysql'"),
        ("postgresql+asyncpg://somebody:hunter2@host/db", "not kept in 'postgresql\\+asyncpg'"),
        ("sqlite://", "need a file"),
        ("sqlite:////no/such/folder/turns.db", "folder of the transcript store does not exist"),
        (sqlalchemy.create_mock_engine("sqlite://", print), "a MockConnection is no database"),
    ],
)
def test_another_database_is_refused_without_a_word_of_its_password(database: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        SQLTurns(database)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="name of letters"):
        SQLTurns("sqlite:///turns.db", "turns; drop table")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_no_message_holds_a_credential(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = SQLTurns(f"{scheme}://somebody:hunter2@127.0.0.1:{free_port()}/db")
    with pytest.raises(OperationalError) as caught:
        store.write({KEYS[0]: b"what somebody said"}, 60.0)
    for text in (repr(store), str(caught.value), repr(caught.value), caplog.text):
        assert "hunter2" not in text
        assert "what somebody said" not in text


@pytest.mark.parametrize(("missing", "url"), [("sqlalchemy", "sqlite:///x.db"), ("psycopg", "postgresql://h/db")])
def test_a_missing_package_is_named(missing: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sql_engine", "sql_statements", "sql_postgres"):
        monkeypatch.delitem(sys.modules, f"turnout.cache.{name}", raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=r"turnout\[sql\].*turnout\[postgres\]"):
        SQLTurns(url)
