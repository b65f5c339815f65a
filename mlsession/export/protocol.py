"""The seam between a trained model and the file formats it can leave in.

    exporter = exporter_for(export_suffix(path), exporters)
    encoded = exporter.encode(model, metadata)
    report = exporter.verify(path, encoded, model, images)   # proves it before anything is written
    write_encoded(path, encoded)                             # `write.export_model` does these four

An exporter is a value without state; the caller that knows all formats gives them as a mapping from suffix to
exporter, so nothing is registered at import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np

from mlsession.errors import InvalidParameter
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.report import ExportReport
from mlsession.store import redact, url_name

if TYPE_CHECKING:
    import torch

Images: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
"""uint8 [N, side, side, 3], RGB."""

EXPORT_SUFFIXES = (".mlmodel", ".mlpackage", ".onnx", ".pt2", ".safetensors")
"""Every format of our own that a model can be written in; `plugins` finds those of other packages."""

Model_contra = TypeVar("Model_contra", contravariant=True)


class ExportableModel(Protocol):
    """What an exporter of a whole network asks of a trained model."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The class labels, in the order of the network's output."""
        ...

    @property
    def side(self) -> int:
        """Height and width in pixels of the pictures that the network takes."""
        ...

    def network(self) -> torch.nn.Module:
        """float32 [N, 3, side, side] RGB pixels from 0 to 255 -> class probabilities float32 [N, K].

        Crop, normalisation and softmax are inside; it is in evaluation mode.
        """
        ...


class Exporter(Protocol[Model_contra]):
    """One file format."""

    @property
    def suffix(self) -> str:
        """The end of its names, with the dot, in lower case."""
        ...

    def encode(self, model: Model_contra, metadata: ModelMetadata) -> Encoded:
        """The whole export. Raises `InvalidParameter` for what the format cannot express."""
        ...

    def verify(self, path: str, encoded: Encoded, model: Model_contra, images: Images) -> ExportReport:
        """Read the export's bytes back, run them on `images`, and compare with the model.

        `path` is for the report and messages only. Raises `InternalError` if the answers differ.
        """
        ...


def export_suffix(path: str, others: Callable[[], Sequence[str]] = tuple) -> str:
    """The format that a path or URL asks for: its suffix, in lower case. Raises `InvalidParameter` if unknown.

    `others` gives further suffixes that are known; it is asked only where the suffix is none of `EXPORT_SUFFIXES`.
    """
    suffix = PurePosixPath(url_name(path)).suffix.lower()
    if suffix in EXPORT_SUFFIXES:
        return suffix
    further = tuple(others())
    if suffix not in further:
        known = _either((*EXPORT_SUFFIXES, *further))
        folder = "a folder with a card is written as DIR/, in Python by write_folder"
        reason = f"no format is known by this suffix; end it with {known}; {folder}"
        raise InvalidParameter("path", redact(path), reason)
    return suffix


def exporter_for(suffix: str, exporters: Mapping[str, Exporter[Model_contra]]) -> Exporter[Model_contra]:
    """The exporter of a suffix. Raises `InvalidParameter`, naming the known suffixes."""
    try:
        return exporters[suffix]
    except KeyError:
        raise InvalidParameter("suffix", suffix, f"no such format; use {_either(tuple(exporters))}") from None


def _either(suffixes: tuple[str, ...]) -> str:
    *others, last = sorted(suffixes)
    return f"{', '.join(others)} or {last}" if others else last
