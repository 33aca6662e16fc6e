"""Outcomes of small runs, for tests of figures and reports."""

from hypothesis import strategies as st

from turnout.sim.record import Outcome, Try

NAMES = ("east", "west", "north")


def answered(at, seconds=1.0, by="east", **more):
    """A call that its only attempt answered."""
    return Outcome(
        at, seconds, ok=True, prompt_tokens=100, output_tokens=20, tries=(Try(by, at, seconds, "ok"),), **more
    )


def failed(at, *outcomes, by="east", error="ServiceUnavailableError", **more):
    """A call whose attempts, of half a second each, ended like this; nobody answered."""
    tries = tuple(Try(by, at + 0.5 * number, 0.5, outcome) for number, outcome in enumerate(outcomes))
    seconds = 0.5 * len(tries)
    return Outcome(at, seconds, ok=False, prompt_tokens=100, output_tokens=20, tries=tries, error=error, **more)


@st.composite
def outcomes(draw):
    """Any call of a run of 100 s; the attempts of an answered one end with an answer."""
    at = draw(st.floats(0, 100))
    ok = draw(st.booleans())
    endings = draw(st.lists(st.sampled_from(["throttle", "deployment", "provider"]), max_size=3))
    endings = [*endings, "ok"] if ok else endings
    tries, now = [], at
    for ending in endings:
        length = draw(st.floats(0, 30))
        tries.append(Try(draw(st.sampled_from(NAMES)), now, length, ending))
        now += length
    blame = draw(st.sampled_from(["caller", "provider"]))
    error = None if ok else draw(st.sampled_from(["RateLimitError", "BadRequestError"]))
    return Outcome(at, now - at, ok, 10, 5, tuple(tries), error, blame=blame, cost=draw(st.floats(0, 1)))
