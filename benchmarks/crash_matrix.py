"""The engine's crash matrix: every store call of small trainings, disturbed in every way, then resumed to the end.

    python benchmarks/crash_matrix.py                       all cases, on all cores
    python benchmarks/crash_matrix.py --sample 200 --seed 7

A case takes 0.08 to 0.18 s of a core: all 11,000 took 35 minutes on one (`--workers 1`) of a machine that was busy with
other work.

Exits with 1 if a result differs from the unbroken run's, or an invariant was broken. See `mlsession.testing.matrix` for
what a case is. Needs no torch.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.orphans import end_with_parent
from mlsession.testing.matrix import Case, Matrix, Tally, merged, sampled, tally

_CHUNK = 100
"""Cases that a worker runs at a time: neighbours, so that most are of one scenario."""


def run_cases(cases: Sequence[Case]) -> Tally:
    """Runs some cases, in a worker; sums them up."""
    matrix = Matrix()
    return tally(matrix.run(case) for case in cases)


def run_all(cases: Sequence[Case], workers: int) -> Iterator[Tally]:
    """Runs cases in worker processes, and gives a sum for each chunk, in order."""
    chunks = [cases[start : start + _CHUNK] for start in range(0, len(cases), _CHUNK)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, end_with_parent, (os.getpid(),)) as pool:
        yield from pool.map(run_cases, chunks)


def main(seed: int = 0, sample: int | None = None, workers: int | None = None) -> int:
    """Runs the matrix and prints what came of it; 1 if anything went wrong."""
    began = time.monotonic()
    cases = Matrix().cases(seed)
    print(f"{len(cases):,} cases in all, seed {seed}")
    chosen = cases if sample is None else sampled(cases, sample, seed)
    total = Tally()
    for part in run_all(chosen, workers or os.cpu_count() or 1):
        total = merged(total, part)
        done = total.cases + total.not_reached
        print(f"\r{done:,} of {len(chosen):,}", end="", file=sys.stderr, flush=True)
        for line in part.wrong:
            print(f"\r{line}")
    print(file=sys.stderr)
    print(f"cases              {total.cases:>10,}   (call never made: {total.not_reached:,})")
    print(f"crashes            {total.crashes:>10,}")
    print(f"store calls        {total.calls:>10,}")
    print(f"invariant checks   {total.checks:>10,}   (after each call that changed the store)")
    print(f"mismatches         {total.mismatches:>10,}")
    print(f"broken invariants  {total.broken:>10,}")
    print(f"steps taken again  {total.mean_lost:>10.2f}   on average, by each process that went on")
    print(f"    at most        {total.most_lost:>10,}   of a run, {total.most_intervals:.1f} checkpoint intervals")
    print(f"    after damage   {total.most_lost_to_damage:>10,}   at most")
    print(f"{time.monotonic() - began:.0f} s")
    return int(bool(total.mismatches or total.broken))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0, help="draws the later deaths, and the sample")
    parser.add_argument("--sample", type=int, default=None, metavar="N", help="run N cases in place of all")
    parser.add_argument("--workers", type=int, default=None, metavar="N", help="processes; default: one for each core")
    arguments = parser.parse_args()
    sys.exit(main(arguments.seed, arguments.sample, arguments.workers))
