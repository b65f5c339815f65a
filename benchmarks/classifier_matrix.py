"""The classifier's crash matrix: every store call of a real training, killed there, and resumed to the same model.

    python benchmarks/classifier_matrix.py                                   all cases, on all cores
    python benchmarks/classifier_matrix.py --sample 20 --extractor lite0     some, with the default extractor

A case is a new session with an empty feature cache. Its first process is killed (SIGKILL) before, halfway through or
after one call on the session or the cache, the next one at a call soon after its start, and a last one finishes. After
every call that changes the session its invariants are checked, and after every death all that is stored. Exits with 1
if a model or its metrics differ from the unbroken run's, or an invariant was broken. Needs `fork`.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Self

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.forked_training import Outcome, Report, Setting, Training
from benchmarks.orphans import end_with_parent
from mlsession.testing.faults import CRASHES, no_faults
from mlsession.testing.matrix import Case, cases_of, sampled
from tests.photos import copy_photos

LABELS = ("Banana", "Kiwi", "Lemon")
EACH = {"train": 10, "test": 3}
"""Photos of each label."""
EXTRACTORS = ("tiny", "lite0")


class Worker:
    """A process that runs cases: spawned, so that it has one thread, whatever runs here."""

    def __init__(self, setting: Setting) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        # OpenBLAS would start threads of its own, and a fork has only one.
        before = os.environ.get("OPENBLAS_NUM_THREADS")
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        try:
            self._process = context.Process(target=_work, args=(setting, theirs, os.getpid()))
            self._process.start()
        finally:
            del os.environ["OPENBLAS_NUM_THREADS"]
            if before is not None:
                os.environ["OPENBLAS_NUM_THREADS"] = before
        theirs.close()

    def unbroken(self) -> Outcome:
        """A run that nothing disturbs."""
        self.connection.send(None)
        outcome = self.connection.recv()
        assert isinstance(outcome, Outcome)
        return outcome

    def close(self) -> None:
        """Ends it."""
        self.connection.close()
        self._process.join()


class Matrix:
    """All cases with one extractor; a context manager that has workers and a folder."""

    def __init__(self, extractor: str, workers: int) -> None:
        # Memory, where there is such a place: a process that is killed loses nothing that a disk would keep.
        memory = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(prefix="classifier-matrix-", dir=memory if memory.is_dir() else None))
        for part, each in EACH.items():
            copy_photos(self._folder / part, part, each, LABELS)
        self._workers = [Worker(Setting(folder=self._folder, extractor=extractor)) for _ in range(workers)]
        self._extractor = extractor
        self.unbroken = self._workers[0].unbroken()

    def cases(self, seed: int) -> tuple[Case, ...]:
        """One for each store call of the unbroken run and each kind of death."""
        return cases_of(f"classifier with {self._extractor}", self.unbroken.calls, CRASHES, seed)

    def run(self, cases: Sequence[Case]) -> Iterator[Report]:
        """Runs cases on all workers; reports come as they are done."""
        left = iter(cases)
        busy = [worker.connection for worker in self._workers if _send_next(worker.connection, left)]
        while busy:
            for connection in wait(busy):
                assert isinstance(connection, Connection)
                report = connection.recv()
                assert isinstance(report, Report)
                yield report
                if not _send_next(connection, left):
                    busy.remove(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.close()
        shutil.rmtree(self._folder)


def _send_next(connection: Connection, left: Iterator[Case]) -> bool:
    case = next(left, None)
    if case is not None:
        connection.send(case)
    return case is not None


def _work(setting: Setting, connection: Connection, parent: int) -> None:
    end_with_parent(parent)
    _import_all()
    gc.collect()
    gc.freeze()
    count = 0
    while True:
        try:
            case = connection.recv()
        except EOFError:
            return
        if case is None:
            count += 1
            training = Training(setting, f"unbroken-{count}")
            connection.send(training.run(no_faults))
            training.remove()
        else:
            connection.send(setting.run_case(case))


def _import_all() -> None:
    """What a training imports, most of it late."""
    import pandas  # noqa: F401
    import PIL.JpegImagePlugin  # noqa: F401
    import pyarrow.compute  # noqa: F401
    import safetensors.numpy  # noqa: F401
    import torch  # noqa: F401

    import mlsession.extractors.embedded.lite
    import mlsession.heads.logistic.fit
    import mlsession.phases.evaluate
    import mlsession.phases.extract
    import mlsession.phases.train
    import mlsession.testing.tiny_extractor
    import mlsession.training.classifier
    import mlsession.training.findings.summary  # noqa: F401


def main(extractor: str = "tiny", seed: int = 0, sample: int | None = None, workers: int | None = None) -> int:
    """Runs the matrix and prints what came of it; 1 if anything went wrong."""
    began = time.monotonic()
    with Matrix(extractor, workers or os.cpu_count() or 1) as matrix:
        cases = matrix.cases(seed)
        print(f"{len(cases):,} cases in all ({len(matrix.unbroken.calls):,} store calls), {extractor}, seed {seed}")
        chosen = cases if sample is None else sampled(cases, sample, seed)
        reports: list[Report] = []
        for report in matrix.run(chosen):
            reports.append(report)
            print(f"\r{len(reports):,} of {len(chosen):,}", end="", file=sys.stderr, flush=True)
            differs = [] if report.result == matrix.unbroken.result else ["another model or other metrics"]
            for line in (*report.wrong, *differs):
                print(f"\r{report.case}: {line}")
    print(file=sys.stderr)
    mismatches = sum(report.result != matrix.unbroken.result for report in reports)
    broken = sum(len(report.wrong) for report in reports) + len(matrix.unbroken.wrong)
    missed = sum(not report.reached for report in reports)
    print(f"cases              {len(reports) - missed:>8,}   (call never made: {missed:,})")
    print(f"processes killed   {sum(report.kills for report in reports):>8,}   with SIGKILL")
    checks = sum(report.checks for report in reports)
    print(f"invariant checks   {checks:>8,}   (after each call that changed the session)")
    print(f"mismatches         {mismatches:>8,}")
    print(f"broken invariants  {broken:>8,}")
    print(f"{time.monotonic() - began:.0f} s")
    return int(bool(mismatches or broken))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--extractor", choices=EXTRACTORS, default="tiny")
    parser.add_argument("--seed", type=int, default=0, help="draws the later deaths, and the sample")
    parser.add_argument("--sample", type=int, default=None, metavar="N", help="run N cases in place of all")
    parser.add_argument("--workers", type=int, default=None, metavar="N", help="processes; default: one for each core")
    arguments = parser.parse_args()
    sys.exit(main(arguments.extractor, arguments.seed, arguments.sample, arguments.workers))
