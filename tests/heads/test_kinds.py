"""A head is read back by the kind that was recorded with it."""

from __future__ import annotations

import numpy as np
import pytest

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.heads.kinds import head_from_tensors
from mlsession.heads.layer import Layer
from mlsession.heads.logistic.head import LogisticHead
from mlsession.heads.perceptron.head import PerceptronHead
from mlsession.heads.protocol import Head

LOGISTIC = LogisticHead(weight=np.ones((2, 3), dtype=np.float32), bias=np.zeros(2, dtype=np.float32))
LAYERS = tuple(
    Layer(weight=np.ones(shape, dtype=np.float32), bias=np.zeros(shape[0], dtype=np.float32))
    for shape in ((4, 3), (2, 4))
)
PERCEPTRON = PerceptronHead(layers=LAYERS)


@pytest.mark.parametrize("head", [LOGISTIC, PERCEPTRON])
def test_goes_round(head: Head) -> None:
    again = head_from_tensors(head.kind, head.tensors())
    assert type(again) is type(head)
    assert (again.num_classes, again.num_features) == (head.num_classes, head.num_features) == (2, 3)


def test_is_never_guessed() -> None:
    with pytest.raises(DamagedData, match="kind"):
        head_from_tensors(None, LOGISTIC.tensors())
    with pytest.raises(DamagedData, match=r"layers\.0\.weight"):
        head_from_tensors(PERCEPTRON.kind, LOGISTIC.tensors())
    with pytest.raises(DamagedData, match="weight"):
        head_from_tensors(LOGISTIC.kind, PERCEPTRON.tensors())
    with pytest.raises(InvalidParameter, match="logistic_regressor and multilayer_perceptron"):
        head_from_tensors("forest", LOGISTIC.tensors())
    wrong = {**LOGISTIC.tensors(), "bias": np.zeros(3, dtype=np.float32)}
    with pytest.raises(DamagedData, match="not those of a logistic_regressor"):
        head_from_tensors(LOGISTIC.kind, wrong)
