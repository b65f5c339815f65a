"""A little session with Lightning's loggers, as a program; the tests of loggers kill it and look at what it logged.

    python tests/integrations/logged.py SESSION LOGGER... [--iterations N] [--pause SECONDS] [--tilt X] ...

A LOGGER is a name such as csv, or one of: given-csv (a `CSVLogger` that names no version), broken (fails at its third
figure). Prints each event of a logger as JSON, then how the job ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning_fabric.loggers.logger import Logger as FabricLogger
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.loggers.logger import Logger

from mlsession.events import Event, Progressed
from mlsession.job.callbacks import Callback
from mlsession.job.job import Job
from mlsession.job.run import run_task
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import HISTORY_PREFIX, Past, PhaseRunner, PhaseState, Step


def loss(iteration: int) -> float:
    return 1.0 / (3.0 + iteration)


def metrics_at(iteration: int, tilt: float = 0.0) -> dict[str, float]:
    return {"loss": loss(iteration) + tilt, "accuracy": 1.0 - loss(iteration)}


@dataclass(frozen=True)
class Descent:
    """A task of two phases: training, which keeps a history, and evaluating, of one step."""

    limit: int
    pause: float = 0.0
    tilt: float = 0.0
    """What is added to each loss, as if this were other hardware."""
    fail_at: int = 0

    name = "descent"
    phases = ("training", "evaluating")

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        return self if phase == "training" else Evaluating()

    def run(self, state: PhaseState | None) -> Iterator[Step]:
        done = 0 if state is None else int(state.arrays["done"])
        history = [] if state is None else [metrics_at(number) for number in range(1, done + 1)]
        for iteration in range(done + 1, self.limit + 1):
            time.sleep(self.pause)
            if iteration == self.fail_at:
                raise ArithmeticError("the loss is not finite")
            history.append(metrics_at(iteration, self.tilt))
            yield Step(
                iteration=iteration,
                total=self.limit,
                metrics=history[-1],
                snapshot=partial(_state, history),
                last=iteration == self.limit,
            )

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return phase != "training" or int(state.arrays["done"]) >= self.limit

    def result(self, past: Past) -> int:
        return int(past.state("training").arrays["done"])


def _state(history: list[dict[str, float]]) -> PhaseState:
    arrays = {f"{HISTORY_PREFIX}{name}": np.array([each[name] for each in history]) for name in history[0]}
    return PhaseState({"done": np.array(len(history)), **arrays})


class Evaluating:
    def run(self, state: PhaseState | None) -> Iterator[Step]:
        yield Step(iteration=1, total=1, metrics={"accuracy": 0.75}, snapshot=PhaseState, last=True)


class Broken(Logger):
    """Takes two figures, and no more."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @property
    def name(self) -> str:
        return "broken"

    @property
    def version(self) -> str:
        return "1"

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Takes them."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.count += 1
        if self.count > 2:
            raise OSError("the disk of the logs is full")


class StopAt(Callback):
    """Stops the job in an iteration."""

    def __init__(self, iteration: int) -> None:
        self._iteration = iteration

    def on_progress(self, job: Job[Any], progress: Progressed) -> None:
        if progress.iteration == self._iteration:
            job.cancel("far enough")


def made(name: str, folder: Path) -> str | FabricLogger:
    match name:
        case "given-csv":
            return CSVLogger(folder / "mine", "curves")
        case "broken":
            return Broken()
        case _:
            return name


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("session", type=Path)
    parser.add_argument("loggers", nargs="*")
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--tilt", type=float, default=0.0)
    parser.add_argument("--stop-at", type=int)
    parser.add_argument("--fail-at", type=int, default=0)
    given = parser.parse_args()
    loggers = [made(name, given.session.parent) for name in given.loggers]
    parameters = SessionParameters(given.session, report_interval=1, checkpoint_interval=4, logger=loggers)
    callbacks = [] if given.stop_at is None else [StopAt(given.stop_at)]
    task = Descent(limit=given.iterations, pause=given.pause, tilt=given.tilt, fail_at=given.fail_at)
    job = run_task(task, parameters, {"rate": 0.5}, callbacks)
    for event in job.events():
        if isinstance(event, Event) and type(event).__name__.startswith("Logger"):
            sys.stdout.write(json.dumps(event.to_json()) + "\n")
    error = job.exception()
    sys.stdout.write(f"{type(error).__name__ if error else job.result()}\n")


if __name__ == "__main__":
    main()
