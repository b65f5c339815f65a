"""One picture to predict, and its views, however the caller has it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from mlsession.augment.making import ViewMaker
from mlsession.errors import InvalidParameter
from mlsession.images.read import read_file
from mlsession.store import redact

if TYPE_CHECKING:
    from PIL import Image

    ImageInput: TypeAlias = str | Path | bytes | npt.NDArray[np.uint8] | Image.Image


def read_views(
    image: ImageInput, maker: ViewMaker, storage_options: Mapping[str, object] | None = None
) -> list[npt.NDArray[np.uint8]]:
    """The views of the maker's plan, itself first, each uint8 [side, side, 3].

    `image` is a path or URL, a file's bytes, a PIL image, or an upright RGB array uint8 [H, W, 3]; `storage_options`
    are fsspec's, for a URL. Views are drawn by the content: the bytes, or of an array its shape and pixels. Raises
    `UnreadableImage`, `KeyMissing` and other `StoreError`s, and `InvalidParameter` for anything else.
    """
    views = range(len(maker.plan))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        digest = hashlib.sha256(f"{image.shape[0]},{image.shape[1]}".encode() + image.tobytes()).digest()
        made = maker.of_pixels(image, digest, views)
    else:
        data, name = _file_of(image, storage_options)
        made = maker.of_file(data, name, hashlib.sha256(data).digest(), views)
    return [made[view] for view in views]


def _file_of(image: ImageInput, storage_options: Mapping[str, object] | None) -> tuple[bytes, str]:
    """The bytes of a file with the picture, and what to call it."""
    from PIL import Image

    if isinstance(image, str | Path):
        return read_file(str(image), storage_options), redact(str(image))
    if isinstance(image, bytes):
        return image, "image"
    if isinstance(image, Image.Image):
        # Through a lossless file: the same rules for colour and orientation as for every other picture.
        lossless = "TIFF" if image.mode in ("CMYK", "F") else "PNG"
        plain = image.convert("RGB") if image.mode in ("YCbCr", "LAB", "HSV") else image
        buffer = io.BytesIO()
        plain.save(buffer, format=lossless, exif=image.getexif())
        return buffer.getvalue(), "image"
    found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InvalidParameter("image", found, "must be a path, a URL, bytes, a PIL image, or an array uint8 [H, W, 3]")
