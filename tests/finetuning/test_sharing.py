"""Vectors in parts: which elements each device has, what it saves of them, and who may go on from that."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np
import pytest
import torch

from mlsession.devices.group import Group
from mlsession.errors import DamagedData, KeyMissing, StoreFull, WorkerLost
from mlsession.finetuning.layout import common, count_of, from_places, pieces_of, rows_of, to_places
from mlsession.finetuning.lockstep import Lockstep
from mlsession.phases.tuning.keeping import ShardKeeper
from mlsession.phases.tuning.state import PLACES, part_of_vectors
from mlsession.phases.tuning.together import LeftTogether, done_in_step, done_together
from mlsession.session.log.blobs import decode_arrays, read_blob
from mlsession.session.log.layout import blob_key
from mlsession.session.phase import Array, PhaseState
from mlsession.store import MemoryStore
from tests.devices.worlds import gloo_groups, in_world, in_worlds

SHAPES = ((5, 3), (2,), (1, 4, 2), (7,), ())
COUNT = sum(math.prod(shape) for shape in SHAPES)


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_rows_are_those_that_torch_gives(size: int) -> None:
    for rows in range(1, 10):
        chunks = list(torch.arange(rows).chunk(size))
        chunks += [torch.arange(0)] * (size - len(chunks))
        assert [[*range(rows)[rows_of(rows, rank, size)]] for rank in range(size)] == [each.tolist() for each in chunks]


@pytest.mark.parametrize("size", [1, 2, 3, 9])
def test_each_element_is_in_one_place(size: int) -> None:
    parts = [pieces_of(SHAPES, rank, size) for rank in range(size)]
    elements = [element for part in parts for piece in part for element in range(COUNT)[piece]]
    assert sorted(elements) == list(range(COUNT))
    for part in parts:
        again = from_places(to_places(part))
        assert again == tuple(piece for piece in part if piece.stop > piece.start)
        assert count_of(again) == count_of(part)


def shards_of(vectors: dict[str, Array], size: int) -> list[dict[str, Array]]:
    found = []
    for rank in range(size):
        pieces = pieces_of(SHAPES, rank, size)
        parts = {name: np.concatenate([vector[piece] for piece in pieces]) for name, vector in vectors.items()}
        found.append({**parts, PLACES: to_places(pieces)})
    return found


def vectors() -> dict[str, Array]:
    return {name: np.arange(COUNT, dtype=np.float32) + start for name, start in (("point", 0.5), ("moments", 100.0))}


@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 2), (2, 3), (3, 1), (4, 2), (0, 3)])
def test_any_number_of_devices_goes_on(before: int, after: int) -> None:
    """0: what was saved by devices that have all of it."""
    whole, read = vectors(), []

    def reader(number: int, shard: dict[str, Array]) -> dict[str, Array]:
        read.append(number)
        return shard

    shards = [partial(reader, number, shard) for number, shard in enumerate(shards_of(whole, before))]
    state = PhaseState(whole if before == 0 else {}, {}, shards)
    for rank in range(after):
        pieces = pieces_of(SHAPES, rank, after)
        read.clear()
        found = part_of_vectors(state, list(whole), COUNT, pieces, first=rank)
        for name, vector in whole.items():
            np.testing.assert_array_equal(found[name], np.concatenate([vector[piece] for piece in pieces]))
        if before == after:
            assert read == [rank]


def test_shards_that_do_not_fit_together_are_damage() -> None:
    whole = vectors()
    first, second = shards_of(whole, 2)
    cut = {**second, "point": second["point"][:-1]}
    others: list[tuple[list[dict[str, Array]], str]] = [
        ([first], f"lack {count_of(pieces_of(SHAPES, 1, 2))} of {COUNT} elements"),
        ([first, first], "have the same elements"),
        ([first, cut], "the vectors of a shard are not"),
        ([first, {**second, PLACES: second[PLACES][::-1].copy()}], "do not follow each other"),
        ([first, {**second, PLACES: second[PLACES].astype(np.float64)}], r"not int64 \[n, 2\]"),
        ([first, {name: array for name, array in second.items() if name != "moments"}], "KeyError"),
    ]
    for shards, reason in others:
        state = PhaseState({}, {}, [partial(dict, shard) for shard in shards])
        with pytest.raises(DamagedData, match=reason):
            part_of_vectors(state, list(whole), COUNT, [slice(0, COUNT)])


def test_pieces_meet_where_they_overlap() -> None:
    mine, theirs = (slice(0, 2), slice(5, 9), slice(12, 13)), (slice(1, 7), slice(8, 20))
    assert list(common(mine, theirs)) == [
        (slice(1, 2), slice(0, 1)),
        (slice(2, 4), slice(4, 6)),
        (slice(5, 6), slice(6, 7)),
        (slice(6, 7), slice(10, 11)),
    ]


def in_keepers(size: int, store: MemoryStore, work: Callable[[ShardKeeper, Group], object]) -> list[object]:
    """What `work` gives on each rank of a world, with the group that is not the keeper's."""

    def run(rank: int) -> object:
        keeper, group = ShardKeeper(Group(apart[rank]), lambda: store), Group(groups[rank])
        try:
            return work(keeper, group)
        finally:
            group.agree(None)
            keeper.close()

    groups, apart = gloo_groups(size), gloo_groups(size)
    return [outcome.result() for outcome in in_worlds([partial(run, rank) for rank in range(size)])]


