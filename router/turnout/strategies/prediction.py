"""How long a call should take: `a + b * input tokens + c * output tokens`, fitted while calls run. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

_PRIOR = (0.5, 0.0001, 0.02)
"""Seconds before the first word, per input token and per output token, until calls have shown better."""
_PRIOR_WEIGHT = 4.0
"""Calls that the prior counts as."""
_MEMORY = 0.998
"""What is left of a call's weight after the next one: about 500 calls are remembered."""
_EVERY = 16
"""Calls between two solutions of the equations."""
_TYPICAL_TOKENS = (500.0, 200.0)


@dataclass(slots=True)
class Fit:
    """Least squares of relative errors, with exponential forgetting; the coefficients never fall below nothing.

    Answers differ a hundredfold in length, so a second too long means much for a short one and nothing for a long one:
    each call is weighted by the inverse square of its predicted time.
    """

    coefficients: tuple[float, float, float] = _PRIOR
    samples: int = 0
    _squares: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    """Upper triangle of the moment matrix: 11, 1p, 1o, pp, po, oo."""
    _targets: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def seconds(self, tokens_in: float, tokens_out: float) -> float:
        """The predicted time of a call; always positive."""
        a, b, c = self.coefficients
        return a + b * tokens_in + c * tokens_out

    def learn(self, tokens_in: float, tokens_out: float, seconds: float) -> None:
        """Takes one observation in."""
        one = 1.0 / self.seconds(tokens_in, tokens_out)
        reading, writing, took = tokens_in * one, tokens_out * one, seconds * one
        keep = _MEMORY
        aa, ab, ac, bb, bc, cc = self._squares
        self._squares = (
            aa * keep + one * one,
            ab * keep + one * reading,
            ac * keep + one * writing,
            bb * keep + reading * reading,
            bc * keep + reading * writing,
            cc * keep + writing * writing,
        )
        a, b, c = self._targets
        self._targets = (a * keep + one * took, b * keep + reading * took, c * keep + writing * took)
        self.samples += 1
        if self.samples % _EVERY == 0:
            self._solve()

    def _solve(self) -> None:
        matrix, wanted = _with_prior(self._squares, self._targets)
        found = solve(matrix, wanted)
        if found is None:
            return
        a, b, c = found
        self.coefficients = max(a, 0.01), max(b, 0.0), max(c, 0.0)


def _with_prior(squares: Sequence[float], targets: Sequence[float]) -> tuple[list[list[float]], list[float]]:
    """The equations, as if a few calls of typical size had taken what the prior says; each pulls on one coefficient."""
    aa, ab, ac, bb, bc, cc = squares
    reading, writing = _TYPICAL_TOKENS
    typical = _PRIOR[0] + _PRIOR[1] * reading + _PRIOR[2] * writing
    pull = [_PRIOR_WEIGHT * (size / typical) ** 2 for size in (1.0, reading, writing)]
    matrix = [[aa + pull[0], ab, ac], [ab, bb + pull[1], bc], [ac, bc, cc + pull[2]]]
    return matrix, [target + weight * prior for target, weight, prior in zip(targets, pull, _PRIOR, strict=True)]


def solve(matrix: list[list[float]], wanted: list[float]) -> tuple[float, float, float] | None:
    """Three linear equations by Cramer's rule; None if they do not determine the answer."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    x, y, z = wanted
    whole = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    if abs(whole) < 1e-300:
        return None
    return (
        (x * (e * i - f * h) - b * (y * i - f * z) + c * (y * h - e * z)) / whole,
        (a * (y * i - f * z) - x * (d * i - f * g) + c * (d * z - y * g)) / whole,
        (a * (e * z - y * h) - b * (d * z - y * g) + x * (d * h - e * g)) / whole,
    )
