"""Batches whose order and contents follow from (seed, epoch, place) alone, so a training can go on in mid-epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sized
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from mlsession.errors import InvalidParameter
from mlsession.heads.perceptron.order import epoch_order
from mlsession.randomness import key_digest

Item_co = TypeVar("Item_co", covariant=True)


class MapDataset(Sized, Protocol[Item_co]):
    """What has a length, and an item for each number below it."""

    def __getitem__(self, index: int, /) -> Item_co: ...


class KeyedLoader:
    """A loader for Lightning and for plain loops: resumable in mid-epoch, and the same with any number of workers.

        loader = KeyedLoader(dataset, batch_size=32, seed=0, num_workers=4)

    Each epoch takes every item once, in an order of its own. Before an item is read the generators of torch, numpy and
    Python are seeded by (seed, epoch, place of the item), so random transforms in the dataset draw the same whichever
    worker runs them, and after any restart. With several processes each takes every `world_size`-th batch of an epoch,
    from its `rank` on; what is left over when the batches do not divide evenly is left out, so that all have as many.
    """

    def __init__(
        self,
        dataset: MapDataset[object],
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        **options: object,
    ) -> None:
        """`options` are those of torch's `DataLoader`: `num_workers`, `collate_fn`, `pin_memory` and so on."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise InvalidParameter("batch_size", batch_size, "must be a whole number, 1 or more")
        if not 0 <= rank < world_size:
            raise InvalidParameter("rank", rank, f"must be 0 or more, and below world_size={world_size}")
        self._dataset = dataset
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._drop_last = drop_last
        self._share = (rank, world_size)
        self._options = options
        self._epoch = 0
        self._done = 0

    @property
    def sampler(self) -> KeyedLoader:
        """What Lightning tells the epoch to."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next pass is of; where it is another than before, the pass begins with the first batch."""
        if epoch != self._epoch:
            self._epoch, self._done = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """How far it has come: the epoch, and the batches of it that were handed out."""
        return {"epoch": self._epoch, "batches": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes on where `state_dict` was asked."""
        self._epoch, self._done = state["epoch"], state["batches"]

    def __len__(self) -> int:
        """Batches of an epoch, for this process."""
        count = len(self._dataset)
        batches = count // self._batch_size if self._drop_last else -(-count // self._batch_size)
        return batches // self._share[1]

    def __iter__(self) -> Iterator[object]:
        # A generator: by the time of the first batch the epoch has been set.
        epoch = self._epoch
        if self._done >= len(self):
            self._done = 0
        batches = self._batches(epoch)[self._done :]
        loader: DataLoader[object] = DataLoader(
            _KeyedItems(self._dataset, self._seed, epoch),
            batch_sampler=batches,
            generator=torch.Generator().manual_seed(0),  # Its own, or it would draw from the one of everybody.
            **self._options,  # type: ignore[arg-type]  # Checked there.
        )
        for batch in loader:
            self._done += 1
            yield batch

    def _batches(self, epoch: int) -> list[list[int]]:
        count, (rank, world_size) = len(self._dataset), self._share
        order = epoch_order(self._seed, epoch, count) if self._shuffle else np.arange(count)
        places, size = order.tolist(), self._batch_size
        return [places[start : start + size] for start in range(0, count, size)][rank::world_size][: len(self)]


class _KeyedItems(Dataset[object]):
    """The dataset, each item read with generators that are seeded for it."""

    def __init__(self, dataset: MapDataset[object], seed: int, epoch: int) -> None:
        self._dataset = dataset
        self._seed = seed
        self._epoch = epoch

    def __getitem__(self, index: int) -> object:
        seed_generators(self._seed, "item", self._epoch, index)
        return self._dataset[index]


def seed_generators(seed: int, *what: str | int) -> None:
    """Seeds the global generators of torch, numpy and Python for one purpose, since other people's code uses them."""
    digest = key_digest(seed, *what)
    torch.manual_seed(int.from_bytes(digest[:8], "little"))
    np.random.seed(int.from_bytes(digest[8:12], "little"))
    random.seed(digest)
