"""JPEGs to the pictures that networks see, on a device: nvJPEG on CUDA, libjpeg-turbo on the CPU, both by torchvision.

    bytes of plain JPEGs -> decoded on the device -> upright -> resized there -> uint8 [side, side, 3], back on the host

Resizing is Pillow's (`resized`). What differs is the decoding: nvJPEG transforms and rounds in its own way, and it does
not scale while it decodes, as `images.decode` does with large photos. What is not plain (`images.plain`), what the
device refuses, and what may be cut short is left to the caller.

One thread at a time, on a stream of its own that is idle whenever a batch begins: the hardware engine of nvJPEG writes
what it decodes without waiting for what was queued before, into memory that the queued work may still use
(https://github.com/meta-pytorch/torchcodec/pull/1634, https://github.com/pytorch/vision/pull/9606).
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from mlsession.devices.memory import is_out_of_memory
from mlsession.errors import InvalidParameter, UsageError
from mlsession.extractors.numerics import torch_numerics
from mlsession.images.decode import SquareAndWide
from mlsession.images.geometry import square_box, wide_frame
from mlsession.images.plain import PlainJpeg, is_suspicious, plain_jpeg

PIXELS_AT_ONCE = 64_000_000
"""Of pictures that are decoded together: some 200 MB on the device, and twice that for the one that is resized."""

_OF_THE_DEVICE = re.compile(r": [15678]$|CUDA")
"""Not initialised, no memory, failed, of another architecture, internal: `nvjpegStatus_t`, as torchvision prints it."""
_BITS = 22
"""Of a weight, as Pillow has them for levels of 8 bits."""
_PART = 1 << 11
"""A weight is so many times its first part, and its second."""

Box = tuple[float, float, float, float]


class DeviceDecoder:
    """Decodes and resizes plain JPEGs on a device; for any number of threads."""

    def __init__(self, place: str) -> None:
        """`place` is torch's name of the device.

        Raises `InvalidParameter` where it cannot decode, and `UsageError` where it cannot just now.
        """
        self._device = torch.device(place)
        self._lock = threading.Lock()
        self._stream: torch.cuda.Stream | None = None
        try:
            if self._device.type == "cuda":
                self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
            with self._in_turn():
                self._decoded([_smallest()])
        except (ImportError, AttributeError, AssertionError, RuntimeError, ValueError) as error:
            if isinstance(error, RuntimeError):
                _check_device(error)
            reason = f"cannot be had on {place}: {_first_line(error)}"
            raise InvalidParameter("decoder", "nvjpeg", reason) from error

    def prepared(self, files: Sequence[bytes], side: int, has_wide: bool = False) -> list[SquareAndWide | None]:
        """Of each file what `prepare_wide` gives, in place of the wide one the square if it is not asked for.

        None where it is left to Pillow, which depends on the bytes of that file alone. Raises `UsageError` where the
        device has failed, or has no memory left.
        """
        plain = [(place, about) for place, data in enumerate(files) if (about := plain_jpeg(data)) is not None]
        found: list[SquareAndWide | None] = [None] * len(files)
        for group in _groups(plain):
            with self._lock, self._in_turn():
                made = self._made([(about, files[place]) for place, about in group], side, has_wide)
            for (place, _), one in zip(group, made, strict=True):
                found[place] = one
        return found

    def _made(self, files: Sequence[tuple[PlainJpeg, bytes]], side: int, has_wide: bool) -> list[SquareAndWide | None]:
        try:
            decoded = self._decoded([data for _, data in files])
        except RuntimeError as error:
            _check_device(error)
            # It gives all or nothing: one by one, to see which ones it refuses.
            return [None] if len(files) == 1 else [self._made([each], side, has_wide)[0] for each in files]
        try:
            with torch_numerics(1), torch.inference_mode():
                return self._resized([about for about, _ in files], decoded, side, has_wide)
        except RuntimeError as error:
            _check_device(error)
            raise

    def _decoded(self, files: Sequence[bytes]) -> list[torch.Tensor]:
        """uint8 [3, H, W] on the device, as they are stored."""
        from torchvision.io import ImageReadMode, decode_jpeg  # type: ignore[import-untyped]

        entering = [torch.from_numpy(np.frombuffer(data, np.uint8).copy()) for data in files]
        found: list[torch.Tensor] = decode_jpeg(entering, mode=ImageReadMode.RGB, device=self._device)
        return found

    def _resized(
        self, abouts: Sequence[PlainJpeg], decoded: Sequence[torch.Tensor], side: int, has_wide: bool
    ) -> list[SquareAndWide | None]:
        lasts = torch.stack([stored[:, -1, -1] for stored in decoded]).tolist()  # One wait for the device, not many.
        pictures = [upright(stored, about.turn) for about, stored in zip(abouts, decoded, strict=True)]
        squares = torch.stack([resized(each, (side, side), square_box(*_size(each))) for each in pictures])
        square: Sequence[npt.NDArray[np.uint8]] = list(_hosted(squares))
        wide = [_hosted(resized(each, *wide_frame(*_size(each), side))) for each in pictures] if has_wide else square
        sizes = [(about.width, about.height) for about in abouts]
        return [
            pair if _size(stored) == size and not is_suspicious(about, last) else None
            for about, stored, size, last, pair in zip(
                abouts, decoded, sizes, lasts, zip(square, wide, strict=True), strict=True
            )
        ]

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """On the device and the stream, which is idle before and after."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            self._stream.synchronize()
            try:
                yield
            finally:
                self._stream.synchronize()


