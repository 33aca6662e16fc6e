"""Encryption at rest: what can be read without the secrets, with some of them, and after somebody has meddled."""

import sys
from pathlib import Path

import pytest

from turnout.cache.memory_turns import MemoryTurns
from turnout.cache.sealed_turns import SealedTurns
from turnout.cache.sql_turns import SQLTurns
from turnout.errors import ConfigError

KEY, OTHER = "0" * 40, "1" * 40
SPOKEN = b"the patient said that nobody must know"


def test_no_file_of_the_database_holds_a_word(tmp_path: Path) -> None:
    store = SealedTurns(SQLTurns(f"sqlite:///{tmp_path}/turns.db"), ["secret"])
    store.write({KEY: SPOKEN * 100, OTHER: b"short"}, 60.0)
    store.swap(OTHER, b"short", SPOKEN, 60.0)
    written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert KEY.encode() in written
    assert not any(word in written for word in SPOKEN.split() if len(word) > 3)
    store.close()
    assert store.read([KEY, OTHER]) == [SPOKEN * 100, SPOKEN]
    store.close()


def test_a_new_secret_reads_what_the_old_one_wrote_until_that_is_dropped() -> None:
    inner = MemoryTurns()
    old, rotated, new = (SealedTurns(inner, ring) for ring in (["old"], ["new", "old"], ["new"]))
    old.write({KEY: b"1", OTHER: b"2"}, 60.0)
    assert rotated.read([KEY, OTHER]) == [b"1", b"2"]
    assert new.read([KEY, OTHER]) == [None, None]
    assert rotated.swap(KEY, b"1", b"3", 60.0), "whichever secret encrypted it"
    assert new.read([KEY]) == [b"3"]
    assert old.read([KEY]) == [None]
    assert rotated.swap(KEY, b"3", b"4", 60.0)


def test_an_envelope_opens_only_under_its_own_key() -> None:
    inner = MemoryTurns()
    store = SealedTurns(inner, ["secret"])
    store.write({KEY: b"mine", OTHER: b"yours"}, 60.0)
    mine, yours = inner.read([KEY, OTHER])
    assert mine is not None
    assert yours is not None
    inner.write({KEY: yours, OTHER: mine}, 60.0)
    assert store.read([KEY, OTHER]) == [None, None]


def test_what_does_not_open_counts_as_missing_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    inner = MemoryTurns()
    store = SealedTurns(inner, ["secret"])
    store.write({KEY: SPOKEN}, 60.0)
    whole = inner.read([KEY])[0]
    assert whole is not None
    damaged = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    cut = [whole[:length] for length in range(len(whole))]
    for wrong in (*damaged, *cut, SPOKEN, whole + b"\0"):
        inner.write({KEY: wrong}, 60.0)
        assert store.read([KEY]) == [None]
    assert [record.getMessage()[:33] for record in caplog.records] == ["a stored turn does not open (anot"]
    assert store.swap(KEY, None, b"again", 60.0), "it is no obstacle to a new value"
    assert store.read([KEY]) == [b"again"]


def test_a_swap_does_not_mind_that_the_same_value_was_sealed_with_another_secret_meanwhile() -> None:
    """Between reading and swapping, a process that is ahead in a rotation writes the same value."""

    class Rotating(MemoryTurns):
        def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
            ahead, self.ahead = self.ahead, None
            if ahead is not None:
                ahead.write({KEY: b"1"}, 60.0)
            return super().swap(key, old, new, ttl)

    inner = Rotating()
    SealedTurns(inner, ["old"]).write({KEY: b"1"}, 60.0)
    inner.ahead = SealedTurns(inner, ["new", "old"])
    store = SealedTurns(inner, ["old", "new"])
    assert store.swap(KEY, b"1", b"2", 60.0)
    assert store.read([KEY]) == [b"2"]


def test_configuration_is_checked_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "hush" not in repr(SealedTurns(MemoryTurns(), ["hush"]))
    assert SealedTurns(MemoryTurns(), ["hush"]).remote is False
    with pytest.raises(ConfigError, match="needs a secret"):
        SealedTurns(MemoryTurns(), [])
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigError, match=r"pip install 'turnout\[encrypt\]'"):
        SealedTurns(MemoryTurns(), ["hush"])
