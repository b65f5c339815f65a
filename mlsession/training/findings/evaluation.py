"""A classifier on labelled images of another source."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np

from mlsession.augment.views import ViewPlan
from mlsession.classifier.predictor import Predictor
from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.images import ImageResults, result_columns
from mlsession.metrics.report import ClassifierMetrics
from mlsession.phases.featured import readable_views
from mlsession.phases.featurize import Featurizer
from mlsession.training.task import part_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Metrics, and the images behind them."""

    metrics: ClassifierMetrics
    images: ImageResults
    skipped: tuple[tuple[str, str], ...] = ()
    """(path, reason) of images that cannot be read."""


def evaluate_source(predictor: Predictor, data: DataSource, top: int, plan: ViewPlan | None = None) -> Evaluation:
    """Predicts every image of a source, and ranks the `top` best labels of each.

    Probabilities are averaged over the views of a `plan`; without one they are those of the image itself.
    Raises `UnusableData` for a source without images or with other labels, `InvalidParameter` for a `top` below 1.
    """
    if top < 1:
        raise InvalidParameter("top", top, "must be 1 or more")
    labels, index = predictor.model.labels, data.index(min_classes=1)
    unknown = sorted(set(index.classes) - set(labels))
    if unknown:
        raise UnusableData(str(data), f"the model does not know the label {unknown[0]!r}; it knows {', '.join(labels)}")
    sums, paths, columns, skipped = EvaluationSums.zero(len(labels)), [], [], []
    with closing(data.reader()) as reader:
        part, featurizer = part_of(index, labels, reader), _featurizer(predictor, reader, plan or ViewPlan())
        rows_of = range(len(part.keys))
        for pictures in featurizer.batches(rows_of, part.keys.__getitem__, part.bytes_of, augmented=True):
            skipped += [(part.keys[picture.row], picture.reason) for picture in pictures if not picture.is_readable]
            rows, views = readable_views(pictures)
            # All in one product, then the mean over each image's own.
            said = predictor.model.head.probabilities(views.reshape(-1, views.shape[2]))
            probabilities = said.reshape(*views.shape[:2], len(labels)).mean(axis=1)
            sums = sums.add(part.labels[rows], probabilities)
            paths += [part.keys[row] for row in rows.tolist()]
            columns.append(result_columns(part.labels[rows], probabilities, top))
    joined = {name: np.concatenate([batch[name] for batch in columns]) for name in columns[0]}
    return Evaluation(
        metrics=ClassifierMetrics.of(sums, labels),
        images=ImageResults(classes=labels, paths=tuple(paths), columns=joined),
        skipped=tuple(skipped),
    )


def _featurizer(predictor: Predictor, reader: SourceReader, plan: ViewPlan) -> Featurizer:
    spec, load = predictor.model.feature_extractor, predictor.model.loaded_extractor
    return Featurizer(load, spec.dimension, spec.input_side, cache=None, views=plan, is_shared=reader.opens_shared)
