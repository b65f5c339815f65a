"""From any pixel layout that Pillow knows to 8-bit sRGB, by written rules.

| layout                        | rule                                                                               |
|-------------------------------|------------------------------------------------------------------------------------|
| one bit, grey, palette        | repeated or looked up                                                              |
| CMYK, YCbCr, CIE Lab          | through the embedded profile if it fits, else by the plain formula                 |
| any with an ICC profile       | converted to sRGB (perceptual); one that cannot be used is as if it were absent    |
| alpha or a transparent colour | laid over white                                                                    |
| 16 bits a channel             | scaled from 0..65535 (fewer bits where the file says so)                           |
| 32-bit or signed integers     | as they are if all lie in 0..255, else stretched from the darkest to the brightest |
| floating point                | 0..1 to 0..255 if all lie in it, else stretched from the darkest to the brightest  |
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from mlsession.errors import UnreadableImage

BACKGROUND = (255, 255, 255)
"""What shows through transparent pixels."""

_WIDE_FORMATS_OF_16_BITS = frozenset({"PNG", "PPM", "JPEG2000"})
"""Formats whose deep greys Pillow may hand over as 32-bit integers that fill 0..65535."""

_UNUSABLE = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
"""What Pillow raises for a profile that is damaged, or of another kind of picture."""

_STRIP_PIXELS = 2**20

_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANES, _SAMPLE_FORMAT = 258, 262, 284, 339
"""Tags of TIFF (TIFF 6.0, sections 8 and 19)."""
_WHITE_IS_ZERO, _IN_PLANES, _UNSIGNED, _SIGNED = 0, 2, 1, 2
"""Values of the last three."""


def to_srgb(image: Image.Image, name: str) -> Image.Image:
    """The loaded `image` in mode RGB, sRGB colours, of the same size.

    Raises `UnreadableImage` for a layout that has no rule, and for floating point without a finite value.
    """
    profile = image.info.get("icc_profile")
    _check_order(image, name)
    is_signed = image.mode == "L" and _tag(image, _SAMPLE_FORMAT) == _SIGNED
    if image.mode.startswith("I") or image.mode == "F" or is_signed:
        image = _narrowed(image, name)
    base, alpha = _split_alpha(image)
    colours = _managed(base, profile) if isinstance(profile, bytes) and profile else None
    if colours is None:
        try:
            colours = base.convert("RGB")
        except ValueError as error:
            raise UnreadableImage(name, f"its pixel layout {base.mode} is not read; save it as RGB") from error
    if alpha is None:
        return colours
    below = Image.new("RGB", colours.size, BACKGROUND)
    below.paste(colours, mask=alpha)
    return below


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The picture without its alpha, and the alpha (mode L) if it has one of any kind."""
    if not image.has_transparency_data:
        return image, None
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("1", "L", "LA"):
        both = image.convert("LA")
        return both.getchannel("L"), both.getchannel("A")
    # Pillow warns when such a palette goes straight to RGB, and then drops the alpha.
    both = image.convert("RGBA")
    return both.convert("RGB"), both.getchannel("A")


