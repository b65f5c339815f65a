"""Pictures to features in fixed batches, whatever runs the network: so each picture's features are its own."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from mlsession.errors import InvalidParameter
from mlsession.extractors.running.runtime import BATCH_SIZE, Decoder, Runtime
from mlsession.images.geometry import PREPARATION

if TYPE_CHECKING:
    from torch import nn

Run: TypeAlias = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""float32 [batch size, D] of uint8 [batch size, side, side, 3] (RGB); may be valid until the next call only."""


class BatchedExtractor:
    """A `FeatureExtractor` in one thread of the CPU. Make one with `catalog.load_extractor`."""

    def __init__(
        self,
        *,
        name: str,
        identity: str,
        dimension: int,
        input_side: int,
        runtime: Runtime,
        run: Run,
        network: Callable[[], nn.Module],
        library: str | None = None,
        kernels: str | None = None,
    ) -> None:
        """`network` makes the graph for export; `library` is the package and version that defines it, if not ours.

        `kernels` names those that run it, where its backend has others, too.
        """
        self.name = name
        self.identity = identity
        self.dimension = dimension
        self.input_side = input_side
        self._runtime = runtime
        self._run = run
        self._network = network
        self._library = library
        self._kernels = kernels

    def numerics(self) -> Mapping[str, str | int]:
        return extraction_numerics(self._runtime, self._library, self._kernels)

    def network(self) -> nn.Module:
        return self._network()

    def extract(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        side = self.input_side
        check_pictures(images, side)
        rows = np.empty((len(images), self.dimension), np.float32)
        batch = np.zeros((BATCH_SIZE, side, side, 3), np.uint8)
        for start in range(0, len(images), BATCH_SIZE):
            count = min(BATCH_SIZE, len(images) - start)
            batch[:count] = images[start : start + count]
            batch[count:] = 0
            rows[start : start + count] = self._run(batch)[:count]
        return rows


def check_pictures(images: npt.NDArray[np.uint8], side: int) -> None:
    """Raises `InvalidParameter` for another shape or dtype than uint8 [N, side, side, 3]."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (side, side, 3):
        found = f"{images.dtype} {list(images.shape)}"
        raise InvalidParameter("images", found, f"must be uint8 [N, {side}, {side}, 3]")


def extraction_numerics(
    runtime: Runtime, library: str | None = None, kernels: str | None = None
) -> dict[str, str | int]:
    """See `FeatureExtractor.numerics`."""
    return {
        **runtime.numerics(),
        "batch_size": runtime.batch_size,
        **picture_numerics(runtime.decoder),
        **({} if library is None else {"library": library}),
        **({} if kernels is None else {"kernels": kernels}),
    }


def picture_numerics(decoder: Decoder = "pillow") -> dict[str, str | int]:
    """What gives the pixels that networks see their bits; Pillow takes what another `decoder` does not."""
    if decoder == "pillow":
        return {"decoder": _decoder(), "preparation": PREPARATION}
    other = f"{decoder} torchvision {importlib.metadata.version('torchvision')}"
    return {"decoder": f"{other}, else {_decoder()}", "preparation": PREPARATION}


@cache
def _decoder() -> str:
    import PIL
    from PIL import features

    return f"pillow {PIL.__version__} libjpeg-turbo {features.version('libjpeg_turbo')}"
