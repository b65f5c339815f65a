"""Out-of-fold probabilities: of each row by a head that has not seen it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlsession.data.folds import fold_of, judged_classes
from mlsession.randomness import key_digest
from mlsession.reviewing.heldout import held_out
from tests.reviewing.made import made_rows

LABELS = np.repeat(np.arange(3), 20)
NAMES = ("ant", "bee", "cow")


def test_a_head_has_not_seen_the_rows_that_it_is_asked_about() -> None:
    rows = made_rows(LABELS, seed=1)
    folds = fold_of(LABELS, np.arange(60), rows.digests, key_digest(0, "fold"))
    said = held_out(rows, folds, [True] * 3, NAMES)
    assert said.rows.tolist() == list(range(60))
    assert np.allclose(said.probabilities.sum(axis=1), 1, atol=1e-6)
    assert (said.probabilities.argmax(axis=1) == LABELS).mean() > 0.9
    # Another label of a row changes nothing that is said of the rows of its fold, and something of the others.
    relabeled = LABELS.copy()
    relabeled[7] = 2
    other = held_out(replace(rows, labels=relabeled), folds, [True] * 3, NAMES)
    same = (other.probabilities == said.probabilities).all(axis=1)
    assert same[folds == folds[7]].all()
    assert not same[folds != folds[7]].any()


def test_test_images_and_classes_that_cannot_be_judged_are_left_out() -> None:
    labels = np.r_[LABELS, [0, 1, 2]]
    rows = made_rows(labels, seed=1, num_test=3)
    groups = np.arange(60)
    groups[LABELS == 1] = 20
    folds = fold_of(LABELS, groups, rows.digests[:60], key_digest(0, "fold"))
    judged = judged_classes(LABELS, folds, 3)
    assert judged == [True, False, True]
    said = held_out(rows, folds, judged, NAMES)
    assert said.rows.tolist() == np.flatnonzero(LABELS != 1).tolist()
    assert (said.probabilities[:, 1] == 0).all()
    assert np.allclose(said.take(np.array([0, 5])).sum(axis=1), 1, atol=1e-6)
