"""One picture to predict, however the caller has it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from mlsession.errors import InvalidParameter
from mlsession.images.decode import prepare_image
from mlsession.images.geometry import to_square
from mlsession.images.read import read_file
from mlsession.store import redact

if TYPE_CHECKING:
    from PIL import Image

    ImageInput: TypeAlias = str | Path | bytes | npt.NDArray[np.uint8] | Image.Image


def read_picture(
    image: ImageInput, side: int, storage_options: Mapping[str, object] | None = None
) -> npt.NDArray[np.uint8]:
    """uint8 [side, side, 3] of a path or URL, a file's bytes, a PIL image, or an upright RGB array uint8 [H, W, 3].

    `storage_options` are fsspec's, for a URL. Raises `UnreadableImage`, `KeyMissing` and other `StoreError`s, and
    `InvalidParameter` for anything else.
    """
    if isinstance(image, str | Path):
        return prepare_image(read_file(str(image), storage_options), redact(str(image)), side)
    if isinstance(image, bytes):
        return prepare_image(image, "image", side)
    return _prepare_decoded(image, side)


def _prepare_decoded(image: npt.NDArray[np.uint8] | Image.Image, side: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    if isinstance(image, Image.Image):
        # Through a lossless file: the same rules for colour and orientation as for every other picture.
        lossless = "TIFF" if image.mode in ("CMYK", "F") else "PNG"
        plain = image.convert("RGB") if image.mode in ("YCbCr", "LAB", "HSV") else image
        buffer = io.BytesIO()
        plain.save(buffer, format=lossless, exif=image.getexif())
        return prepare_image(buffer.getvalue(), "image", side)
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return np.array(to_square(Image.fromarray(np.ascontiguousarray(image)), side))
    found = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
    raise InvalidParameter("image", found, "must be a path, a URL, bytes, a PIL image, or an array uint8 [H, W, 3]")
