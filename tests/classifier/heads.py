"""Models around small heads of each kind, with features as wide as those of the embedded extractor."""

from __future__ import annotations

import numpy as np

from mlsession.classifier.model import ImageModel
from mlsession.extractors.catalog import scene_print
from mlsession.heads.layer import Layer
from mlsession.heads.logistic.head import LogisticHead
from mlsession.heads.perceptron.head import PerceptronHead
from mlsession.heads.protocol import Head
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Array

LABELS = ("cat", "dog", "owl")
WIDTH = scene_print().dimension


def drawn(*shape: int) -> Array:
    return keyed_generator(0, "drawn", *shape).normal(size=shape).astype(np.float32)


def logistic() -> LogisticHead:
    return LogisticHead(weight=drawn(3, WIDTH), bias=drawn(3))


def perceptron() -> PerceptronHead:
    return PerceptronHead(
        layers=(Layer(weight=drawn(4, WIDTH), bias=drawn(4)), Layer(weight=drawn(3, 4), bias=drawn(3)))
    )


def model(head: Head) -> ImageModel:
    return ImageModel(labels=LABELS, feature_extractor=scene_print(), head=head)
