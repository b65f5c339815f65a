"""Takes the store away from a real training for some time, and tells what came of it.

    python benchmarks/outage.py                         three outages of 60 s each: some five minutes
    python benchmarks/outage.py --seconds 5 --kinds refused

The training is examples/monte_carlo.py with 16 MiB in each checkpoint, on a real S3-protocol server on loopback.
Kinds: `refused` cuts every connection and refuses new ones; `frozen` stops the server's process, so that nothing
answers and nothing fails at once; `given-up` is `refused` for longer than `store_patience`, and then the same call
again. Ends with exit code 1 if a result differs from the undisturbed run's.
"""

from __future__ import annotations

import argparse
import math
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[1])

import numpy as np

from examples.monte_carlo import MonteCarlo
from mlsession.errors import StoreUnavailable
from mlsession.events import CheckpointCommitted, Event, Progressed, StoreRetried
from mlsession.job.job import Job
from mlsession.job.run import run_task
from mlsession.randomness import keyed_generator
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past, PhaseRunner, PhaseState, Step
from mlsession.session.policy import EverySeconds
from tests.servers.door import Door
from tests.servers.s3 import S3Server

KINDS = ("refused", "frozen", "given-up")
BALLAST_BYTES = 16 * 2**20
PAUSE = 0.02
"""Seconds that a step sleeps; it calculates for less than a millisecond."""
SPARE_STEPS = 400
"""Before and after the outage."""
LEAST_STEPS = 20
"""That the training makes before the store is back, however busy the machine is."""
GUARD_SECONDS = 240.0


