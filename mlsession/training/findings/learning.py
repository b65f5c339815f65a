"""The learning curve of a session, from what it has extracted: only read, nothing is extracted or stored."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mlsession.clock import SystemClock
from mlsession.curves.curve import LearningCurve, Trend
from mlsession.curves.measured import Judged, Material, judge
from mlsession.curves.power import FARTHEST
from mlsession.curves.projected import (
    accuracy_laws,
    least_error,
    measured_points,
    needed,
    outlook,
    projections,
    resampled,
    trend_of,
)
from mlsession.curves.splits import FEWEST_PER_CLASS, Turns, sample, turns_for
from mlsession.data.digests import DigestMap
from mlsession.data.together import ties_of
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.options import LogisticRegressor
from mlsession.job.context import JobContext
from mlsession.phases.features import FeatureTable, load_features
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.training.findings.extracted import Tell, extracted_session, reading_features, say_retries
from mlsession.training.outcome import kept_views
from mlsession.training.prepare import recorded
from mlsession.training.task import ImageClassification

MOST_IMAGES = 20_000
"""That a curve is measured on, unless somebody says otherwise."""


def learning_curve(
    session: TrainingSession | str | Path,
    *,
    most_images: int = MOST_IMAGES,
    storage_options: Mapping[str, object] | None = None,
    tell: Tell = lambda text: None,
) -> LearningCurve:
    """Accuracy by the number of training images, and what more of them can be expected to bring.

    `session` is one that has extracted its images, or its path or URL; it is only read. Heads are fitted to parts of
    its training images and asked about others: logistic regression with the session's penalty, whatever head the
    session itself has. Of more than `most_images` a sample is used. How it goes about it, and how far it can be
    trusted, is in docs/learning-curve.md. `tell` hears in words what it does.

    Raises `UsageError` for a session that has not extracted all its images, `UnusableData` for too few of them,
    `InvalidParameter`, `DamagedData`, `StoreError`.
    """
    if isinstance(most_images, bool) or not isinstance(most_images, int) or most_images < 1:
        raise InvalidParameter("most_images", most_images, "must be a whole number, 1 or more")
    context = JobContext(emit=partial(say_retries, tell), clock=SystemClock())
    with (
        extracted_session(session, "ask for its learning curve", storage_options) as opened,
        recorded(opened, context) as task,
    ):
        tell(reading_features(opened))
        table, seed = load_features(opened.past, task.corpus.labels), task.parameters.seed
        everything, unjudged = _material(table, task, _views(opened, task))
        _check_enough(everything, opened.url)
        chosen = sample(everything.labels, everything.digests, most_images, seed)
        material = everything if len(chosen) == len(everything) else _part(everything, chosen)
        _check_enough(material, opened.url)

        def told(done: int, total: int) -> None:
            if done % 20 == 0:
                tell(f"fitting heads to parts of {len(material):,} images: {done} of {total}")

        turns = turns_for(len(material))
        with torch_numerics(task.threads):
            judged = judge(material, _options(task, material.classes), _penalty(opened), turns, seed, told)
        return _curve(opened.url, everything, material, judged, unjudged, turns, seed)


def _views(session: TrainingSession, task: ImageClassification) -> tuple[int, ...] | None:
    """The views that the session trains on; None: all there are."""
    if not task.parameters.chooses_views:
        return None
    kept = kept_views(session.past, task.parameters) if Phase.SELECTING in session.timeline.newest else None
    return task.parameters.views.views_of(kept or ())


def _material(
    table: FeatureTable, task: ImageClassification, views: tuple[int, ...] | None
) -> tuple[Material, tuple[str, ...]]:
    """The readable images of the training source, those held out among them; and the classes with too few of them."""
    classes, count = task.corpus.classes, len(task.corpus.training.keys)
    readable = np.zeros(len(table.digests), dtype=np.bool_)
    readable[table.image[(table.training | table.validation) & table.original]] = True
    readable[count:] = False
    of_images, groups = table.labels[table.original], task.parameters.ties(task.corpus.training.keys)
    # Of readable ones alone: those that are not have no contents that could tell copies.
    apart = np.full(len(table.digests), -1, dtype=np.int64)
    digests = table.digests[readable]
    if groups is None:
        apart[readable] = DigestMap(digests).look_up(digests)[1]
    else:
        apart[readable] = ties_of(groups()[readable[:count]], digests)
    kept = np.zeros(len(classes), dtype=np.bool_)
    for label in range(len(classes)):
        kept[label] = len(np.unique(apart[readable & (of_images == label)])) > 1
    readable &= kept[of_images]
    unjudged = tuple(name for name, is_kept in zip(classes, kept.tolist(), strict=True) if not is_kept)
    places = np.cumsum(readable) - 1
    used = readable[table.image]
    rows = np.flatnonzero(used if views is None else used & np.isin(table.view, views))
    material = Material(
        table=table,
        rows=rows,
        image=places[table.image[rows]],
        labels=(np.cumsum(kept) - 1)[of_images[readable]],
        digests=table.digests[readable],
        classes=tuple(name for name, is_kept in zip(classes, kept.tolist(), strict=True) if is_kept),
        ties=None if groups is None else apart[readable],
    )
    return material, unjudged


def _check_enough(material: Material, url: str) -> None:
    """Raises `UnusableData` where a curve would be noise."""
    wanted, classes = FEWEST_PER_CLASS * len(material.classes), len(material.classes)
    found, takes = len(np.unique(material.digests, axis=0)), f"{FEWEST_PER_CLASS} images of each on average"
    if classes < 2:
        are = "there is 1 class" if classes else "there is no class"
        two = "two different images" if material.ties is None else "two groups of images"
        reason = f"{are} with {two} or more; a learning curve takes 2 of them, and {takes}"
        raise UnusableData(url, reason)
    if found < wanted:
        reason = f"{found:,} different images in {classes:,} classes are too few for a learning curve"
        raise UnusableData(url, f"{reason}; it takes {takes}")


def _part(material: Material, chosen: npt.NDArray[np.int64]) -> Material:
    """The same of some of the images."""
    places = np.full(len(material), -1, dtype=np.int64)
    places[chosen] = np.arange(len(chosen))
    kept = places[material.image] >= 0
    return Material(
        table=material.table,
        rows=material.rows[kept],
        image=places[material.image[kept]],
        labels=material.labels[chosen],
        digests=material.digests[chosen],
        classes=material.classes,
        ties=None if material.ties is None else material.ties[chosen],
    )


def _options(task: ImageClassification, classes: tuple[str, ...]) -> LogisticRegressor:
    """What heads are fitted with: the session's own options, as far as they are of logistic regression."""
    given = task.parameters.algorithm.head
    weights = getattr(given, "class_weight", None)
    if isinstance(weights, Mapping):
        weights = {label: weight for label, weight in weights.items() if label in classes}
    tolerance = given.tolerance if isinstance(given, LogisticRegressor) else LogisticRegressor().tolerance
    return LogisticRegressor(tolerance=tolerance, class_weight=weights)


