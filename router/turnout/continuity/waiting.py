"""Waiting, through the port, for what a thread does."""

from turnout.engine.port import IO, Waiter
from turnout.protocols import Job


async def succeeded(job: Job, waiter: Waiter, io: IO, seconds: float) -> bool:
    """Waits for so many seconds at most; True if the job is done by then and did not fail. If not, it goes on."""
    give_up = io.now() + seconds
    while not job.done and (left := give_up - io.now()) > 0:
        await io.wait(waiter, left)
    return job.done and job.error is None