class Heavy(MonteCarlo):
    """The example, with a large array in each state of its first phase."""

    def __init__(self, batches: int, pause: float, ballast_bytes: int = BALLAST_BYTES) -> None:
        super().__init__(0, batches, pause)
        self._ballast = keyed_generator(0, "ballast").random(ballast_bytes // 8)

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        runner = super().runner(phase, past)
        return _Loaded(runner, self._ballast) if phase == "sampling" else runner


class _Loaded:
    def __init__(self, runner: PhaseRunner, ballast: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
        self._runner = runner
        self._ballast = ballast

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        for step in self._runner.run(state):
            yield replace(step, snapshot=partial(self._snapshot, step))

    def _snapshot(self, step: Step) -> PhaseState:
        state = step.snapshot()
        return PhaseState({**state.arrays, "ballast": self._ballast + step.iteration}, state.data)


@dataclass
class Watch:
    """What a job said, and when."""

    events: list[tuple[float, Event]] = field(default_factory=list)
    heard: threading.Condition = field(default_factory=threading.Condition)

    def follow(self, job: Job[tuple[float, float]]) -> None:
        """Listens until the job is over, in a thread of its own."""

        def listen() -> None:
            for event in job.events():
                with self.heard:
                    self.events.append((time.monotonic(), event))
                    self.heard.notify_all()

        threading.Thread(target=listen, daemon=True).start()

    def wait_for(self, what: str, is_there: Callable[[], bool]) -> None:
        """Waits for events that must come."""
        with self.heard:
            if not self.heard.wait_for(is_there, GUARD_SECONDS):
                raise TimeoutError(f"no {what} in {GUARD_SECONDS} s")

    def of(self, kind: type[Event], since: float = 0.0, until: float = math.inf) -> list[tuple[float, Event]]:
        return [(when, event) for when, event in self.events if isinstance(event, kind) and since <= when < until]

    def steps(self, since: float, until: float = math.inf) -> int:
        """How many steps were made in a time."""
        done = [event.iteration for _, event in self.of(Progressed, since, until) if isinstance(event, Progressed)]
        return max(done) - min(done) if done else 0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one outage."""

    kind: str
    seconds: float
    steps_meanwhile: int
    commits_meanwhile: int
    retries: int
    recovery_seconds: float
    """From the end of the outage to the first commit after it."""
    memory_bytes: int
    """By how much the process's peak memory grew during the outage."""
    error: str
    """What the job ended with; "" if it did not."""
    result: tuple[float, float]


@contextmanager
def outage(kind: str, server: S3Server, door: Door) -> Iterator[None]:
    """The store is away inside of this."""
    if kind == "frozen":
        server.send_signal(signal.SIGSTOP)
    else:
        door.shut()
    try:
        yield
    finally:
        if kind == "frozen":
            server.send_signal(signal.SIGCONT)
        else:
            door.open()


def measure(
    kind: str, seconds: float, server: S3Server, spare_steps: int = SPARE_STEPS, ballast_bytes: int = BALLAST_BYTES
) -> Outcome:
    """Runs one training into an outage and on to its end."""
    task = Heavy(num_steps(seconds, spare_steps), PAUSE, ballast_bytes)
    url, watch, error = server.new_bucket_url(), Watch(), ""
    with Door(server.endpoint_url) as door:
        parameters = SessionParameters(
            f"{url}/session",
            checkpoint_interval=EverySeconds(seconds=0.5),
            report_interval=1,
            storage_options={**server.storage_options, "endpoint_url": door.endpoint_url},
            stale_after=2.0,
            store_patience=seconds / 3 if kind == "given-up" else 900.0,
        )
        job = run_task(task, parameters, {"seed": 0})
        watch.follow(job)
        watch.wait_for("checkpoints", lambda: len(watch.of(CheckpointCommitted)) >= 2)
        before, began = _peak_bytes(), time.monotonic()
        with outage(kind, server, door):
            time.sleep(seconds)
            watch.wait_for("steps", lambda: watch.steps(began) >= LEAST_STEPS)
            if kind == "given-up":
                error = _error_of(job)
            ended, memory = time.monotonic(), _peak_bytes() - before
        if kind == "given-up":
            job = run_task(task, parameters, {"seed": 0})
            watch.follow(job)
        result = job.result()
        watch.wait_for("checkpoint after it", lambda: bool(watch.of(CheckpointCommitted, ended)))
    return Outcome(
        kind=kind,
        seconds=ended - began,
        steps_meanwhile=watch.steps(began, ended),
        commits_meanwhile=len(watch.of(CheckpointCommitted, began, ended)),
        retries=len(watch.of(StoreRetried)),
        recovery_seconds=watch.of(CheckpointCommitted, ended)[0][0] - ended,
        memory_bytes=memory,
        error=error,
        result=result,
    )


def num_steps(seconds: float, spare_steps: int = SPARE_STEPS) -> int:
    """Steps of a training that is longer than an outage."""
    return spare_steps + int(seconds / PAUSE)


def undisturbed(steps: int) -> tuple[float, float]:
    """The result of a run that nobody disturbs, in a temporary folder and without pauses."""
    task = Heavy(steps, 0.0, 8)
    return run_task(task, SessionParameters(checkpoint_interval=EverySeconds(seconds=60.0)), {"seed": 0}).result()


def _error_of(job: Job[tuple[float, float]]) -> str:
    try:
        job.result()
    except StoreUnavailable as error:
        return str(error)
    raise AssertionError("the job waited longer than it was to")


def main(seconds: float = 60.0, kinds: tuple[str, ...] = KINDS) -> int:
    expected = undisturbed(num_steps(seconds))
    print(f"{'outage':10} {'s':>5} {'steps':>6} {'commits':>8} {'retries':>8} {'recovery':>9} {'memory':>9}  result")
    differing = 0
    with S3Server() as server:
        for kind in kinds:
            found = measure(kind, seconds, server)
            is_equal = found.result == expected
            differing += not is_equal
            verdict = f"{'equal' if is_equal else 'DIFFERS'}{f'; ended with: {found.error}' if found.error else ''}"
            print(
                f"{kind:10} {found.seconds:5.0f} {found.steps_meanwhile:6} {found.commits_meanwhile:8} "
                f"{found.retries:8} {found.recovery_seconds:7.1f} s {found.memory_bytes / 2**20:5.0f} MiB  {verdict}"
            )
    return 1 if differing else 0


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the store is away")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    given = parser.parse_args()
    sys.exit(main(given.seconds, tuple(given.kinds)))