def _penalty(session: TrainingSession) -> float | None:
    """The session's l2 times its rows; None where it has not fitted a logistic head yet."""
    newest = session.timeline.newest.get(Phase.TRAINING)
    if newest is None:
        return None
    data = session.past.state(Phase.TRAINING).data
    l2, rows = data.get("l2"), data.get("rows")
    return float(l2) * float(rows) if isinstance(l2, int | float) and isinstance(rows, int | float) else None


def _curve(
    url: str,
    everything: Material,
    material: Material,
    judged: Judged,
    unjudged: tuple[str, ...],
    turns: Turns,
    seed: int,
) -> LearningCurve:
    told = judged.told
    if told.sum() < 2:
        raise UnusableData(url, "all but one class have too few images to hold any of them out; add images of them")
    classes = tuple(name for name, is_told in zip(material.classes, told.tolist(), strict=True) if is_told)
    unjudged += tuple(name for name, is_told in zip(material.classes, told.tolist(), strict=True) if not is_told)
    counts, sampled = (
        np.bincount(each.labels, minlength=len(told))[told].astype(np.int64) for each in (everything, material)
    )
    judged, images = judged.of_told(), int(counts.sum())
    curves = resampled(judged, len(classes), seed)
    laws, farthest = accuracy_laws(judged, curves), FARTHEST * float(sampled.sum())
    now, projected = projections(laws, images, farthest, least_error(len(judged.labels)))
    twice = [each.gain for each in projected if each.factor == 2.0]
    return LearningCurve(
        url=url,
        images=images,
        sampled=int(sampled.sum()),
        classes=classes,
        unjudged=unjudged,
        repeats=turns.repeats,
        points=measured_points(judged, curves),
        trend=trend_of(twice[0]) if twice else Trend.UNCLEAR,
        now=now,
        projections=projected,
        needed=needed(laws, images, farthest),
        outlook=outlook(judged, curves, laws, classes, counts, sampled),
    )
