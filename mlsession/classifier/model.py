"""A trained classifier as a value: labels, extractor and head. No torch until a network is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlsession.extractors.catalog import FeatureExtractorSpec, load_extractor, runtime_for
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.runtime import PrecisionChoice, Runtime
from mlsession.heads.protocol import Head
from mlsession.processor import this_processor
from mlsession.session.phase import Arrays

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageModel:
    """All that prediction needs; K classes."""

    labels: tuple[str, ...]
    """[K], in the order of the head's outputs."""
    feature_extractor: FeatureExtractorSpec
    head: Head
    """Its logits are divided by the temperature already."""
    temperature: float = 1.0
    """What they were divided by, so that probabilities are confidences; see `heads.temperature`. 1.0: by nothing."""
    precision: PrecisionChoice = "auto"
    """Of the extractor's network, as it was asked for when the head was trained."""

    def runtime(self) -> Runtime:
        """What runs the extractor's network here: the same as for a training with that choice of precision."""
        precision: PrecisionChoice = self.precision
        if precision == "bfloat16" and not this_processor().has_bfloat16:
            precision = "auto"  # A model trained elsewhere: float32 is the nearest that this processor has.
        return runtime_for(self.feature_extractor, precision=precision)

    def loaded_extractor(self) -> FeatureExtractor:
        """The extractor, ready for the calling thread."""
        return load_extractor(self.feature_extractor, self.runtime())

    @property
    def side(self) -> int:
        """Height and width in pixels of the pictures that it takes."""
        return self.feature_extractor.input_side

    @property
    def digest(self) -> str:
        """SHA-256 over the trained tensors; see `tensor_digest`."""
        return tensor_digest(self.head.tensors())

    def network(self) -> torch.nn.Module:
        """float32 [N, 3, side, side] RGB pixels from 0 to 255 -> class probabilities float32 [N, K].

        Crop, normalisation and softmax are inside; it is in evaluation mode.
        """
        from torch import nn

        exact = runtime_for(self.feature_extractor, "torch", "float32")
        extractor = load_extractor(self.feature_extractor, exact)
        return nn.Sequential(extractor.network(), self.head.module(), nn.Softmax(dim=1)).eval()


def tensor_digest(tensors: Arrays) -> str:
    """SHA-256, in hex, over tensors in name order: for each its name, dtype, shape and little-endian bytes.

    Each of the first three goes in as UTF-8 and a zero byte.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        shape = ",".join(str(length) for length in array.shape)
        digest.update(f"{name}\0{array.dtype.name}\0{shape}\0".encode())
        digest.update(little.tobytes())
    return digest.hexdigest()
