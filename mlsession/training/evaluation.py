"""A classifier on labelled images of another source."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np

from mlsession.classifier.predictor import Predictor
from mlsession.data.reader import SourceReader
from mlsession.data.source import DataSource
from mlsession.errors import UnusableData
from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.sums import MetricSums
from mlsession.phases.featurize import Featurizer, Picture
from mlsession.phases.pictures import prepared_batches
from mlsession.training.task import part_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What was said of one labelled image."""

    path: str
    """Relative to the source's root."""
    label: str
    """Its true label."""
    predicted: str
    confidence: float

    def to_json(self) -> dict[str, object]:
        return {
            "path": self.path,
            "label": self.label,
            "predicted": self.predicted,
            "confidence": self.confidence,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Metrics, and the images behind them."""

    metrics: ClassifierMetrics
    images: tuple[ImageResult, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    """(path, reason) of images that cannot be read."""


def evaluate_source(predictor: Predictor, data: DataSource) -> Evaluation:
    """Predicts every image of a source. Raises `UnusableData` for one without images, or with other labels."""
    labels, index = predictor.model.labels, data.index(min_classes=1)
    unknown = sorted(set(index.classes) - set(labels))
    if unknown:
        raise UnusableData(str(data), f"the model does not know the label {unknown[0]!r}; it knows {', '.join(labels)}")
    sums, images, skipped = MetricSums.zero(len(labels)), [], []
    with closing(SourceReader(data.open)) as reader:
        part, featurizer = part_of(index, labels, reader.read), _featurizer(predictor)

        def picture(row: int) -> Picture:
            return featurizer.picture(row, part.keys[row], part.bytes_of(row))

        for pictures in prepared_batches(0, len(part.keys), picture):
            skipped += [(part.keys[picture.row], picture.reason) for picture in pictures if not picture.is_readable]
            readable = [picture for picture in pictures if picture.is_readable]
            probabilities = predictor.model.head.probabilities(featurizer.features(readable, part.bytes_of))
            rows = np.array([picture.row for picture in readable], dtype=np.int64)
            sums = sums.add(part.labels[rows], probabilities)
            for row, values in zip(rows.tolist(), probabilities, strict=True):
                best = int(values.argmax())
                images.append(
                    ImageResult(
                        path=part.keys[row],
                        label=labels[part.labels[row]],
                        predicted=labels[best],
                        confidence=float(values[best]),
                    )
                )
    return Evaluation(metrics=ClassifierMetrics.of(sums, labels), images=tuple(images), skipped=tuple(skipped))


def _featurizer(predictor: Predictor) -> Featurizer:
    spec = predictor.model.feature_extractor
    return Featurizer(predictor.extractor, spec.dimension, spec.input_side, cache=None)
