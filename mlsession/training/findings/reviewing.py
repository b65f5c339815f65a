"""A review of a session's images from what it has extracted: near duplicates, likely label errors, leakage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mlsession.clock import SystemClock
from mlsession.data.folds import fold_of, judged_classes
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter
from mlsession.extractors.numerics import torch_numerics
from mlsession.job.context import JobContext
from mlsession.phases.corpus import Part
from mlsession.randomness import key_digest
from mlsession.reviewing.confident import label_errors
from mlsession.reviewing.findings import Finding, Found, found_errors, found_pairs, groups_of, with_corrections
from mlsession.reviewing.heldout import HeldOut, held_out
from mlsession.reviewing.neighbours import ALIKE, similar_pairs
from mlsession.reviewing.report import ReviewReport
from mlsession.reviewing.rows import SOURCES, ReviewRows, RowsGathered, add_extracted
from mlsession.session.session import TrainingSession
from mlsession.training.findings.extracted import Tell, extracted_session, reading_features, say_retries
from mlsession.training.images.corrected import recorded_corrections
from mlsession.training.images.inputs import TRAINING_INDEX
from mlsession.training.prepare import recorded
from mlsession.training.said import training_line
from mlsession.training.sources import featurizer_of
from mlsession.training.task import ImageClassification


def review(
    session: TrainingSession | str | Path,
    test: DataSource | Literal["recorded"] | None = "recorded",
    *,
    similarity: float = ALIKE,
    storage_options: Mapping[str, object] | None = None,
    tell: Tell = lambda text: None,
) -> ReviewReport:
    """Looks for images of a session that a person should look at, by the features that it has extracted.

    `session` is one that has extracted its images, or its path or URL; it is only read. `test` are images that must
    not be among the training images: by default those that the session was last tested on, and none with None. They
    are read, and extracted where the feature cache has not their features. `similarity` is the least cosine of two
    images that look the same. What it does and finds is in docs/review.md. `tell` hears in words what it begins with.

    Raises `UsageError` for a session that has not extracted all its images, `InvalidParameter`, `DamagedData`,
    `StoreError`, and for the test images what `DataSource.index` raises.
    """
    if not 0 < similarity <= 1:
        raise InvalidParameter("similarity", similarity, "must be above 0, and at most 1")
    with extracted_session(session, "review it", storage_options) as opened:
        return _reviewed(opened, test, similarity, tell)


def _reviewed(
    session: TrainingSession, test: DataSource | Literal["recorded"] | None, similarity: float, tell: Tell
) -> ReviewReport:
    context = JobContext(emit=partial(say_retries, tell), clock=SystemClock())
    with ExitStack() as stack:
        task = stack.enter_context(recorded(session, context))
        tested, skipped = task.test if test == "recorded" else None, list[tuple[str, str]]()
        if isinstance(test, DataSource):
            policy = context.read_policy(session.parameters)
            reader = stack.enter_context(closing(test.reader(policy)))
            tested = _part_of(test.index(min_classes=1, policy=policy), task.corpus.classes, reader)
        rows = _rows(session, task, tested, skipped, tell)
        stack.enter_context(torch_numerics(task.threads))
        tell("looking for pictures that look alike")
        found, unjudged, accuracy = _found(rows, task, similarity, tell)
        parts = (task.corpus.training, task.corpus.validation, tested)
        findings: Iterable[Finding] = (_finding(each, rows, parts, task.corpus.classes) for each in found)
        if (corrections := recorded_corrections(session, TRAINING_INDEX)) is not None:
            findings = with_corrections(findings, corrections)
        return ReviewReport(
            url=session.url,
            findings=tuple(findings),
            images={name: int((rows.source == code).sum()) for code, name in enumerate(SOURCES)},
            accuracy=accuracy,
            unjudged=unjudged,
            similarity=similarity,
            skipped=tuple(skipped),
            training=training_line(session, task.parameters, repeats_corrections=True).again({}),
        )


def _part_of(index: ImageIndex, classes: tuple[str, ...], reader: SourceReader) -> Part:
    """Test images; what they are labelled does not matter here, so they may have labels that the model has not."""
    known = set(classes)
    places = np.array([classes.index(name) if name in known else -1 for name in index.classes], dtype=np.int64)
    return Part(keys=index.keys, labels=places[index.labels], read=reader.read, is_shared=reader.opens_shared)


def _rows(
    session: TrainingSession,
    task: ImageClassification,
    test: Part | None,
    skipped: list[tuple[str, str]],
    tell: Tell,
) -> ReviewRows:
    """The features of all sources; test images that cannot be read are added to `skipped`."""
    tell(reading_features(session))
    gathered = RowsGathered(len(task.corpus) + (0 if test is None else len(test.keys)))
    add_extracted(gathered, session.past, task.corpus.labels, len(task.corpus.training.keys))
    if test is not None:
        tell(f"reading {len(test.keys):,} test images")
        with closing(featurizer_of(task.settled(session.past), is_shared=test.is_shared)) as featurizer:
            for pictures in featurizer.batches(range(len(test.keys)), test.keys.__getitem__, test.bytes_of):
                skipped.extend((test.keys[each.row], each.reason) for each in pictures if not each.is_readable)
                readable = [each for each in pictures if each.is_readable]
                if readable:
                    places = np.array([each.row for each in readable], dtype=np.int64)
                    digests = np.stack([np.frombuffer(each.digest, dtype=np.uint8) for each in readable])
                    features = np.concatenate([each.features for each in readable])
                    gathered.add(features, test.labels[places], digests, SOURCES.index("test"), places)
    return gathered.rows()


def _found(
    rows: ReviewRows, task: ImageClassification, similarity: float, tell: Tell
) -> tuple[list[Found], tuple[str, ...], float | None]:
    """Findings, classes that could not be judged, and the accuracy of heads on what they have not seen."""
    classes, seed, count = task.corpus.classes, task.parameters.seed, rows.num_training
    pairs = similar_pairs(rows, similarity, seed)
    labels = rows.labels[:count]
    folds = fold_of(labels, groups_of(pairs, count), rows.digests[:count], key_digest(seed, "review fold"))
    judged = judged_classes(labels, folds, len(classes))
    unjudged = tuple(name for name, is_judged in zip(classes, judged, strict=True) if not is_judged)
    if sum(judged) < 2:
        return found_pairs(rows, pairs, None), unjudged, None
    tell("asking heads about images that they have not seen")
    said = held_out(rows, folds, judged, classes)
    errors = label_errors(said, len(classes))
    return [*found_errors(errors, said), *found_pairs(rows, pairs, said)], unjudged, accuracy_of(said)


def accuracy_of(said: HeldOut) -> float:
    """The share of images whose given label is the likeliest."""
    right, step = 0, 4_096
    for start in range(0, len(said.labels), step):
        places: npt.NDArray[np.int64] = np.arange(start, min(start + step, len(said.labels)))
        right += int((said.take(places).argmax(axis=1) == said.labels[places]).sum())
    return right / len(said.labels)


def _finding(found: Found, rows: ReviewRows, parts: tuple[Part | None, ...], classes: tuple[str, ...]) -> Finding:
    return Finding(
        path=_path(found.row, rows, parts),
        label=classes[rows.labels[found.row]],
        reason=found.reason,
        confidence=found.confidence,
        suggested="" if found.suggested < 0 else classes[found.suggested],
        other="" if found.other < 0 else _path(found.other, rows, parts),
        other_source="" if found.other < 0 else SOURCES[int(rows.source[found.other])],
    )


def _path(row: int, rows: ReviewRows, parts: tuple[Part | None, ...]) -> str:
    part = parts[int(rows.source[row])]
    assert part is not None
    return part.keys[int(rows.place[row])]
