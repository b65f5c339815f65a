"""A picture together with what its file says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspected:
    """A decoded picture, and facts that its pixels do not tell."""

    picture: Image.Image
    """Mode RGB, sRGB, upright; perhaps reduced, see `decode.inspect_image`."""
    width: int
    """Pixels of the whole picture, upright."""
    height: int
    format: str
    """The kind of file, told by its first bytes: "JPEG", "PNG", ..."""
    orientation: int
    """The Exif orientation, 1 to 8; 1 (as stored) where the file says nothing that makes sense."""
