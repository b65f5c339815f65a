"""What turns pictures into feature vectors; known here without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mlsession.session.phase import Json

if TYPE_CHECKING:
    import torch


class FeatureExtractor(Protocol):
    """A frozen network from prepared pictures to features.

    The features of a picture depend on its pixels, `identity` and `numerics` alone: never on its neighbours, on its
    place in a batch, or on how full the batch is. An instance belongs to one thread at a time.
    """

    @property
    def name(self) -> str:
        """As a person types it, with the revision: `scene_print:2`."""
        ...

    @property
    def identity(self) -> str:
        """Everything that gives features their meaning: name, revision, weights digest, preparation."""
        ...

    @property
    def dimension(self) -> int:
        """D, the length of a feature vector."""
        ...

    @property
    def input_side(self) -> int:
        """The side in pixels of the square pictures that `extract` takes (see `mlsession.images.geometry`)."""
        ...

    def numerics(self) -> Mapping[str, str | int]:
        """Everything beside `identity` that can change the last bits of a feature; recorded, and compared for reuse."""
        ...

    def extract(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [N, D] of uint8 [N, input_side, input_side, 3] (RGB); any N from 0.

        Raises `InvalidParameter` for another shape or dtype.
        """
        ...

    def network(self) -> torch.nn.Module:
        """The same as a graph, for export: float32 [N, 3, input_side, input_side] in 0..255 to float32 [N, D].

        The crop to the network's own input and the normalisation are inside. In `eval` mode, without gradients; it
        can be traced (`torch.jit.trace`) and exported (`torch.export`). Do not change it.
        """
        ...


@runtime_checkable
class OwnExtractor(Protocol):
    """An extractor as an option value that brings its network along, where the catalogue has none of that kind.

    A session stores what it is called, not how to load it: it goes on only where the value is given again.
    """

    @property
    def name(self) -> str:
        """See `FeatureExtractor`, here and below; all are known without loading it."""
        ...

    @property
    def identity(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def input_side(self) -> int: ...

    def to_json(self) -> dict[str, Json]:
        """For a session's record; its `kind` must be none of the catalogue's."""
        ...

    def load(self) -> FeatureExtractor:
        """The network, ready to extract in the thread that calls it; called once for each thread that does."""
        ...
