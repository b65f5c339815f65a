"""Evaluating: every image once, as it is; a run from any saved step goes on as the unbroken one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlsession.errors import ModifiedTrainingData
from mlsession.heads.logistic.head import LogisticHead
from mlsession.metrics.report import ClassifierMetrics
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.evaluate import Evaluating, LookedAtAgain
from mlsession.phases.evaluated import PARTS, Leaked, leaked_of, metrics_of, results_of
from mlsession.phases.features import BLOCK, FeatureTable
from mlsession.phases.featurize import Featurizer
from mlsession.randomness import keyed_generator
from mlsession.session.log.blobs import decode_state, encode_arrays, encode_state
from mlsession.session.past import StoredPast
from mlsession.session.phase import Array, Arrays, PhaseState, Step
from tests.photos import PHOTOS

CLASSES = ("a", "b", "c")
VIEWS = 3
IMAGES = BLOCK + 300
DIMENSION = 4


class Means:
    """An extractor whose features are the mean colours and 1."""

    @property
    def dimension(self) -> int:
        return DIMENSION

    def extract(self, pictures: Array) -> Array:
        means = pictures.reshape(len(pictures), -1, 3).mean(axis=1) / 255
        return np.concatenate([means, np.ones((len(pictures), 1))], axis=1).astype(np.float32)


class Adds(StoredPast):
    """The past that steps leave behind."""

    def __init__(self, adds: list[Arrays]) -> None:
        self._adds = adds

    def rows(self, phase: str, block: int = 4096, names: object = None) -> Iterator[Arrays]:
        yield from self._adds


def table() -> FeatureTable:
    generator = keyed_generator(0, "table")
    image = np.repeat(np.arange(IMAGES), VIEWS)
    original = np.arange(len(image)) % VIEWS == 0
    held_out, readable = generator.random(IMAGES) < 0.3, generator.random(IMAGES) < 0.95
    return FeatureTable(
        features=generator.normal(size=(len(image), DIMENSION)).astype(np.float16),
        labels=generator.integers(0, len(CLASSES), IMAGES)[image],
        image=image,
        digests=np.zeros((IMAGES, 32), dtype=np.uint8),
        original=original,
        training=(readable & ~held_out)[image],
        validation=(readable & held_out)[image] & original,
    )


@pytest.fixture(scope="module")
def head() -> LogisticHead:
    generator = keyed_generator(0, "head")
    return LogisticHead(
        weight=generator.normal(size=(len(CLASSES), DIMENSION)).astype(np.float32),
        bias=np.zeros(len(CLASSES), dtype=np.float32),
    )


def runner(head: LogisticHead, load: Callable[[], FeatureTable] = table) -> Evaluating:
    photos = sorted((PHOTOS / "test" / "Kiwi").iterdir())[:3]
    keys = [*(str(photo) for photo in photos), "torn", *(str(photo) for photo in photos)] * 3
    test = Part(
        keys=keys,
        labels=np.arange(len(keys)) % len(CLASSES),
        read=lambda key: b"no picture" if key == "torn" else Path(key).read_bytes(),
    )
    featurizer = Featurizer(Means, DIMENSION, 32, cache=None)  # type: ignore[arg-type]
    return Evaluating(CLASSES, head, load, test, featurizer, nullcontext)


def taken(evaluating: Evaluating, state: PhaseState | None) -> list[tuple[Step, bytes]]:
    """Steps with their states as they are stored."""
    return [(step, encode_state(step.snapshot())) for step in evaluating.run(state)]


@pytest.fixture(scope="module")
def unbroken(head: LogisticHead) -> list[tuple[Step, bytes]]:
    return taken(runner(head), None)


def test_a_resumed_run_equals_the_unbroken_one(head: LogisticHead, unbroken: list[tuple[Step, bytes]]) -> None:
    assert len(unbroken) == 4  # Two blocks of the corpus, two batches of test images.
    for done, (_, state) in enumerate(unbroken[:-1], start=1):
        resumed = taken(runner(head), decode_state(state, "state"))
        assert [after for _, after in resumed] == [after for _, after in unbroken[done:]]
        for (step, _), (expected, _) in zip(resumed, unbroken[done:], strict=True):
            assert encode_arrays(step.adds) == encode_arrays(expected.adds)
            assert (step.iteration, step.item_count, step.last) == (
                expected.iteration,
                expected.item_count,
                expected.last,
            )


def test_every_readable_image_is_evaluated_once_and_as_it_is(
    head: LogisticHead, unbroken: list[tuple[Step, bytes]]
) -> None:
    steps = [step for step, _ in unbroken]
    known = table()
    past = Adds([step.adds for step in steps])
    originals = known.features[known.original].astype(np.float32)
    for part, chosen in (("training", known.training), ("validation", known.validation)):
        found = results_of(past, part)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found["row"], known.image[chosen & known.original])
        expected = head.probabilities(originals[found["row"]])
        np.testing.assert_array_equal(found["top"][:, 0], expected.argmax(axis=1))
        np.testing.assert_allclose(found["top_confidence"][:, 0], expected.max(axis=1), rtol=1e-6)
    assert results_of(past, "test")["row"].tolist() == [row for row in range(21) if row % 7 != 3]
    assert [notice.item for step in steps for notice in step.notices] == ["torn"] * 3
    assert [step.item_count for step in steps] == [BLOCK, IMAGES, IMAGES + 16, IMAGES + 21]
    assert {step.total_items for step in steps} == {IMAGES + 21}


def test_metrics_are_those_of_the_rows(head: LogisticHead, unbroken: list[tuple[Step, bytes]]) -> None:
    last, state = unbroken[-1]
    metrics = metrics_of(decode_state(state, "state"), CLASSES)
    assert tuple(metrics) == PARTS
    past = Adds([step.adds for step, _ in unbroken])
    for part in PARTS:
        rows, found = results_of(past, part), metrics[part]
        assert isinstance(found, ClassifierMetrics)
        assert found.count == len(rows["row"])
        assert found.accuracy == last.metrics[f"{part}_accuracy"] == (rows["rank"] == 0).mean()
        assert found.top_k_accuracy(2) == pytest.approx((rows["rank"] < 2).mean())
        assert found.log_loss == pytest.approx(-np.log(rows["truth_confidence"]).mean(), abs=1e-8)
        assert 0.0 <= found.roc_auc_ovr <= 1.0


def test_images_to_measure_on_that_are_also_trained_on_are_counted(head: LogisticHead) -> None:
    known = table()
    contents = keyed_generator(0, "contents").integers(0, 256, (IMAGES, 32)).astype(np.uint8)
    training, validation = (known.image[chosen & known.original] for chosen in (known.training, known.validation))
    left_out = np.setdiff1d(np.arange(IMAGES), [*training, *validation])
    photos = sorted((PHOTOS / "test" / "Kiwi").iterdir())[:3]
    digests = [np.frombuffer(hashlib.sha256(photo.read_bytes()).digest(), dtype=np.uint8) for photo in photos]
    contents[training[5]], contents[validation[0]], contents[left_out[0]] = digests
    contents[validation[1:4]] = contents[training[:3]]
    steps = taken(runner(head, lambda: replace(known, digests=contents)), None)
    past = Adds([step.adds for step, _ in steps])
    found = leaked_of(decode_state(steps[-1][1], "state"))
    held_out, tested = (results_of(past, part) for part in ("validation", "test"))
    assert found["validation"] == Leaked(images=3, right=int((held_out["rank"][1:4] == 0).sum()))
    # The first photo alone, six times: of the others one is held out, and one that of an image that cannot be read.
    assert found["test"] == Leaked(images=6, right=int((tested["rank"][tested["row"] % 7 % 4 == 0] == 0).sum()))
    resumed = taken(runner(head, lambda: replace(known, digests=contents)), decode_state(steps[2][1], "state"))
    assert resumed[-1][1] == steps[-1][1]


def small_table(corpus: Corpus) -> FeatureTable:
    """One row for each image of a corpus: features of another network, which nobody may ask for."""
    count = len(corpus)
    held_out, readable = np.arange(count) % 3 == 0, np.array([key != "torn" for key in corpus.training.keys])
    digests = [hashlib.sha256(corpus.bytes_of(row)).digest() for row in range(count)]
    return FeatureTable(
        features=np.full((count, DIMENSION), np.nan, dtype=np.float16),
        labels=corpus.labels,
        image=np.arange(count),
        digests=np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(count, 32),
        original=np.ones(count, dtype=np.bool_),
        training=readable & ~held_out,
        validation=readable & held_out,
    )


def looking_again(head: LogisticHead, corpus: Corpus, known: FeatureTable) -> Evaluating:
    featurizer, other = (Featurizer(Means, DIMENSION, 32, cache=None) for _ in range(2))  # type: ignore[arg-type]
    again = LookedAtAgain(corpus=corpus, featurizer=other)
    return Evaluating(CLASSES, head, lambda: known, corpus.training, featurizer, nullcontext, again)


def test_images_are_looked_at_again_where_the_network_is_another(head: LogisticHead) -> None:
    photos = [str(photo) for photo in sorted((PHOTOS / "test" / "Kiwi").iterdir())[:3]]
    keys = [*photos, "torn"] * 5
    part = Part(
        keys=keys,
        labels=np.arange(len(keys)) % len(CLASSES),
        read=lambda key: b"no picture" if key == "torn" else Path(key).read_bytes(),
    )
    corpus = Corpus(classes=CLASSES, training=part)
    known = small_table(corpus)
    unbroken = taken(looking_again(head, corpus, known), None)
    assert [step.item_count for step, _ in unbroken] == [16, 20, 36, 40]  # Two batches of the corpus, two of the test.
    past = Adds([step.adds for step, _ in unbroken])
    tested = results_of(past, "test")
    for name, chosen in (("training", known.training), ("validation", known.validation)):
        found = results_of(past, name)  # type: ignore[arg-type]
        assert found["row"].tolist() == np.flatnonzero(chosen).tolist()
        same = np.isin(tested["row"], found["row"])
        np.testing.assert_allclose(found["top_confidence"], tested["top_confidence"][same], rtol=1e-6)
    assert metrics_of(decode_state(unbroken[-1][1], "state"), CLASSES)["training"].count == known.training.sum()
    for done, (_, state) in enumerate(unbroken[:-1], start=1):
        resumed = taken(looking_again(head, corpus, known), decode_state(state, "state"))
        assert [after for _, after in resumed] == [after for _, after in unbroken[done:]]


def test_an_image_that_is_not_what_was_extracted_is_named(head: LogisticHead) -> None:
    photos = [str(photo) for photo in sorted((PHOTOS / "test" / "Kiwi").iterdir())[:3]]
    part = Part(keys=photos, labels=np.arange(3), read=lambda key: Path(key).read_bytes())
    corpus = Corpus(classes=CLASSES, training=part)
    known = small_table(corpus)
    changed = replace(known, digests=known.digests[[0, 2, 1]])
    with pytest.raises(ModifiedTrainingData) as raised:
        taken(looking_again(head, corpus, changed), None)
    assert raised.value.replaced == (photos[1],)
