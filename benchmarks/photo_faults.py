"""Photos told apart by what is wrong with them, for which a network that names things was not made.

    python -m benchmarks.photo_faults PHOTOS OUT [--seed 0]

PHOTOS is a folder with photos in it, at any depth. OUT gets a folder for each of `FAULTS`. Which fault a photo gets,
and how much of it, follows from the seed; no photo is there twice, so what they show does not give the fault away.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from mlsession.randomness import keyed_generator

FAULTS = ("compressed", "defocused", "noisy", "shaken", "sharp")
KINDS = (".jpg", ".jpeg", ".png")
EDGE = 4
"""Pixels that are cut off at each side: there a blur looks otherwise."""
EXPOSURES = 9
"""Of which a shaken photo is the mean."""


def spoilt(photo: Image.Image, fault: str, generator: np.random.Generator) -> Image.Image:
    """A photo in RGB with a fault of moderate strength."""
    match fault:
        case "compressed":
            return _compressed(photo, int(generator.integers(25, 45)))
        case "defocused":
            return photo.filter(ImageFilter.GaussianBlur(float(generator.uniform(0.8, 1.4))))
        case "noisy":
            noise = generator.normal(0, generator.uniform(5, 9), (photo.height, photo.width, 3))
            return _image(np.asarray(photo, dtype=np.float64) + noise)
        case "shaken":
            return _shaken(photo, float(generator.uniform(0, np.pi)), float(generator.uniform(3, 5)))
        case _:
            return photo


def make(photos: Path, out: Path, seed: int = 0) -> int:
    """How many photos there are in `out` now."""
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in KINDS)
    order = keyed_generator(seed, "faults").permutation(len(files))
    for number, place in enumerate(order):
        fault = FAULTS[number % len(FAULTS)]
        with Image.open(files[place]) as opened:
            photo = opened.convert("RGB").crop((EDGE, EDGE, opened.width - EDGE, opened.height - EDGE))
        (out / fault).mkdir(parents=True, exist_ok=True)
        generator = keyed_generator(seed, "fault", number)
        spoilt(photo, fault, generator).save(out / fault / f"{number:05}.png")
    return len(files)


def _compressed(photo: Image.Image, quality: int) -> Image.Image:
    held = io.BytesIO()
    photo.save(held, "JPEG", quality=quality)
    return Image.open(io.BytesIO(held.getvalue())).convert("RGB")


def _shaken(photo: Image.Image, angle: float, length: float) -> Image.Image:
    """As a camera that moves by `length` pixels in a direction while the shutter is open."""
    total = np.zeros((photo.height, photo.width, 3))
    for way in np.linspace(-length / 2, length / 2, EXPOSURES):
        matrix = (1, 0, float(way * np.cos(angle)), 0, 1, float(way * np.sin(angle)))
        total += np.asarray(photo.transform(photo.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))
    return _image(total / EXPOSURES)


def _image(pixels: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{make(given.photos, given.out, given.seed)} photos")
