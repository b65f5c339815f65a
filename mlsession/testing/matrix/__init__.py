"""The crash matrix of the engine: every store call of small trainings, disturbed in every way, then resumed.

    matrix = Matrix()
    for case in matrix.cases(seed=0):           a scenario, one of its calls, and what goes wrong with it
        report = matrix.run(case)               a fault, at least two deaths in a row, and a run to the end
        report.matches, report.broken           the unbroken run's result; the invariants after every change

Needs no torch; the task is `mlsession.testing.walk.Walk`, the store is memory behind a `FaultyStore`.
"""

from __future__ import annotations

from mlsession.testing.matrix.cases import Case, cases_of, sampled
from mlsession.testing.matrix.run import CaseReport, Matrix
from mlsession.testing.matrix.scenarios import SCENARIOS, Prepared, Scenario
from mlsession.testing.matrix.tally import Tally, merged, tally
from mlsession.testing.matrix.watch import SessionWatch, WatchedStore

__all__ = [
    "SCENARIOS",
    "Case",
    "CaseReport",
    "Matrix",
    "Prepared",
    "Scenario",
    "SessionWatch",
    "Tally",
    "WatchedStore",
    "cases_of",
    "merged",
    "sampled",
    "tally",
]
