"""The fit of a call's time: it finds what is there, forgets what was, and never says nonsense."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.strategies.prediction import Fit, solve

Truth = tuple[float, float, float]
PRIOR = Fit().coefficients
HOSTED = (0.35, 0.0001, 0.0196)


def size(rng: Random) -> tuple[int, int]:
    """As calls differ: a hundredfold, in input and output."""
    return int(rng.lognormvariate(6.5, 1.0)) + 1, int(rng.lognormvariate(4.8, 1.0)) + 1


def teach(fit: Fit, truth: Truth, calls: int, *, seed: int = 1, noise: float = 0.25) -> None:
    """Answers with times that are right on average, and off by a quarter each."""
    rng = Random(seed)
    for _ in range(calls):
        tokens_in, tokens_out = size(rng)
        seconds = truth[0] + truth[1] * tokens_in + truth[2] * tokens_out
        fit.learn(tokens_in, tokens_out, seconds * rng.lognormvariate(-(noise**2) / 2, noise))


def off(fit: Fit, truth: Truth) -> float:
    """How far predictions for calls of the usual sizes are off on average, as a part of the truth."""
    rng = Random(99)
    errors: list[float] = []
    for _ in range(300):
        tokens_in, tokens_out = size(rng)
        seconds = truth[0] + truth[1] * tokens_in + truth[2] * tokens_out
        errors.append(abs(fit.seconds(tokens_in, tokens_out) / seconds - 1.0))
    return sum(errors) / len(errors)


@pytest.mark.parametrize("truth", [HOSTED, (0.2, 0.001, 0.01), (2.0, 0.0005, 0.05), (0.8, 0.002, 0.002)])
def test_the_coefficients_are_found_in_noise(truth: Truth) -> None:
    fit = Fit()
    teach(fit, truth, 3000)
    assert off(fit, truth) < 0.03
    assert fit.coefficients == pytest.approx(truth, rel=0.2, abs=2e-5)


def test_without_noise_they_are_found_exactly_but_for_the_prior() -> None:
    fit, truth = Fit(), (1.5, 0.001, 0.01)
    teach(fit, truth, 2000, noise=0.0)
    assert fit.coefficients == pytest.approx(truth, rel=0.03)


def test_until_calls_have_shown_better_it_is_the_prior() -> None:
    fit = Fit()
    assert fit.seconds(0, 0) == PRIOR[0]
    assert fit.seconds(500, 200) == pytest.approx(PRIOR[0] + 500 * PRIOR[1] + 200 * PRIOR[2])
    teach(fit, (5.0, 0.01, 0.2), 15)
    assert fit.coefficients == PRIOR, "the equations are solved every sixteen calls"
    teach(fit, (5.0, 0.01, 0.2), 1)
    assert fit.coefficients != PRIOR


def test_a_few_calls_do_not_throw_the_prior_over() -> None:
    """Sixteen calls of one size say how long those take, and nothing of what their parts cost."""
    fit = Fit()
    for _ in range(16):
        fit.learn(500, 200, 9.1)
    assert 8.0 < fit.seconds(500, 200) < 9.1
    assert all(found >= prior for found, prior in zip(fit.coefficients, PRIOR, strict=True))


def test_what_was_is_forgotten_in_five_hundred_calls() -> None:
    fit, before, after = Fit(), HOSTED, (0.7, 0.0002, 0.0392)
    teach(fit, before, 3000)
    assert off(fit, before) < 0.03
    teach(fit, after, 500, seed=2)
    halfway = off(fit, after)
    assert halfway < 0.35, "it was off by a half at first"
    teach(fit, after, 1500, seed=3)
    assert off(fit, after) < 0.06 < halfway


def test_a_call_weighs_by_its_relative_error() -> None:
    """Long answers that take a third longer than their length says do not drown what short ones say."""
    fit = Fit()
    for number in range(1500):
        tokens_out, seconds = ((1, 3.0), (2000, 43.0), (5000, 137.0))[number % 3]
        fit.learn(10, tokens_out, seconds)
    assert fit.seconds(10, 1) == pytest.approx(3.0, rel=0.1)


def test_answers_that_get_shorter_with_size_do_not_make_a_coefficient_negative() -> None:
    fit = Fit()
    rng = Random(3)
    for _ in range(500):
        tokens_in, tokens_out = size(rng)
        fit.learn(tokens_in, tokens_out, 20.0 / (1.0 + tokens_out / 50 + tokens_in / 500))
    assert fit.coefficients[0] > 0.0
    assert min(fit.coefficients) == 0.0


calls = st.tuples(
    st.integers(0, 200_000), st.integers(0, 20_000), st.floats(1e-6, 600.0, allow_nan=False, allow_infinity=False)
)


@given(st.lists(calls, min_size=16, max_size=64))
def test_it_always_predicts_more_than_nothing(observed: list[tuple[int, int, float]]) -> None:
    fit = Fit()
    for tokens_in, tokens_out, seconds in observed:
        fit.learn(tokens_in, tokens_out, seconds)
        a, b, c = fit.coefficients
        assert a >= 0.01
        assert b >= 0.0
        assert c >= 0.0
        assert fit.seconds(0, 0) > 0.0
        assert fit.seconds(tokens_in, tokens_out) > 0.0
    assert fit.samples == len(observed)


def test_systems_are_solved() -> None:
    matrix = [[2.0, 1.0, -1.0], [-3.0, -1.0, 2.0], [-2.0, 1.0, 2.0]]
    assert solve(matrix, [8.0, -11.0, -3.0]) == pytest.approx((2.0, 3.0, -1.0))
    assert solve([[4.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 8.0]], [4.0, 10.0, 4.0]) == (1.0, 2.0, 0.5)


@pytest.mark.parametrize(
    "matrix",
    [
        [[0.0] * 3] * 3,
        [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]],
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]],
    ],
)
def test_a_system_that_does_not_determine_its_answer_has_none(matrix: list[list[float]]) -> None:
    assert solve(matrix, [1.0, 2.0, 3.0]) is None


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=3), st.lists(st.floats(-3, 3), min_size=9, max_size=9))
def test_a_solution_is_one(wanted: list[float], values: list[float]) -> None:
    # a heavy diagonal keeps the system well conditioned
    matrix = [[values[3 * at + by] + (10.0 if at == by else 0.0) for by in range(3)] for at in range(3)]
    found = solve(matrix, wanted)
    assert found is not None
    for line, value in zip(matrix, wanted, strict=True):
        assert sum(part * one for part, one in zip(line, found, strict=True)) == pytest.approx(value, abs=1e-9)
