"""Folds: pure, alike, and with copies together."""

from __future__ import annotations

import numpy as np

from mlsession.data.folds import FOLDS, fold_of, judged_classes
from mlsession.randomness import key_digest, keyed_generator
from tests.reviewing.made import contents

LABELS = np.repeat(np.arange(3), (40, 23, 6))
DIGESTS = contents(len(LABELS))
ALONE = np.arange(len(LABELS))


def test_classes_are_spread_over_the_folds() -> None:
    folds = fold_of(LABELS, ALONE, DIGESTS, key_digest(1, "fold"))
    for label in range(3):
        counts = np.bincount(folds[label == LABELS], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(folds, minlength=FOLDS)
    assert sizes.max() - sizes.min() <= 2
    assert judged_classes(LABELS, folds, 3) == [True] * 3


def test_the_order_of_the_rows_does_not_matter_and_the_seed_does() -> None:
    order = keyed_generator(0, "order of rows").permutation(len(LABELS))
    folds = fold_of(LABELS, ALONE, DIGESTS, key_digest(1, "fold"))
    assert (fold_of(LABELS[order], ALONE, DIGESTS[order], key_digest(1, "fold")) == folds[order]).all()
    assert (fold_of(LABELS, ALONE, DIGESTS, key_digest(2, "fold")) != folds).any()


def test_copies_stay_together_whatever_their_labels() -> None:
    groups = ALONE.copy()
    groups[[5, 17, 50]] = 3  # Of class 0 and 1.
    groups[63:] = 63  # All of class 2.
    folds = fold_of(LABELS, groups, DIGESTS, key_digest(1, "fold"))
    assert len(set(folds[[3, 5, 17, 50]].tolist())) == 1
    assert len(set(folds[63:].tolist())) == 1
    assert judged_classes(LABELS, folds, 4) == [True, True, False, False]
