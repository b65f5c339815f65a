"""Images in, probabilities out: the extractor is loaded at the first picture and kept."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mlsession.classifier.model import ImageModel
from mlsession.extractors.halves import to_half
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.session.phase import Array


class Predictor:
    """Runs an `ImageModel`. May be used from any thread; one picture is computed at a time."""

    def __init__(self, model: ImageModel) -> None:
        self.model = model
        self._extractor: FeatureExtractor | None = None
        self._lock = threading.Lock()

    def _loaded(self) -> FeatureExtractor:
        """The extractor, loaded at the first call; it belongs to one thread at a time."""
        with self._lock:
            if self._extractor is None:
                self._extractor = self.model.loaded_extractor()
            return self._extractor

    def probabilities(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Array:
        """float64 [N, K] for prepared pictures, uint8 [side, side, 3] each."""
        side = self.model.side
        stacked = np.stack(pictures) if pictures else np.empty((0, side, side, 3), dtype=np.uint8)
        extractor = self._loaded()
        with self._lock:
            features = to_half(extractor.extract(stacked))
        return self.model.head.probabilities(features.astype(np.float32))
