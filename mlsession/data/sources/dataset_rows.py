"""What a row of a dataset in memory says: its label as text, its image as the bytes of a file."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mlsession.errors import UnusableData
from mlsession.session.phase import Array

_ORIENTATION = 0x0112
"""The tag of Exif."""


class Dataset(Protocol):
    """What a dataset has to be."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any:
        """(image, label), or a mapping with both under their names."""
        ...


def image_bytes(image: object, row: int) -> bytes:
    """An image of a dataset as the bytes of a file: as they are where it is one (bytes, a path, or Hugging Face's
    mapping of both), else a lossless one of the pixels of a PIL image, or of an array uint8 [H, W, 3] or [H, W].

    An array becomes Netpbm (binary PPM or PGM), whose bytes follow from the pixels alone. Raises `UnusableData`.
    """
    if isinstance(image, Mapping):
        held = image.get("bytes")
        image = image.get("path") if held is None else held
    if isinstance(image, bytes | bytearray | memoryview):
        return bytes(image)
    if isinstance(image, str | os.PathLike):
        try:
            return Path(image).read_bytes()
        except FileNotFoundError as error:
            raise UnusableData("dataset", f"row {row} names {os.fspath(image)!r}, which is not there") from error
    if hasattr(image, "getexif") and hasattr(image, "mode"):
        try:
            return _pil_bytes(image)
        except (OSError, ValueError, SyntaxError) as error:
            text = " ".join(str(error).split())[:300]
            reason = f"row {row} has an image that its dataset cannot load ({text}); give its bytes, and it is left out"
            raise UnusableData("dataset", reason) from error
    array = np.asarray(image) if hasattr(image, "__array__") else None
    if array is not None and array.dtype == np.uint8 and array.size:
        if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
            return _netpbm(b"P5", array)
        if array.ndim == 3 and array.shape[2] == 3:
            return _netpbm(b"P6", array)
    what = type(image).__name__ if array is None else f"{array.dtype} {list(array.shape)}"
    cure = "leave its transform out" if array is not None else "see DataSource.dataset"
    reason = (
        f"row {row} has an image that is {what}, and must be a PIL image, bytes, a path, or uint8 [H, W, 3]; {cure}"
    )
    raise UnusableData("dataset", reason)


def _pil_bytes(image: Any) -> bytes:
    from PIL import Image

    from mlsession.images.orientation import orientation

    image.load()  # What it says of itself may stand behind its pixels.
    turn = orientation(image, b"")
    if image.mode in ("L", "RGB") and turn == 1 and not {"icc_profile", "transparency"} & image.info.keys():
        return _netpbm(b"P5" if image.mode == "L" else b"P6", np.asarray(image))
    # Through a lossless file with what counts of what it says of itself: the same rules as for every other picture. The
    # rest of its Exif is left out: what cameras write, Pillow cannot always write again.
    exif = Image.Exif()
    exif[_ORIENTATION] = turn
    plain = image.convert("RGB") if image.mode in ("YCbCr", "LAB", "HSV") else image
    buffer = io.BytesIO()
    lossless: dict[str, Any] = (
        {"format": "TIFF"} if image.mode in ("CMYK", "F", "I") else {"format": "PNG", "compress_level": 1}
    )
    plain.save(buffer, exif=exif, icc_profile=image.info.get("icc_profile"), **lossless)
    return buffer.getvalue()


def _netpbm(kind: bytes, pixels: Array) -> bytes:
    height, width = pixels.shape[:2]
    return b"%s\n%d %d\n255\n" % (kind, width, height) + np.ascontiguousarray(pixels).tobytes()


def class_names(dataset: object, label: str) -> tuple[str, ...]:
    """What whole numbers stand for: Hugging Face's `features[label].names`, torchvision's `classes`; else nothing."""
    features = getattr(dataset, "features", None)
    if isinstance(features, Mapping) and hasattr(features.get(label), "names"):
        return tuple(map(str, features[label].names))
    classes = getattr(dataset, "classes", None)
    if isinstance(classes, list | tuple):
        return tuple(map(str, classes))
    whole = getattr(dataset, "dataset", None)  # Of torch's `Subset`.
    return () if whole is None or whole is dataset else class_names(whole, label)


def label_values(dataset: Dataset, label: str) -> Iterator[object]:
    """The label of each row."""
    if label in (getattr(dataset, "column_names", None) or ()):
        yield from dataset[label]  # type: ignore[index]
        return
    given: Any = getattr(dataset, "targets", None)
    targets = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(targets, list | tuple) and len(targets) == len(dataset):
        yield from targets
        return
    for row in range(len(dataset)):
        yield part_of_item(dataset[row], label, 1, row)


def part_of_item(item: object, name: str, place: int, row: int) -> Any:
    """The image or the label of a row."""
    if isinstance(item, Mapping):
        if name not in item:
            have = ", ".join(map(repr, item))
            raise UnusableData("dataset", f"row {row} has no {name!r}; it has {have}: say which, as in image='img'")
        return item[name]
    if isinstance(item, tuple | list) and len(item) >= 2:
        return item[place]
    raise UnusableData("dataset", f"row {row} is a {type(item).__name__}, and must be (image, label) or a mapping")


def label_text(value: object, row: int, names: Sequence[str]) -> str:
    number = value.item() if hasattr(value, "item") else value
    text: object = number
    if isinstance(number, int) and not isinstance(number, bool):
        if not names:
            return str(number)
        if not 0 <= number < len(names):
            reason = f"row {row} has the label {number}, and there are {len(names)} class names; give classes="
            raise UnusableData("dataset", reason)
        text = names[number]
    if isinstance(text, str) and text.strip() and "\0" not in text and _is_unicode(text):
        return text
    reason = f"row {row} has the label {text!r}; a label is text that is not blank, or the place of a class name"
    raise UnusableData("dataset", reason)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
