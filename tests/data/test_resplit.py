"""The split of changed data keeps every decision that was made."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlsession.data.digests import DigestMap
from mlsession.data.resplit import split_with_past
from mlsession.data.split import split_rows


def digests_of(contents: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    hashed = [hashlib.sha256(str(content).encode()).digest() for content in contents]
    return np.frombuffer(b"".join(hashed), dtype=np.uint8).reshape(len(contents), 32)


def sides_of(sides: dict[bytes, bool]) -> DigestMap:
    digests = np.frombuffer(b"".join(sides), dtype=np.uint8).reshape(-1, 32)
    return DigestMap(digests, np.array(list(sides.values()), dtype=np.int64))


rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=60)
ratios = st.sampled_from([0.0, 0.1, 0.3, 0.6])


@given(rows=rows, ratio=ratios, seed=st.integers(0, 5))
def test_without_a_past_it_is_the_plain_split(rows: list[tuple[int, int]], ratio: float, seed: int) -> None:
    labels, digests = np.array([label for label, _ in rows]), digests_of([content for _, content in rows])
    plain = split_rows(labels, digests, ratio, seed)
    assert split_with_past(labels, digests, ratio, seed, sides_of({})).tolist() == plain.tolist()


@given(before=rows, now=rows, ratio=ratios, seed=st.integers(0, 5))
def test_recorded_sides_are_kept_and_nothing_lies_on_both(
    before: list[tuple[int, int]], now: list[tuple[int, int]], ratio: float, seed: int
) -> None:
    old_labels, old_digests = np.array([label for label, _ in before]), digests_of([each for _, each in before])
    old = split_rows(old_labels, old_digests, ratio, seed)
    sides = {digest.tobytes(): bool(side) for digest, side in zip(old_digests, old, strict=True)}
    labels, digests = np.array([label for label, _ in now]), digests_of([content for _, content in now])
    chosen = split_with_past(labels, digests, ratio, seed, sides_of(sides))
    for digest, side in zip(digests, chosen, strict=True):
        if sides.get(digest.tobytes()) is False:
            assert not side, "a content that was trained on is validated on"
    assert not {d.tobytes() for d in digests[chosen]} & {d.tobytes() for d in digests[~chosen]}
    assert set(labels.tolist()) == set(labels[~chosen].tolist()), "a class has no row left to train on"
    kept = [d for d, side in zip(digests, chosen, strict=True) if sides.get(d.tobytes()) and not side]
    if kept:
        # Given back only where a class would otherwise be empty.
        would_be = np.array([sides.get(d.tobytes(), False) for d in digests])
        would_be |= chosen
        assert set(labels.tolist()) != set(labels[~would_be].tolist())


def test_a_class_whose_trained_images_are_gone_gets_the_held_out_ones_back() -> None:
    digests = digests_of([1, 2, 3])
    sides = {digests[0].tobytes(): False, digests[1].tobytes(): True, digests[2].tobytes(): True}
    chosen = split_with_past(np.array([0, 0, 1]), digests, 0.3, 0, sides_of(sides))
    assert chosen.tolist() == [False, True, False]
