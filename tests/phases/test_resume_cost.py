"""Going on with an extraction: nothing of what was done is read before the first new step, and all of it by the end."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlsession.errors import DamagedData
from mlsession.phases.features import BLOCK, FeatureTable, let_go, make_room
from mlsession.session.phase import Arrays, PhaseState
from tests.augment.pictures import gradient, png

from .extracting import Images, Kept, extracted, extracting, hold_out, table


class Slow(Kept):
    """A past whose blocks are counted as they are read."""

    num_read = 0

    def rows(self, phase: str, block: int = 4096, names: Collection[str] | None = None) -> Iterator[Arrays]:
        for rows in super().rows(phase, 16, names):
            self.num_read += 1
            yield rows


@pytest.fixture(scope="module")
def images() -> Images:
    names = [f"{'good' if number % 2 else 'bad'}/{number:03}.png" for number in range(112)]
    return Images(training={key: png(gradient(40 + row, 60) ^ np.uint8(row)) for row, key in enumerate(sorted(names))})


@pytest.fixture(scope="module")
def whole(images: Images) -> Kept:
    return extracted(images, set())


def interrupted(whole: Kept, steps: int) -> Slow:
    """What there was after some steps of 16 images."""
    return Slow(adds=whole.adds[:steps], last=PhaseState({}, {"rows": 16 * steps, "skipped": []}))


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_the_past_is_read_a_block_a_step_and_only_after_the_first(images: Images, whole: Kept, steps: int) -> None:
    past = interrupted(whole, steps)
    read = [past.num_read for step in extracting(images, set(), past).run(past.last)]
    assert len(read) == 7 - steps
    # The last step needs all of them: which images are held out follows from every one.
    assert read == [*(min(turn, steps) for turn in range(6 - steps)), steps]


def test_the_end_is_the_same(images: Images, whole: Kept) -> None:
    past = interrupted(whole, 3)
    *_, last = extracting(images, set(), past, split=hold_out(5, 100)).run(past.last)
    *_, expected = extracting(images, set(), Kept(), split=hold_out(5, 100)).run(None)
    assert {name: array.tobytes() for name, array in last.snapshot().arrays.items()} == {
        name: array.tobytes() for name, array in expected.snapshot().arrays.items()
    }


def test_digests_of_before_and_of_now_reach_the_split(images: Images, whole: Kept) -> None:
    seen: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = []

    def split(labels: Arrays, digests: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], rows: Arrays) -> object:
        seen.append(digests.copy())
        return np.arange(len(digests)) == 0

    past = interrupted(whole, 2)
    for _ in extracting(images, set(), past, split=split).run(past.last):  # type: ignore[arg-type]
        pass
    assert seen[0].tobytes() == whole.joined["digest"].tobytes()


@pytest.mark.parametrize(("stated", "kept"), [(48, 2), (32, 3), (1_000_000, 2)])
def test_a_past_of_other_rows_than_the_state_says_is_damage(
    images: Images, whole: Kept, stated: int, kept: int
) -> None:
    past = replace(interrupted(whole, kept), last=PhaseState({}, {"rows": stated, "skipped": []}))
    with pytest.raises(DamagedData):
        for _ in extracting(images, set(), past).run(past.last):
            pass


def test_features_of_another_type_are_damage(images: Images, whole: Kept) -> None:
    adds: list[Arrays] = [{**block, "features": block["features"].astype(np.float32)} for block in whole.adds]
    with pytest.raises(DamagedData, match="float16"):
        table(replace(whole, adds=adds), images)


def resident() -> int:
    """What of mapped files is in this process's memory, in kB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads what memory it has as Linux tells it")
def test_features_in_a_file_do_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.phases.features.MEMORY_BYTES", 0)
    before, rows, width = resident(), 4 * BLOCK, 1024
    features = make_room(rows, width)
    for start in range(0, rows, BLOCK):
        features[start : start + BLOCK] = start // BLOCK
        let_go(features)
    everything = np.ones(rows, dtype=np.bool_)
    found = FeatureTable(
        features=features,
        labels=np.zeros(rows, dtype=np.int64),
        image=np.arange(rows),
        digests=np.zeros((rows, 32), dtype=np.uint8),
        original=everything,
        training=everything,
        validation=~everything,
    )
    assert [int(block["features"].mean(dtype=np.float64)) for block in found.rows(everything)] == [0, 1, 2, 3]
    assert found.take(np.array([rows - 1, 0]))[:, 0].tolist() == [3, 0]
    assert resident() - before < features.nbytes / 1024 / 4
