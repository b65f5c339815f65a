"""Small sets of predicted rows, with ties, empty classes and certainties."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from mlsession.session.phase import Array

Rows = tuple[Array, Array]
"""Of int64 [n] true classes and float64 [n, K] probabilities."""


@st.composite
def predicted_rows(draw: st.DrawFn, most: int = 40) -> Rows:
    """Up to `most` rows of 1 to 6 classes; few different scores, so that many are equal."""
    classes, count = draw(st.integers(1, 6)), draw(st.integers(0, most))
    truth = draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    weight = st.sampled_from([0.0, 1e-12, 1e-3, 0.1, 1.0, 1.0, 7.0])
    weights = draw(st.lists(st.lists(weight, min_size=classes, max_size=classes), min_size=count, max_size=count))
    table = np.array(weights, dtype=np.float64).reshape(count, classes)
    table[table.sum(axis=1) == 0] = 1.0
    return np.array(truth, dtype=np.int64), table / table.sum(axis=1, keepdims=True)
