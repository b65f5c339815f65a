"""Where the true class stands among all, best first: what top-k accuracy follows from for every k."""

from __future__ import annotations

import numpy as np

from mlsession.session.phase import Array


def true_ranks(truth: Array, probabilities: Array) -> Array:
    """int64 [n]: how many classes come before the true one, for int [n] true classes and float [n, K] probabilities.

    Classes of equal probability come in their own order, so that rank 0 is what is predicted.
    """
    of_truth = probabilities[np.arange(len(truth)), truth][:, np.newaxis]
    is_earlier = np.arange(probabilities.shape[1]) < truth[:, np.newaxis]
    before = (probabilities > of_truth) | ((probabilities == of_truth) & is_earlier)
    ranks: Array = before.sum(axis=1, dtype=np.int64)
    return ranks


def best_classes(probabilities: Array, count: int) -> Array:
    """int64 [n, min(count, K)]: the best classes of float [n, K] probabilities, best first, of equals the earlier."""
    left = probabilities.copy()
    rows, chosen = np.arange(len(left)), min(count, left.shape[1])
    best = np.empty((len(left), chosen), dtype=np.int64)
    for place in range(chosen):  # A few passes: sorting all of a thousand classes takes many times as long.
        best[:, place] = left.argmax(axis=1)
        left[rows, best[:, place]] = -1.0
    return best
