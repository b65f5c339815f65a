"""What a checkpoint costs: commits a second, and the share of the running time that saving takes.

The task does 20 ms of arithmetic a step and adds 16 rows of 1,280 features: extracting at 800 images a second, ten
times faster than a small machine is.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlsession.job.run import run_task
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past, PhaseRunner, PhaseState, Step
from mlsession.session.policy import EverySeconds, SavePolicy

STEPS = 500
STEP_SECONDS = 0.02
ROUNDS = 3


class Work:
    """Some arithmetic and some rows in each step."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        matrix = np.full((160, 160), 0.001, dtype=np.float32)
        for step in range(1, self._steps + 1):
            until = time.perf_counter() + STEP_SECONDS
            while time.perf_counter() < until:
                matrix = matrix @ matrix
            rows = np.zeros((16, 1280), dtype=np.float32)
            yield Step(
                iteration=step,
                total=self._steps,
                adds={"features": rows},
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


def seconds_of(policy: SavePolicy, steps: int) -> tuple[float, int]:
    folder = Path(tempfile.mkdtemp(prefix="bench-commit-"))
    try:
        began = time.perf_counter()
        job = run_task(Task(steps), SessionParameters(folder / "session", checkpoint_interval=policy), {})
        job.result()
        return time.perf_counter() - began, len(job.checkpoints)
    finally:
        shutil.rmtree(folder)


def main(rounds: int = ROUNDS, steps: int = STEPS) -> None:
    policies: dict[str, SavePolicy] = {
        "at the end only": EverySeconds(seconds=3600),
        "auto (default)": SessionParameters().save_policy,
        "every 16 steps": SessionParameters(checkpoint_interval=16).save_policy,
    }
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in policies}
    for _ in range(rounds):
        for name, policy in policies.items():
            found[name].append(seconds_of(policy, steps))
    base = statistics.median(seconds for seconds, _ in found["at the end only"])
    for name, values in found.items():
        seconds = statistics.median(value for value, _ in values)
        commits = statistics.median(commits for _, commits in values)
        print(f"{name:18} {seconds:6.2f} s  {commits:4.0f} checkpoints  {100 * (seconds / base - 1):+5.1f} %")


if __name__ == "__main__":
    main()
