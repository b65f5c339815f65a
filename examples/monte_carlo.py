"""A resumable Monte Carlo estimate of pi: a task of your own on the session engine, without torch or images.

    python examples/monte_carlo.py SESSION_URL [--batches N] [--pause SECONDS]

Kill it at any moment and run the same line again: it goes on, and prints the digits it would have printed anyway.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from mlsession.job.run import run_task
from mlsession.job.signals import stop_on_signals
from mlsession.randomness import keyed_generator
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Past, PhaseRunner, PhaseState, Step

POINTS = 10_000


class Sampling:
    """Counts random points of the unit square that fall into the quarter circle, one batch a step."""

    def __init__(self, seed: int, batches: int, pause: float) -> None:
        self._seed = seed
        self._batches = batches
        self._pause = pause

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        done, inside = (0, 0) if state is None else (int(state.arrays["done"][0]), int(state.arrays["inside"][0]))
        for batch in range(done + 1, self._batches + 1):
            # The generator is a pure function of (seed, what, which): nothing of it needs saving.
            points = keyed_generator(self._seed, "points", batch).random((POINTS, 2))
            hits = int(((points**2).sum(axis=1) <= 1.0).sum())
            inside += hits
            time.sleep(self._pause)

            def snapshot(done: int = batch, inside: int = inside) -> PhaseState:
                return PhaseState({"done": np.array([done]), "inside": np.array([inside])})

            yield Step(
                iteration=batch,
                total=self._batches,
                metrics={"estimate": 4.0 * inside / (batch * POINTS)},
                adds={"hits": np.array([hits])},
                snapshot=snapshot,
                last=batch == self._batches,
            )


class Checking:
    """Estimates the error from the spread of the batches, which it reads back in order."""

    def __init__(self, past: Past) -> None:
        self._past = past

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        hits = np.concatenate([block["hits"] for block in self._past.rows("sampling")])
        error = float(4.0 * (hits / POINTS).std() / np.sqrt(len(hits)))
        yield Step(iteration=1, total=1, snapshot=lambda: PhaseState(data={"error": error}), last=True)


class MonteCarlo:
    """The task: sampling, then checking. Its result is (estimate, standard error)."""

    name = "monte-carlo"
    phases = ("sampling", "checking")

    def __init__(self, seed: int, batches: int, pause: float) -> None:
        self._seed = seed
        self._batches = batches
        self._pause = pause

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return Sampling(self._seed, self._batches, self._pause) if phase == "sampling" else Checking(past)

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return phase != "sampling" or int(state.arrays["done"][0]) >= self._batches

    def result(self, past: Past) -> tuple[float, float]:
        state = past.state("sampling")
        estimate = 4.0 * int(state.arrays["inside"][0]) / (int(state.arrays["done"][0]) * POINTS)
        error = past.state("checking").data["error"]
        assert isinstance(error, float)
        return estimate, error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", help="a folder, or any fsspec URL")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds to wait in each batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint-interval", type=int, default=10)
    arguments = parser.parse_args()
    task = MonteCarlo(arguments.seed, arguments.batches, arguments.pause)
    session = SessionParameters(arguments.session, checkpoint_interval=arguments.checkpoint_interval)
    job = run_task(task, session, {"seed": arguments.seed})
    with stop_on_signals(job):
        estimate, error = job.result()
    print(f"pi = {estimate!r} +- {error!r}")


if __name__ == "__main__":
    main()