def bilinear_weights(length: int, first: float, last: float, count: int, device: torch.device) -> torch.Tensor:
    """float32 [2 * count, length]: how much each of `length` pixels counts in each that `first` to `last` become.

    The antialiased triangle of Pillow (libImaging/Resample.c, `precompute_coeffs` and `normalize_coeffs_8bpc`): as wide
    as two pixels of the outcome, or of the picture where it is enlarged, cut off at the picture's edge alone, of sum 1,
    and rounded to 22 bits. Those are whole numbers of two parts: 2^11 times the first `count` rows, and the others.
    Neither has more than the 11 bits that TF32 keeps, so it does not matter whether the GPU multiplies with it: the
    switches for that belong to the process, and to those who run the network.
    """
    scale = (last - first) / count
    centres = first + (torch.arange(count, dtype=torch.float64, device=device) + 0.5) * scale
    places = torch.arange(length, dtype=torch.float64, device=device) + 0.5
    weights = (1 - ((places - centres[:, None]) * (1 / max(scale, 1.0))).abs()).clamp_(min=0)
    whole = torch.floor(weights / weights.sum(1, keepdim=True) * (1 << _BITS) + 0.5)
    high = torch.floor(whole / _PART + 0.5)
    return torch.cat((high, whole - high * _PART)).float()


def resized(picture: torch.Tensor, size: tuple[int, int], box: Box) -> torch.Tensor:
    """uint8 [height, width, 3] of the part `box` of uint8 [3, H, W]: what Pillow's `resize(size, BILINEAR, box)` gives.

    `size` is (width, height). Like Pillow in whole numbers, and rounded to levels after each direction, rows first: all
    that is summed up in float32 is whole and below 2^24, in pictures that are not reduced to less than 1/32, so it is
    exact, in any order and on any device. Since 13.0 Pillow begins with the columns of some tall pictures; then some
    values differ by a level.
    """
    left, upper, right, lower = box
    across = bilinear_weights(picture.shape[2], left, right, size[0], picture.device)
    down = bilinear_weights(picture.shape[1], upper, lower, size[1], picture.device)
    rows = _levels(picture.float() @ across.T, 2)
    return _levels(down @ rows.float(), 1).permute(1, 2, 0)


def upright(stored: torch.Tensor, turn: int) -> torch.Tensor:
    """[C, H, W] turned as `images.orientation.UPRIGHT` does: 5 to 8 lie on their side."""
    picture = stored.transpose(1, 2) if turn > 4 else stored
    flipped = {2: (2,), 3: (1, 2), 4: (1,), 6: (2,), 7: (1, 2), 8: (1,)}.get(turn, ())
    return picture.flip(flipped) if flipped else picture


def _size(picture: torch.Tensor) -> tuple[int, int]:
    """(width, height) of [3, H, W]."""
    return picture.shape[2], picture.shape[1]


def _levels(sums: torch.Tensor, dimension: int) -> torch.Tensor:
    """uint8: the sums of both parts of the weights, which lie behind each other in a dimension, rounded half up."""
    high, low = sums.to(torch.int32).chunk(2, dimension)
    total = high * _PART + low + (1 << (_BITS - 1))
    return (total >> _BITS).clamp_(0, 255).to(torch.uint8)


def _hosted(picture: torch.Tensor) -> npt.NDArray[np.uint8]:
    """Waits for it."""
    found: npt.NDArray[np.uint8] = picture.contiguous().cpu().numpy()
    return found


def _groups(plain: Sequence[tuple[int, PlainJpeg]]) -> Iterator[list[tuple[int, PlainJpeg]]]:
    """The same in order, as many together as may be."""
    group, pixels = list[tuple[int, PlainJpeg]](), 0
    for place, about in plain:
        size = about.width * about.height
        if group and pixels + size > PIXELS_AT_ONCE:
            yield group
            group, pixels = [], 0
        group.append((place, about))
        pixels += size
    if group:
        yield group


def _check_device(error: RuntimeError) -> None:
    """Raises `UsageError` where the device has failed, or has no memory: nothing follows from that about the file."""
    if is_out_of_memory(error) or _OF_THE_DEVICE.search(_first_line(error)):
        raise UsageError(
            f"decoder='nvjpeg': the GPU has failed, or has no memory left for pictures ({_first_line(error)}); free "
            "some and run the same command again, or use decoder='pillow' in a new session"
        ) from error


def _smallest() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (200, 100, 50)).save(file, "JPEG")
    return file.getvalue()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
