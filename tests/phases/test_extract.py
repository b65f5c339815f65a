"""Extracting with views: a row for each, the image itself unchanged, and no view of a held-out image trained on."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest

import mlsession as ml
from mlsession.augment.options import AugmentationOption
from mlsession.cache.upkeep import look
from mlsession.phases.cache import FeatureCache, cache_folder
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.features import FeatureTable
from mlsession.session.phase import Phase
from mlsession.store import MemorySpace, MemoryStore
from tests.augment.pictures import digest_of, gradient, png

from .extracting import Cells, Images, Kept, extracted, extracting, hold_out, table

Options = set[AugmentationOption | str]
FIVE: Options = {"flip", ml.Rotate(views=2), ml.Noise(views=1)}
"""Four views beside the image itself."""


def file_of(number: int) -> bytes:
    return png(gradient(40 + number, 60 - number) ^ np.uint8(5 * number))


def training_files(count: int = 16) -> dict[str, bytes]:
    return {f"{'bad' if number < count // 2 else 'good'}/{number:02}.png": file_of(number) for number in range(count)}


@pytest.fixture(scope="module")
def images() -> Images:
    """16 images to train on, one of them broken, and 18 to validate on."""
    files = training_files() | {"bad/03.png": b"not a picture"}
    return Images(training=files, validation={f"good/{number}.png": file_of(number + 20) for number in range(18)})


@pytest.fixture(scope="module")
def whole(images: Images) -> Kept:
    return extracted(images, FIVE)


def test_rows_are_views_of_images_in_order(images: Images, whole: Kept) -> None:
    rows = whole.joined
    assert rows["view"].tolist() == [0, 1, 2, 3, 4] * 16 + [0] * 18
    assert rows["view"].dtype == np.uint8
    files = [*images.training.values(), *(images.validation or {}).values()]
    digests = [digest_of(data) for data, views in zip(files, [5] * 16 + [1] * 18, strict=True) for _ in range(views)]
    assert [digest.tobytes() for digest in rows["digest"]] == digests
    assert (rows["readable"] == 0).tolist() == [15 <= row < 20 for row in range(98)]
    assert (rows["features"].any(axis=1) == rows["readable"]).all()
    assert len(np.unique(rows["features"], axis=0)) == 98 - 4  # Each its own, but for the broken one's.
    assert whole.last is not None
    assert whole.last.data["rows"] == 98
    assert whole.last.arrays["readable"].shape == whole.last.arrays["validation"].shape == (34,)


def test_the_image_itself_has_the_features_that_it_has_without_augmentation(images: Images, whole: Kept) -> None:
    plain = extracted(images, set()).joined
    assert plain["view"].tolist() == [0] * 34
    originals = whole.joined["view"] == 0
    for name in ("features", "digest", "readable"):
        assert whole.joined[name][originals].tobytes() == plain[name].tobytes()


def test_steps_are_bounded_and_count_images(whole: Kept, images: Images) -> None:
    # 6 images of 5 rows are the most within 32; validation images come in batches of 16.
    assert [len(step.adds["view"]) for step in whole.steps] == [30, 30, 20, 16, 2]
    assert [step.item_count for step in whole.steps] == [6, 12, 16, 32, 34]
    assert [step.iteration for step in whole.steps] == [1, 2, 3, 4, 5]
    assert {(step.total, step.total_items) for step in whole.steps} == {(5, 34)}
    assert [step.last for step in whole.steps] == [False] * 4 + [True]
    assert whole.steps[0].metrics == {"views": 5.0}
    many = extracted(images, {"blur", "crop", "expose", "flip", "flip-vertical", "noise", "rotate"})
    assert [len(step.adds["view"]) for step in many.steps] == [24] * 16 + [16, 2]


def test_an_unreadable_image_is_named_once(whole: Kept) -> None:
    assert [notice.item for step in whole.steps for notice in step.notices] == ["bad/03.png"]
    assert whole.last is not None
    skipped = whole.last.data["skipped"]
    assert isinstance(skipped, list)
    assert [item[0] for item in skipped if isinstance(item, list)] == [3]


class Odd(Cells):
    """Divides by zero where a picture is black, as a network does that ends in a norm."""

    def extract(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        found = super().extract(images)
        with np.errstate(invalid="ignore"):
            return np.asarray(found / found.max(axis=1, keepdims=True), dtype=np.float32)


def test_an_image_without_numbers_for_features_is_left_out_and_named() -> None:
    black = png(np.zeros((40, 40, 3), dtype=np.uint8))
    # The copy gets the row that was made for the other one.
    space, images = MemorySpace(), Images(training=training_files() | {"bad/03.png": black, "good/09.png": black})
    for _ in range(2):  # The second time what can be is taken from the cache.
        kept = extracted(images, set(), cache=cache_in(space), extractor=Odd())
        assert np.flatnonzero(kept.joined["readable"] == 0).tolist() == [3, 9]
        assert not kept.joined["features"][[3, 9]].any()
        notices = {notice.item: notice.text for step in kept.steps for notice in step.notices}
        assert notices == dict.fromkeys(("bad/03.png", "good/09.png"), "its features are infinite or not a number")


@pytest.mark.parametrize("done", [1, 2, 3, 4])
def test_killed_after_any_step_it_goes_on_to_the_same_rows(images: Images, whole: Kept, done: int) -> None:
    kept = Kept()
    steps = extracting(images, FIVE, Kept()).run(None)
    for _ in range(done):
        kept.take(next(steps))
    steps.close()  # type: ignore[attr-defined]
    images.reads.clear()
    for step in extracting(images, FIVE, kept).run(kept.last):
        kept.take(step)
    assert [step.iteration for step in kept.steps] == [step.iteration for step in whole.steps]
    for name, array in whole.joined.items():
        assert kept.joined[name].tobytes() == array.tobytes()
    assert kept.last is not None
    assert whole.last is not None
    assert kept.last.data == whole.last.data
    assert {name: array.tolist() for name, array in kept.last.arrays.items()} == {
        name: array.tolist() for name, array in whole.last.arrays.items()
    }
    assert len(images.reads) == 34 - (whole.steps[done - 1].item_count or 0)  # Each image is read once.


def test_another_seed_changes_drawn_views_only(images: Images, whole: Kept) -> None:
    other = extracted(images, FIVE, seed=1).joined
    changed = (other["features"] != whole.joined["features"]).any(axis=1)
    # Views: 1 the flip, 2 noise, 3 and 4 rotations. Noise averages out over cells, but not exactly.
    drawn = (whole.joined["view"] >= 2) & (whole.joined["readable"] == 1)
    assert changed.tolist() == drawn.tolist()


def train_only(images: Images, *held_out: int) -> FeatureTable:
    return table(extracted(images, FIVE, split=hold_out(*held_out)), images)


def test_views_of_held_out_images_are_neither_trained_nor_validated_on() -> None:
    images = Images(training=training_files() | {"bad/03.png": b"broken"})
    found = train_only(images, 0, 5, 14)  # Of the readable ones: images 0, 6 and 15.
    assert found.image.tolist() == [image for image in range(16) for _ in range(5)]
    assert found.original.tolist() == [True, False, False, False, False] * 16
    assert np.unique(found.image[found.training]).tolist() == [1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14]
    assert found.training.sum() == 12 * 5
    assert found.image[found.validation].tolist() == [0, 6, 15]
    assert found.original[found.validation].all()
    assert found.labels.tolist() == [int(image >= 8) for image in range(16) for _ in range(5)]


def test_images_of_a_validation_source_have_no_views(images: Images, whole: Kept) -> None:
    found = table(whole, images)
    assert found.validation.tolist() == [False] * 80 + [True] * 18
    assert found.training.sum() == 15 * 5
    assert found.original[80:].all()


def cache_in(space: MemorySpace) -> FeatureCache:
    return FeatureCache(lambda: MemoryStore(space), cache_folder("cells", {}), lambda reason: None)


def test_sessions_with_and_without_augmentation_share_rows() -> None:
    space, images = MemorySpace(), Images(training=training_files())
    counted = Cells()
    first = extracted(images, set(), cache=cache_in(space), extractor=counted)
    assert counted.num_pictures == 16
    second = extracted(images, FIVE, cache=cache_in(space), extractor=counted)
    assert counted.num_pictures == 16 + 16 * 4
    assert second.steps[-1].metrics == {"views": 5.0, "reused": 16.0}
    # Other options, another order, another number of views: what is the same is not made again.
    third = extracted(images, {"flip", "crop", ml.Noise(views=1)}, cache=cache_in(space), extractor=counted)
    assert counted.num_pictures == 16 + 16 * 4 + 16 * 4
    assert third.steps[-1].metrics["reused"] == 16 * 3
    again = extracted(images, set(), cache=cache_in(space), extractor=counted)
    assert counted.num_pictures == 16 + 16 * 4 + 16 * 4
    assert again.joined["features"].tobytes() == first.joined["features"].tobytes()
    plain = extracted(images, {"flip", "crop", ml.Noise(views=1)})
    assert plain.joined["features"].tobytes() == third.joined["features"].tobytes()


def test_rows_that_are_damaged_in_the_cache_are_made_again() -> None:
    space, images = MemorySpace(), Images(training=training_files())
    first = extracted(images, FIVE, cache=cache_in(space))
    (key,) = look(MemoryStore(space)).packs
    data = MemoryStore(space).get(key)
    MemoryStore(space).put(key, data[:-1] + bytes([data[-1] ^ 1]))
    again = extracted(images, FIVE, cache=cache_in(space))
    assert again.joined["features"].tobytes() == first.joined["features"].tobytes()
    assert again.steps[-1].metrics == {"views": 5.0}


def test_the_table_takes_the_past_in_any_blocks(images: Images, whole: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    before = table(whole, images)
    monkeypatch.setattr("mlsession.phases.features.BLOCK", 7)
    after = table(whole, images)
    assert len(list(whole.rows(Phase.EXTRACTING, 7))) == 14
    for name in ("features", "labels", "image", "original", "training", "validation"):
        assert getattr(after, name).tobytes() == getattr(before, name).tobytes()


@pytest.mark.parametrize(
    ("validation", "expected"), [(None, True), ((True,), True), ((False,), False), ((None,), None)]
)
def test_many_readers_need_both_sources(validation: tuple[bool | None] | None, expected: bool | None) -> None:
    """A validation source that each reader opens anew would be opened by all those that the training source takes."""

    def part(shared: bool | None) -> Part:
        asked = None if shared is None else partial(bool, shared)
        return Part(keys=(), labels=np.zeros(0, dtype=np.int64), read=str.encode, is_shared=asked)

    corpus = Corpus(classes=(), training=part(True), validation=None if validation is None else part(*validation))
    assert (corpus.is_shared and corpus.is_shared()) is expected
