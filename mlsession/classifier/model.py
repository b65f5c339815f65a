"""A trained classifier as a value: labels, extractor and head. No torch until a network is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsession.extractors.catalog import FeatureExtractorSpec, exact_runtime, load_extractor, runtime_for
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running.runtime import PrecisionChoice, Runtime
from mlsession.extractors.tuned import TunedExtractor, tensor_digest
from mlsession.heads.protocol import Head
from mlsession.processor import this_processor
from mlsession.session.phase import Arrays

if TYPE_CHECKING:
    import torch


NETWORK_PREFIX = "network."
"""Before the names of tensors of a fine-tuned network, beside those of the head."""


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

    def tensors(self) -> Arrays:
        """All that was trained: the head's, and with `NETWORK_PREFIX` those of a fine-tuned extractor; float32."""
        spec = self.feature_extractor
        tuned = spec.tensors if isinstance(spec, TunedExtractor) else {}
        return {**self.head.tensors(), **{f"{NETWORK_PREFIX}{name}": tensor for name, tensor in tuned.items()}}

    @property
    def digest(self) -> str:
        """SHA-256 over the trained tensors; see `tensor_digest`."""
        return tensor_digest(self.tensors())

    def network(self) -> torch.nn.Module:
        """float32 [N, 3, side, side] RGB pixels from 0 to 255 -> class probabilities float32 [N, K].

        Crop, normalisation and softmax are inside; it is in evaluation mode.
        """
        from torch import nn

        return nn.Sequential(self.exact_network(), self.head.module(), nn.Softmax(dim=1)).eval()

    def exact_network(self) -> torch.nn.Module:
        """The extractor's network in float32; see `FeatureExtractor.network`."""
        return load_extractor(self.feature_extractor, exact_runtime(self.feature_extractor)).network()
