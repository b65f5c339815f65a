"""Small pictures of the images that a page shows."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing, suppress

from PIL import Image

from mlsession.data.ahead import worked_ahead
from mlsession.data.source import DataSource
from mlsession.errors import StoreError, UnreadableImage
from mlsession.images.decode import inspect_image
from mlsession.scanning.finding import Finding
from mlsession.scanning.page import shown_images

SIDE = 96
"""Pixels of the longer side."""
QUALITY = 70


def thumbnails(findings: Iterable[Finding], sources: Mapping[str, DataSource]) -> dict[tuple[str, str], bytes]:
    """JPEGs by source and path, of what a page shows; without those that cannot be read, or not any more."""
    wanted = sorted({(image.source, image.path) for finding in findings for image in shown_images(finding)})
    with ExitStack() as stack:
        readers = {name: stack.enter_context(closing(source.reader())) for name, source in sources.items()}

        def made(place: tuple[str, str]) -> bytes | None:
            source, path = place
            with suppress(UnreadableImage, StoreError):
                return thumbnail(readers[source].read(path), path)
            return None

        known = [place for place in wanted if place[0] in readers]
        small = dict(zip(known, worked_ahead(made, known), strict=True))
    return {place: data for place, data in small.items() if data is not None}


def thumbnail(data: bytes, name: str) -> bytes:
    """A JPEG of at most `SIDE` pixels a side. Raises `UnreadableImage`."""
    picture = inspect_image(data, name, 2 * SIDE).picture
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
    output = io.BytesIO()
    picture.save(output, format="JPEG", quality=QUALITY)
    return output.getvalue()
