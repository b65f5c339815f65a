"""What checkpoints cost: the share of the time that saving takes from the work, and of the processor beside it.

The task does what extracting does for the engine, at 170 images a second: a step of 16 images every 94 ms, with 1,280
features of each as float16, its digest, and a small state. The work itself is slept through, so that all of the
processor time is the engine's. Sessions lie in a folder of this machine, and in a bucket of a loopback S3 server
behind a proxy that holds each request up for 100 ms.

For each interval, medians: `overhead` is what `mlsession status --json` calls `checkpoint_overhead`: the time that the
work stood still for saving, as the engine itself measures it; `stored` what saves took in the background; `processor`
the processor seconds, as a share of the time, beyond those of a run that saves at its end only.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.storm.places import Place, local_place, s3_place
from mlsession.job.run import run_task
from mlsession.session.cost import SavingCost
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Array, Past, PhaseRunner, PhaseState, Step
from mlsession.session.policy import EverySeconds, SavePolicy
from mlsession.session.session import TrainingSession
from mlsession.store import open_store
from tests.servers.s3 import S3Server

IMAGES_A_SECOND = 170
IMAGES_A_STEP = 16
WIDTH = 1280
STEPS = 640
"""A minute; the most that `auto` leaves between two saves is another one."""
ROUNDS = 3
LATENCY_SECONDS = 0.1


class Work:
    """Steps at an even pace, each with some rows; late ones catch up, as work that others do meanwhile."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        adds: dict[str, Array] = {
            "features": np.random.default_rng(0).standard_normal((IMAGES_A_STEP, WIDTH)).astype(np.float16),
            "digest": np.zeros((IMAGES_A_STEP, 32), dtype=np.uint8),
            "view": np.zeros(IMAGES_A_STEP, dtype=np.uint8),
            "readable": np.ones(IMAGES_A_STEP, dtype=np.uint8),
        }
        due = time.perf_counter()
        for step in range(1, self._steps + 1):
            due = max(due, time.perf_counter() - 1.0) + IMAGES_A_STEP / IMAGES_A_SECOND
            time.sleep(max(due - time.perf_counter(), 0.0))
            yield Step(
                iteration=step,
                total=self._steps,
                item_count=step * IMAGES_A_STEP,
                total_items=self._steps * IMAGES_A_STEP,
                adds=adds,
                snapshot=lambda step=step: PhaseState(data={"step": step}),  # type: ignore[misc]
                last=step == self._steps,
            )


class Task:
    name = "benchmark"
    phases = ("working",)

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return Work(self._steps)

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return True

    def result(self, past: Past) -> None:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one run cost."""

    cost: SavingCost
    processor_seconds: float
    checkpoints: int


def run_once(place: Place, name: str, policy: SavePolicy, steps: int) -> Found:
    """Runs the task on a new session."""
    url, options = place.session_url(name), place.far_options
    parameters = SessionParameters(url, checkpoint_interval=policy, storage_options=options)
    began = time.process_time()
    run_task(Task(steps), parameters, {}).result()
    used = time.process_time() - began
    with TrainingSession(lambda: open_store(url, options), parameters) as session:
        cost = session.saving_cost
        if cost is None:
            raise SystemExit(f"{url} does not say what saving cost")
        return Found(cost=cost, processor_seconds=used, checkpoints=session.num_checkpoints)


def compare(place: Place, policies: Mapping[str, SavePolicy], rounds: int, steps: int) -> None:
    """Runs all policies in turn, and prints medians; the first is what others are compared with."""
    found: dict[str, list[Found]] = {name: [] for name in policies}
    run_once(place, "warm", EverySeconds(seconds=3600), 1)  # What is imported and connected once is not measured.
    for number in range(rounds):
        for place_in_row, (name, policy) in enumerate(policies.items()):
            found[name].append(run_once(place, f"{number}-{place_in_row}", policy, steps))
    base = statistics.median(one.processor_seconds for one in next(iter(found.values())))
    for name, runs in found.items():
        overhead = statistics.median(one.cost.overhead for one in runs)
        elapsed = statistics.median(one.cost.elapsed for one in runs)
        stored = statistics.median(one.cost.stored for one in runs)
        processor = statistics.median(one.processor_seconds for one in runs) - base
        print(
            f"{place.name:6} {name:16} {elapsed:6.1f} s  {statistics.median(one.checkpoints for one in runs):3.0f} "
            f"checkpoints  overhead {100 * overhead:6.3f} %  stored {stored:6.2f} s  "
            f"processor {100 * processor / elapsed:+6.2f} %",
            flush=True,
        )


def main(rounds: int = ROUNDS, steps: int = STEPS, with_s3: bool = True) -> None:
    """Measures and prints."""
    policies: dict[str, SavePolicy] = {
        "at the end only": EverySeconds(seconds=3600),
        "auto (default)": SessionParameters().save_policy,
        "every 16 steps": SessionParameters(checkpoint_interval=16).save_policy,
    }
    folder = Path(tempfile.mkdtemp(prefix="bench-commit-"))
    try:
        compare(local_place(folder), policies, rounds, steps)
    finally:
        shutil.rmtree(folder)
    if with_s3:
        with ExitStack() as stack:
            server = stack.enter_context(S3Server())
            compare(stack.enter_context(s3_place(server, LATENCY_SECONDS)), policies, rounds, steps)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_known_args()[0]
    main(given.rounds, given.steps)
