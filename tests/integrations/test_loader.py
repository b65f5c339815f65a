"""Batches that follow from (seed, epoch, place) alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.integrations.lightning import KeyedLoader


class Noisy:
    """Items with a random part from every generator that people use."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> tuple[int, float]:
        return index, float(torch.rand(())) + float(np.random.rand()) + random.random()


def epoch_of(loader: KeyedLoader, epoch: int) -> list[list[object]]:
    loader.set_epoch(epoch)
    return [[part.tolist() for part in batch] for batch in loader]  # type: ignore[attr-defined]


@settings(max_examples=25)
@given(count=st.integers(1, 40), size=st.integers(1, 9), world=st.integers(1, 3), drop=st.booleans())
def test_ranks_share_the_items_of_an_epoch(count: int, size: int, world: int, drop: bool) -> None:
    loaders = [KeyedLoader(Noisy(count), size, drop_last=drop, rank=rank, world_size=world) for rank in range(world)]
    batches = [epoch_of(loader, 3) for loader in loaders]
    assert {len(each) for each in batches} == {len(loaders[0])}
    seen = [index for each in batches for indices, _ in each for index in indices]  # type: ignore[attr-defined]
    assert len(seen) == len(set(seen))
    if world == 1 and not drop:
        assert sorted(seen) == list(range(count))


@settings(max_examples=25)
@given(count=st.integers(1, 40), size=st.integers(1, 9), epoch=st.integers(0, 3), data=st.data())
def test_goes_on_in_the_middle_of_an_epoch(count: int, size: int, epoch: int, data: st.DataObject) -> None:
    whole = epoch_of(KeyedLoader(Noisy(count), size, seed=1), epoch)
    taken = data.draw(st.integers(0, len(whole) - 1))
    first = KeyedLoader(Noisy(count), size, seed=1)
    first.set_epoch(epoch)
    batches = iter(first)
    for _ in range(taken):
        next(batches)
    second = KeyedLoader(Noisy(count), size, seed=1)
    second.load_state_dict(first.state_dict())
    assert epoch_of(second, epoch) == whole[taken:]


def test_epochs_differ_and_workers_change_nothing() -> None:
    alone, helped = KeyedLoader(Noisy(30), 4), KeyedLoader(Noisy(30), 4, num_workers=2)
    assert epoch_of(alone, 0) != epoch_of(alone, 1)
    assert epoch_of(alone, 1) == epoch_of(helped, 1)


def test_leaves_the_generator_of_everybody_alone_but_for_items() -> None:
    class Plain(Noisy):
        def __getitem__(self, index: int) -> tuple[int, float]:
            return index, 0.0

    loader = KeyedLoader(Plain(0), 4)
    before = torch.get_rng_state()
    assert list(loader) == []
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
def test_a_batch_has_a_size(batch_size: int) -> None:
    with pytest.raises(InvalidParameter, match="batch_size"):
        KeyedLoader(Noisy(3), batch_size)


def test_a_rank_is_one_of_the_world() -> None:
    with pytest.raises(InvalidParameter, match="rank"):
        KeyedLoader(Noisy(3), 1, rank=2, world_size=2)
