"""The locked environments: they hold what pyproject.toml declares, by hashes, and say nothing of where it lies."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
FOR_DEVELOPERS = {"bench", "dev", "test"}
LOCKS = ("dev", "floors")
PINNED = re.compile(r"([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?")


def text_of(lock: str) -> str:
    return (ROOT / "requirements" / f"{lock}.txt").read_text()


def pins_of(lock: str) -> dict[str, set[Version]]:
    """Name -> the versions it is held at: more than one where markers tell them apart."""
    pins: dict[str, set[Version]] = {}
    for name, version in re.findall(rf"^{PINNED.pattern}$", text_of(lock), re.MULTILINE):
        pins.setdefault(name, set()).add(Version(version))
    return pins


def declared(extra: str) -> list[Requirement]:
    """What an extra asks for, with what the extras that it names ask for."""
    found = []
    for line in EXTRAS[extra]:
        one = Requirement(line)
        found += [inner for name in sorted(one.extras) for inner in declared(name)] if one.name == "turnout" else [one]
    return found


USED = {str(one): one for one in [Requirement(line) for line in PROJECT["dependencies"]]}
USED |= {str(one): one for extra in EXTRAS.keys() - FOR_DEVELOPERS for one in declared(extra)}
"""What users install: the core and their extras."""


@pytest.mark.parametrize(("lock", "extra"), [("dev", "dev"), ("floors", "test")])
def test_a_lock_holds_all_that_is_declared(lock: str, extra: str) -> None:
    pins = pins_of(lock)
    for one in [*USED.values(), *declared(extra)]:
        held = pins.get(canonicalize_name(one.name), set())
        assert held, f"{one} is not in requirements/{lock}.txt: make lock UPGRADE="
        assert all(version in one.specifier for version in held), f"{one}, but {held}: make lock UPGRADE="


@pytest.mark.parametrize("one", USED.values(), ids=str)
def test_the_floors_are_the_lowest_versions_that_are_declared(one: Requirement) -> None:
    lower = [Version(part.version) for part in one.specifier if part.operator == ">="]
    assert len(lower) == 1, "what users install needs one lower bound, so that it can be tested"
    assert pins_of("floors")[canonicalize_name(one.name)] == set(lower)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_is_pins_and_hashes_and_names_no_place(lock: str) -> None:
    lines = text_of(lock).splitlines()
    told = [line for line in lines if not line.lstrip().startswith("#")]
    assert [line for line in told if not PINNED.fullmatch(line) and not HASH.fullmatch(line)] == []
    for number, line in enumerate(told[:-1]):
        assert not PINNED.fullmatch(line) or HASH.fullmatch(told[number + 1]), f"{line} without a hash"
    comments = [line for line in lines if line.lstrip().startswith("#")]
    assert [line for line in comments if "://" in line or "--" in line or re.search(r"\s(?:/|~)", line)] == []


def test_the_build_backend_is_the_locked_one() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
    pins = pins_of("dev")
    for one in map(Requirement, build["requires"]):
        assert all(version in one.specifier for version in pins[canonicalize_name(one.name)]), one
