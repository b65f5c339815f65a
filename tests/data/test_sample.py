"""A sample: alike in its classes, pure, and growing."""

from __future__ import annotations

import numpy as np

from mlsession.data.sample import LEAST, stratified_sample
from mlsession.randomness import key_digest, keyed_generator

LABELS = np.repeat(np.arange(3), (400, 100, 3))
DIGESTS = keyed_generator(0, "contents").integers(0, 256, (503, 32), dtype=np.uint8)
SALT = key_digest(1, "sample")


def test_classes_keep_their_shares() -> None:
    taken = stratified_sample(LABELS, DIGESTS, 0.1, SALT)
    assert np.bincount(LABELS[taken]).tolist() == [40, 10, LEAST]
    assert stratified_sample(LABELS, DIGESTS, 1.0, SALT).all()
    assert stratified_sample(LABELS[:0], DIGESTS[:0], 0.5, SALT).shape == (0,)


def test_the_order_of_the_rows_does_not_matter_and_the_salt_does() -> None:
    order = keyed_generator(0, "order of rows").permutation(len(LABELS))
    taken = stratified_sample(LABELS, DIGESTS, 0.3, SALT)
    assert (stratified_sample(LABELS[order], DIGESTS[order], 0.3, SALT) == taken[order]).all()
    assert (stratified_sample(LABELS, DIGESTS, 0.3, key_digest(2, "sample")) != taken).any()


def test_a_larger_sample_holds_the_smaller() -> None:
    small, large = (stratified_sample(LABELS, DIGESTS, share, SALT) for share in (0.2, 0.4))
    assert not (small & ~large).any()
    assert small.sum() < large.sum()
