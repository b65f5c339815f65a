"""Folders of photos to measure on, made from a folder of labelled JPEG photos: `<label>/<photo>.jpg`.

    python benchmarks/extraction/photos.py SOURCE TARGET --count 5000                  many, each with bytes of its own
    python benchmarks/extraction/photos.py SOURCE TARGET --count 64 --width 4032       12 megapixels

Links to the same bytes would not do: mlsession knows an image by its content, and extracts each once. So copies carry
their number in a comment of the file: the pixels are the same, the bytes are not. A large photo is a small one cropped
to 4:3, enlarged (bicubic), with noise of its own (normal, 3 levels), so that it is as hard to decode as a real one;
quality 90. All that is made follows from the source and the numbers given.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path[0] = str(Path(__file__).parents[2])

import numpy as np
from PIL import Image

from mlsession.randomness import keyed_generator

EXAMPLES = Path(__file__).parents[2] / "examples" / "data"
WIDTHS = (1152, 2016, 4032)
"""1, 3 and 12 megapixels at 4:3."""
NOISE = 3.0
"""Standard deviation, in levels of 256."""
QUALITY = 90
_START = b"\xff\xd8"
_COMMENT = b"\xff\xfe"


def numbered(data: bytes, number: int) -> bytes:
    """A JPEG file with the same pixels and a comment that holds `number`. Raises `ValueError` for other bytes."""
    if not data.startswith(_START):
        raise ValueError("this is not a JPEG file")
    text = f"copy {number}".encode()
    return _START + _COMMENT + (len(text) + 2).to_bytes(2, "big") + text + data[len(_START) :]


def enlarged(data: bytes, width: int, number: int, seed: int = 0) -> bytes:
    """A JPEG file of `width` pixels and 3/4 as many rows, made from another; see the module."""
    with Image.open(io.BytesIO(data)) as opened:
        photo = opened.convert("RGB")
    height = width * 3 // 4
    crop = min(photo.width, photo.height * 4 // 3), min(photo.height, photo.width * 3 // 4)
    left, top = (photo.width - crop[0]) // 2, (photo.height - crop[1]) // 2
    large = photo.resize((width, height), Image.Resampling.BICUBIC, (left, top, left + crop[0], top + crop[1]))
    noise = keyed_generator(seed, "noise of a photo", number).standard_normal((height, width, 3), dtype=np.float32)
    pixels = np.clip(np.asarray(large, dtype=np.float32) + NOISE * noise + 0.5, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def make_photos(
    source: Path, target: Path, count: int, width: int | None = None, seed: int = 0, *, first: int = 0
) -> Path:
    """Photos number `first` to `count` - 1 under `target`, the labels in turn; as they are, or enlarged to `width`.

    Raises `ValueError` for a source without photos.
    """
    labels = [sorted(folder.glob("*.jp*g")) for folder in sorted(source.iterdir()) if folder.is_dir()]
    labels = [photos for photos in labels if photos]
    if not labels:
        raise ValueError(f"{source}: no folders with .jpg files in it")
    for number in range(first, count):
        photos = labels[number % len(labels)]
        photo = photos[number // len(labels) % len(photos)]
        folder = target / photo.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        data = photo.read_bytes()
        made = numbered(data, number) if width is None else enlarged(data, width, number, seed)
        (folder / f"{number:06}.jpg").write_bytes(made)
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="<label>/<photo>.jpg")
    parser.add_argument("target", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--width", type=int, help="pixels; by default as they are")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    make_photos(given.source, given.target, given.count, given.width, given.seed)


if __name__ == "__main__":
    main()