def test_each_writes_its_own_part() -> None:
    store = MemoryStore()

    def work(keeper: ShardKeeper, group: Group) -> object:
        part = {"values": np.full(3, group.rank, dtype=np.float32)}
        if group.rank:
            keeper.keep(4, {"values": np.zeros(1, dtype=np.float32)})  # Of a save that came to nothing.
            keeper.keep(7, part)
            return None
        return keeper.writer(7, part)(store, 2, 9)

    refs, *_ = in_keepers(3, store, work)
    assert isinstance(refs, list)
    assert [ref.key for ref in refs] == [blob_key(2, 9, ref.sha256) for ref in refs]
    found = [decode_arrays(read_blob(store, ref), ref.key)["values"].tolist() for ref in refs]
    assert found == [[rank] * 3 for rank in range(3)]


def test_what_one_cannot_write_nobody_commits() -> None:
    class Full(MemoryStore):
        def put(self, key: str, data: bytes) -> None:
            if b"values" in data:
                raise StoreFull("no space left", key)

    store, full = MemoryStore(), Full()

    def work(keeper: ShardKeeper, group: Group) -> object:
        part = {"values": np.zeros(3, dtype=np.float32)}
        if group.rank:
            keeper.keep(1, part)
            return None
        with pytest.raises(StoreFull, match=r"rank 1 on .*: no space left"):
            keeper.writer(1, part)(store, 2, 9)
        return True

    assert in_keepers(2, full, work) == [True, None]


@pytest.mark.parametrize("together", [done_together, done_in_step])
def test_all_go_on_or_none(together: Callable[[Group, Callable[[], object]], object]) -> None:
    def work(group: Group) -> str:
        assert together(group, lambda: group.rank) == group.rank

        def fail() -> None:
            if group.rank == 1:
                raise DamagedData("blobs/1", "other bytes")

        try:
            together(group, fail)
        except (DamagedData, LeftTogether) as error:
            with suppress(KeyMissing, LeftTogether):
                together(group, lambda: None if group.rank else _raise())
            return type(error).__name__ + str(error)
        return ""

    outcomes = [outcome.result() for outcome in in_world(3, work)]
    assert outcomes == ["DamagedDatablobs/1 is damaged: other bytes", "LeftTogether", "LeftTogether"]


def _raise() -> None:
    raise KeyMissing("gone", "blobs/2")


def test_what_waits_to_be_saved_when_a_phase_ends_is_still_written() -> None:
    store = MemoryStore()

    def work(keeper: ShardKeeper, group: Group) -> object:
        part = {"values": np.zeros(3, dtype=np.float32)}
        if group.rank:
            keeper.keep(1, part)
            return None
        late = keeper.writer(1, part)
        keeper.close()
        return len(late(store, 2, 9))

    assert in_keepers(2, store, work) == [2, None]


def test_one_that_cannot_open_the_store_says_so() -> None:
    store = MemoryStore()

    def denied() -> MemoryStore:
        raise StoreFull("no handle left", "")

    def run(rank: int) -> object:
        keeper, group = ShardKeeper(Group(apart[rank]), denied if rank else lambda: store), Group(groups[rank])
        try:
            part = {"values": np.zeros(3, dtype=np.float32)}
            if rank:
                keeper.keep(1, part)
                return None
            with pytest.raises(StoreFull, match=r"rank 1 on .*: no handle left"):
                keeper.writer(1, part)(store, 2, 9)
            return True
        finally:
            group.agree(None)
            keeper.close()

    groups, apart = gloo_groups(2), gloo_groups(2)
    assert [each.result() for each in in_worlds([partial(run, rank) for rank in range(2)])] == [True, None]


def test_who_lacks_memory_is_heard_in_place_of_the_next_exchange() -> None:
    """Whenever that is, nobody waits for anybody; and afterwards all can speak with each other again."""

    def work(group: Group, early: int) -> list[str]:
        said, lockstep = [], Lockstep(group)
        for lacking in (None, early, early, group.size):
            try:
                with lockstep.whole():
                    for exchange in range(3):
                        if lacking is not None and group.rank >= lacking and exchange == group.rank % 3:
                            raise torch.OutOfMemoryError("out of memory")
                        lockstep.exchange(partial(group.sum, torch.ones(1)))
            except RuntimeError as error:
                said.append(type(error).__name__)
            else:
                said.append("")
            assert group.agree("together") == "together"
        return said

    for early in (1, 2):
        outcomes = [outcome.result() for outcome in in_world(3, partial(work, early=early))]
        elsewhere = ["", "OthersLackMemory", "OthersLackMemory", ""]
        assert outcomes[0] == elsewhere
        assert outcomes[2][0] == outcomes[2][3] == ""
        # Who would have said so later than another has heard it first.
        assert {name for outcome in outcomes for name in outcome[1:3]} == {"OthersLackMemory", "OutOfMemoryError"}


def test_without_memory_inside_an_exchange_the_world_ends() -> None:
    def work(group: Group) -> str:
        def exchange() -> None:
            raise torch.OutOfMemoryError("NCCL: out of memory")

        with pytest.raises(WorkerLost, match=r"has no memory for what the devices exchange \(NCCL"):
            Lockstep(group).exchange(exchange)
        with pytest.raises(RuntimeError, match="another reason"):
            Lockstep(group).exchange(_fail)
        return "heard"

    assert [outcome.result() for outcome in in_world(2, work)] == ["heard"] * 2


def _fail() -> None:
    raise RuntimeError("another reason")
