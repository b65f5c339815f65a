"""What a device's decoder makes of some photos, found out in a process of its own.

    this process:   photos -> a folder -> starts the other, waits -> what it found
    the other:      decodes them together, each alone, and each cut short -> the folder

The drivers of a GPU are fed files that are damaged on purpose. Whatever comes of that (an error after which the process
can use the GPU no more, a crash, no end) must not happen to the one that trains.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mlsession.errors import InvalidParameter
from mlsession.images.plain import as_cut_short, plain_jpeg

if TYPE_CHECKING:
    from mlsession.extractors.running.decoding import DeviceDecoder

SECONDS = 300.0
"""For loading torch, starting the GPU and decoding; some ten are usual."""
_FOUND = "found.npz"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """What became of some files."""

    rows: npt.NDArray[np.int64]
    """The places of those that it took, ascending."""
    squares: npt.NDArray[np.uint8]
    """[n, side, side, 3]: what it made of them."""
    has_same_bits: bool
    """Whether each of them alone became the same."""
    notices_cuts: bool
    """Whether it took none of them when they were cut short."""


def observed(decoder: DeviceDecoder, files: Sequence[bytes], side: int) -> Probe:
    """Of the plain JPEGs among some files, by a decoder of this process. Raises what the device raises."""
    plain = [row for row, data in enumerate(files) if plain_jpeg(data) is not None]
    made = decoder.prepared([files[row] for row in plain], side)
    taken = [(row, pair[0]) for row, pair in zip(plain, made, strict=True) if pair is not None]
    alone = [decoder.prepared([files[row]], side)[0] for row, _ in taken]
    cut = decoder.prepared([as_cut_short(files[row]) for row, _ in taken], side)
    return Probe(
        rows=np.array([row for row, _ in taken], np.int64),
        squares=np.array([square for _, square in taken], np.uint8).reshape(-1, side, side, 3),
        has_same_bits=all(
            pair is not None and np.array_equal(pair[0], square) for pair, (_, square) in zip(alone, taken, strict=True)
        ),
        notices_cuts=not any(cut),
    )


def probed(files: Sequence[bytes], place: str, side: int, seconds: float = SECONDS) -> Probe:
    """The same by another process, on the device that torch calls `place`.

    Raises `InvalidParameter` where it cannot decode there, does not end well, or not in `seconds`.
    """
    with tempfile.TemporaryDirectory(prefix="mlsession-decoder-") as name:
        folder = Path(name)
        for row, data in enumerate(files):
            (folder / f"{row:04}.jpg").write_bytes(data)
        line = [sys.executable, "-m", __name__, name, place, str(side)]
        try:
            child = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise InvalidParameter("decoder", "nvjpeg", f"was tried and did not end well ({error})") from error
        if child.returncode != 0:
            said = child.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
            reason = f"was tried and ended with status {child.returncode}: {said[-1]}"
            raise InvalidParameter("decoder", "nvjpeg", reason)
        with np.load(folder / _FOUND, allow_pickle=False) as found:
            return Probe(
                rows=found["rows"],
                squares=found["squares"],
                has_same_bits=bool(found["has_same_bits"]),
                notices_cuts=bool(found["notices_cuts"]),
            )


def main(folder: str, place: str, side: str) -> None:
    """What the other process does."""
    from mlsession.extractors.running.decoding import DeviceDecoder

    files = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    probe = observed(DeviceDecoder(place), files, int(side))
    np.savez(
        Path(folder, _FOUND),
        rows=probe.rows,
        squares=probe.squares,
        has_same_bits=probe.has_same_bits,
        notices_cuts=probe.notices_cuts,
    )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except InvalidParameter as error:
        sys.exit(error.reason)
