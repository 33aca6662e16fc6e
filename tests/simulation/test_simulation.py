"""Random worlds, all invariants at every step; a run is the same wherever it runs; planted bugs are found.

How many seeds: SIMULATION_SEEDS, else 1,000 where CI is set and 150 elsewhere. A failure says how to replay it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
from tests.simulation.many import Summary, cores, only_new_garbage, play_all, progress
from tests.simulation.mutants import MUTANTS, Mutant, killed_by
from tests.simulation.running import Run, run
from tests.simulation.shrinking import shrink
from tests.simulation.worlds import make

ROOT = Path(__file__).resolve().parents[2]
SEEDS = int(os.environ.get("SIMULATION_SEEDS") or (1000 if os.environ.get("CI") else 150))
SHARED = 40
"""Seeds that are run again in another process, with other hashes."""
QUICK = (
    "breaker opens too late",
    "in-flight count leaks on cancellation",
    "fallbacks ignore regions",
    "a second probe is let through",
    "an account's calls go anywhere",
    "a throttle counts against the deployment",
    "one retry more than allowed",
    "waiting knows no deadline",
)


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Summary:
    """All seeds, once. Tells how far it is, whatever is captured."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        return play_all(range(SEEDS), processes=min(cores(), 2), told=progress(SEEDS))


def report(failed: Run) -> str:
    """What a failure says: the seed, what was violated, what happened last, and how to see it again."""
    seed = failed.world.seed
    return (
        f"seed {seed}: {failed.violation}\n\n{failed.latest}\n\n"
        f"replay:  python -m tests.simulation {seed} --trace\nsmaller: python -m tests.simulation {seed} --shrink"
    )


def test_every_invariant_holds_in_every_world(played: Summary) -> None:
    assert played.seeds == SEEDS
    if played.failed:
        others = ", ".join(str(seed) for seed, _ in played.failed[1:20])
        pytest.fail(report(run(make(played.failed[0][0]))) + (f"\nso do {others}" if others else ""), pytrace=False)


def test_worlds_are_hard_enough(played: Summary) -> None:
    """Every kind of attempt and of failure that the invariants are about does happen."""
    counts = played.counts
    for kind in ("first", "announced", "free", "panic", "paid", "hedge"):
        assert counts[kind] > SEEDS / 10, (kind, counts)
    for error in ("NoDeploymentAvailable", "PinnedUnavailable", "DeadlineExceededError", "RateLimitError"):
        assert counts[f"error {error}"] > SEEDS / 10, (error, counts)
    assert counts["answered"] > counts["calls"] / 4, counts


def test_another_process_sees_the_same(played: Summary) -> None:
    script = (
        "from tests.simulation.running import run; from tests.simulation.worlds import make\n"
        f"for seed in range({SHARED}): print(seed, run(make(seed)).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT, env=environment
    )
    told = {int(line.split()[0]): line.split()[1] for line in done.stdout.splitlines()}
    assert told == {seed: played.digests[seed] for seed in range(SHARED)}


def test_one_command_replays_a_seed(played: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["3", "--trace"]) == int(any(seed == 3 for seed, _ in played.failed))
    said = capsys.readouterr().out
    assert said.startswith("world 3: ")
    assert f"trace {played.digests[3]}" in said
    assert "call 0 " in said


def test_a_failing_seed_replays_exactly_and_can_be_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = next(one for one in MUTANTS if one.name == QUICK[0])
    with only_new_garbage(), mutant.planted():
        failed = next(done for seed in range(60) if (done := run(make(seed))).violation is not None)
        again = run(make(failed.world.seed))
        smaller = shrink(failed, attempts=60)
    assert (again.digest, str(again.violation)) == (failed.digest, str(failed.violation))
    assert f"python -m tests.simulation {failed.world.seed} --trace" in report(failed)
    assert smaller.violation is not None
    assert len(smaller.world.calls) < len(failed.world.calls)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_every_planted_bug_has_its_place(mutant: Mutant) -> None:
    """Where the product has changed, the words to replace have to be found again."""
    with mutant.planted():
        pass


@pytest.mark.parametrize("mutant", [one for one in MUTANTS if one.name in QUICK], ids=lambda one: one.name)
def test_a_planted_bug_is_found(mutant: Mutant) -> None:
    with only_new_garbage():
        assert killed_by(mutant, range(60), most=1)
