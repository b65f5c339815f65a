"""A sample of the classifier's crash matrix, of which `benchmarks/classifier_matrix.py` runs every case."""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.classifier_matrix import Matrix
from mlsession.testing.faults import CRASHES
from mlsession.testing.matrix import sampled

CASES = 3
SEED = 9

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_killed_at_any_store_call_it_gives_the_same_model() -> None:
    print(f"seed {SEED}: python benchmarks/classifier_matrix.py --sample {CASES} --seed {SEED}")  # noqa: T201
    with Matrix("tiny", workers=1) as matrix:
        unbroken = matrix.unbroken
        assert unbroken.wrong == ()
        found = json.loads(unbroken.result)
        assert found["status"] == "finished"
        assert {call.key.partition("/")[0] for call in unbroken.calls} >= {"log", "blobs", "probe"}
        cases = matrix.cases(SEED)
        assert len(cases) >= 300
        assert {case.fault for case in cases} == CRASHES
        reports = list(matrix.run(sampled(cases, CASES, SEED)))
    assert len(reports) == CASES
    for report in reports:
        assert report.wrong == (), report.case
        assert report.result == unbroken.result, report.case
        assert report.kills >= 2, report.case
        # One after each call that changes the session; how many saves there are is up to the speed of the machine.
        assert report.checks > 10, report.case