def _managed(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image` in sRGB by its profile; None where the profile is damaged, of another kind of picture, or sRGB itself."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _describes_srgb(source):
            return None
        space = source.profile.xcolor_space.strip()
        if space == "RGB" and image.mode not in ("1", "L", "CMYK", "LAB"):
            fitting = image.convert("RGB")
        elif space == "GRAY" and image.mode in ("1", "L"):
            fitting = image.convert("L")
        elif (space, image.mode) in (("CMYK", "CMYK"), ("Lab", "LAB")):
            fitting = image
        else:
            return None
        target = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(
            fitting, source, target, renderingIntent=ImageCms.Intent.PERCEPTUAL, outputMode="RGB"
        )
    except _UNUSABLE:
        return None


def is_srgb(profile: bytes) -> bool:
    """Whether an embedded profile says that colours are sRGB as they are; False for one that cannot be used."""
    try:
        return _describes_srgb(ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except _UNUSABLE:
        return False


def _describes_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    is_rgb = profile.profile.xcolor_space.strip() == "RGB"
    return is_rgb and ImageCms.getProfileDescription(profile).startswith("sRGB")


def _tag(image: Image.Image, tag: int) -> int | None:
    """The value of a tag of a TIFF, of several the first; None where there is none."""
    value = getattr(image, "tag_v2", {}).get(tag)
    first = value[0] if isinstance(value, tuple) and value else value
    return first if isinstance(first, int) else None


def _check_order(image: Image.Image, name: str) -> None:
    """Refuse what Pillow decodes without an error to wrong pixels: wide samples in planes of their own."""
    if _tag(image, _PLANES) == _IN_PLANES and len(image.getbands()) > 1 and (_tag(image, _BITS_PER_SAMPLE) or 8) > 8:
        raise UnreadableImage(name, "its pixel layout is one of TIFF that is not read; save it as 8-bit RGB")


def _stored_values(image: Image.Image) -> npt.NDArray[np.generic]:
    """The values of a picture of one channel as its file means them; Pillow takes some of TIFF for others."""
    values = np.asarray(image)
    kind = _tag(image, _SAMPLE_FORMAT)
    if image.mode == "L":
        return values.view(np.int8)
    is_unsigned = values.dtype == np.int32 and _tag(image, _BITS_PER_SAMPLE) == 32 and kind in (None, _UNSIGNED)
    return values.view(np.uint32) if is_unsigned and image.format == "TIFF" else values


def _narrowed(image: Image.Image, name: str) -> Image.Image:
    """A picture of 16 or 32 bits a pixel as L, or as LA where one of its values stands for transparent."""
    values = _stored_values(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in _WIDE_FORMATS_OF_16_BITS):
        grey = _scaled(values, 0, _full_scale(image))
    else:
        grey = _stretched(values, name)
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey  # Of 8 bits and fewer Pillow has done it.
    picture = Image.fromarray(grey)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        picture.putalpha(Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8)))
    return picture


def _full_scale(image: Image.Image) -> int:
    """The value of white in a picture of up to 16 bits."""
    bits = _tag(image, _BITS_PER_SAMPLE) or 16
    return (1 << bits) - 1 if 8 < bits < 16 else 65535


def _stretched(values: npt.NDArray[np.generic], name: str) -> npt.NDArray[np.uint8]:
    """Values that no format gives a white for: see the table at the top. NaN becomes black."""
    finite = (strip[np.isfinite(strip)] for strip in _strips(values))
    ends = [(float(some.min()), float(some.max())) for some in finite if some.size]
    if not ends:
        raise UnreadableImage(name, "none of its values is a finite number")
    darkest, brightest = min(low for low, _ in ends), max(high for _, high in ends)
    white = 1.0 if np.issubdtype(values.dtype, np.floating) else 255.0
    if darkest >= 0 and brightest <= white:
        darkest, brightest = 0.0, white
    return _scaled(values, darkest, brightest)


def _strips(values: npt.NDArray[np.generic]) -> Iterator[npt.NDArray[np.generic]]:
    """Some rows of [H, W] at a time: in 64 bits a whole picture would take gigabytes."""
    height = max(_STRIP_PIXELS // max(values.shape[1], 1), 1)
    return (values[top : top + height] for top in range(0, len(values), height))


def _scaled(values: npt.NDArray[np.generic], black: float, white: float) -> npt.NDArray[np.uint8]:
    """`values` [H, W] with `black` at 0 and `white` at 255, rounded half up; a flat picture and NaN become black."""
    span = (white - black) or 1.0
    grey = np.empty(values.shape, dtype=np.uint8)
    for strip, target in zip(_strips(values), _strips(grey), strict=True):
        whole = np.nan_to_num(strip.astype(np.float64), nan=black, posinf=white, neginf=black)
        target[:] = np.clip(np.floor((whole - black) * 255.0 / span + 0.5), 0, 255)
    return grey
