"""Checkpoints of torch as arrays and JSON."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.integrations.lightning.tree import flatten, inflate
from mlsession.session.log.blobs import decode_state, encode_state
from mlsession.session.phase import PhaseState

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


@st.composite
def tensors(draw: st.DrawFn) -> torch.Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    seed = draw(st.integers(0, 99))
    numbers = torch.randint(-5, 5, shape, generator=torch.Generator().manual_seed(seed)).to(
        draw(st.sampled_from(DTYPES))
    )
    return numbers.T if numbers.ndim == 2 else numbers


LEAVES = PLAIN | tensors() | tensors().map(lambda tensor: tensor.to(torch.float32).numpy())
KEYS = st.text() | st.integers() | st.tuples(st.text(), st.integers())
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=3)
        | st.dictionaries(KEYS, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=8,
)


def same(left: object, right: object) -> bool:
    """Whether two trees are equal, down to types, dtypes, bits and the order of keys."""
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return left.dtype == right.dtype and left.shape == right.shape and torch.equal(left, right)
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        return left.dtype == right.dtype and np.array_equal(left, right, equal_nan=True)
    if isinstance(left, dict) and isinstance(right, dict):
        return len(left) == len(right) and all(
            same(one, other) for one, other in zip(left.items(), right.items(), strict=True)
        )
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    return repr(left) == repr(right)


@given(TREES)
def test_comes_back_as_it_was_through_the_stored_form(tree: object) -> None:
    arrays, spelled = flatten(tree)
    stored = decode_state(encode_state(PhaseState(arrays, {"tree": spelled})), "a state")
    assert same(inflate(stored.data["tree"], stored.arrays), tree)


def test_every_schedule_of_learning_rates_can_be_kept() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler
    schedules = [
        scheduler.MultiStepLR(optimizer, [2, 2, 5]),
        scheduler.OneCycleLR(optimizer, 0.1, total_steps=10),
        scheduler.ReduceLROnPlateau(optimizer),
        scheduler.CosineAnnealingWarmRestarts(optimizer, 5),
        scheduler.CyclicLR(optimizer, 0.1, 0.2),
        scheduler.SequentialLR(optimizer, [scheduler.ConstantLR(optimizer), scheduler.StepLR(optimizer, 1)], [3]),
    ]
    for schedule in schedules:
        arrays, tree = flatten(schedule.state_dict())
        assert same(inflate(tree, arrays), schedule.state_dict())


def test_what_is_kept_is_a_copy() -> None:
    weights = torch.zeros(3)
    arrays, _ = flatten({"weights": weights})
    weights += 1
    assert [array.tolist() for array in arrays.values()] == [[0, 0, 0]]


def test_a_module_and_its_optimizer_come_back_with_the_versions_of_their_layers() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(4, 3)).sum().backward()
    optimizer.step()
    arrays, tree = flatten({"module": module.state_dict(), "optimizer": optimizer.state_dict()})
    json.dumps(tree)
    back = inflate(tree, arrays)
    assert isinstance(back, dict)
    assert back["module"]._metadata == module.state_dict()._metadata  # type: ignore[attr-defined]
    assert same(back["optimizer"], optimizer.state_dict())
    torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).load_state_dict(back["module"])


@pytest.mark.parametrize(
    "leaf", [Path("x"), object(), {1, 2}, torch.zeros(2).to_sparse(), np.array(["x"]), type("Sub", (dict,), {})()]
)
def test_another_leaf_is_an_error_that_names_its_place(leaf: object) -> None:
    with pytest.raises(InvalidParameter, match=r"checkpoint\['callbacks'\]\[1\]\['it'\]"):
        flatten({"callbacks": [0, {"it": leaf}]})


@pytest.mark.parametrize(
    "tree", [{"tensor": "gone"}, {"dict": 3}, {"dict": [[1]]}, {"list": {}}, {"other": 1}, [1], {"tensor": 5}]
)
def test_a_tree_that_was_never_written_is_damage(tree: object) -> None:
    with pytest.raises(DamagedData):
        inflate(tree, {})  # type: ignore[arg-type]
