"""Export as a program of torch.export (`.pt2`): for Python, C++ and AOTInductor, without this package.

extra = {"labels.json": "", "metadata.json": ""}
program = torch.export.load("Animals.pt2", extra_files=extra)
probabilities = program.module()(torchvision.io.decode_image("cat.jpg", mode="RGB")[None])
labels = json.loads(extra["labels.json"])
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mlsession.clock import Clock, SystemClock
from mlsession.errors import DamagedData
from mlsession.export.capture import captured, quiet, refusing
from mlsession.export.described import LABELS, descriptions, read_labels
from mlsession.export.encoded import Encoded
from mlsession.export.metadata import ModelMetadata
from mlsession.export.protocol import ExportableModel, Images
from mlsession.export.report import ExportReport
from mlsession.export.verify import Floats
from mlsession.export.verify_sizes import verify_any_size

LABELS_FILE = "labels.json"
METADATA_FILE = "metadata.json"

_INPUT = "image: uint8 [N, 3, H, W], RGB, as torchvision.io.decode_image gives pictures; any N, H and W"
_OTHERS = ".safetensors or .mlpackage"


def convert_pt2(network: torch.nn.Module, labels: Sequence[str], metadata: ModelMetadata, side: int = 256) -> bytes:
    """A classifier as the bytes of a `.pt2` file: `image`, uint8 [N, 3, H, W], to probabilities float32 [N, K].

    See `capture.captured` for what it takes, and raises. Beside the graph are the extra files `labels.json`, a list,
    and `metadata.json`, texts by name (see `described.descriptions`). The same input gives the same bytes with the
    same version of torch.
    """
    said = descriptions(metadata, labels, _INPUT, side)
    program = captured(network, labels, side, channels_last=False, others=_OTHERS)
    extra = {
        LABELS_FILE: said.pop(LABELS),
        METADATA_FILE: json.dumps(said, ensure_ascii=False, indent=2, sort_keys=True),
    }
    buffer = io.BytesIO()
    with refusing(network, "torch.export cannot write it", _OTHERS), quiet():
        torch.export.save(program, buffer, extra_files=extra)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class PT2Exporter:
    """`Exporter` for `.pt2`."""

    clock: Clock = field(default_factory=SystemClock)

    @property
    def suffix(self) -> str:
        return ".pt2"

    def encode(self, model: ExportableModel, metadata: ModelMetadata) -> Encoded:
        """See `convert_pt2`."""
        return Encoded.of_file(convert_pt2(model.network(), model.labels, metadata, model.side))

    def verify(self, path: str, encoded: Encoded, model: ExportableModel, images: Images) -> ExportReport:
        """Load the file's bytes with torch and run them on `images`; see `verify_any_size`."""
        extra = {LABELS_FILE: "", METADATA_FILE: ""}
        with quiet():
            program = torch.export.load(io.BytesIO(encoded.data), extra_files=extra)
            module = program.module()

        def run(pictures: Images) -> Floats:
            with torch.inference_mode():
                image = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)))
                found: Floats = module(image).numpy()
            return found

        return verify_any_size(
            path=path,
            format="torch.export program",
            spec_version=schema_version(encoded.data, path),
            encoded=encoded,
            class_labels=read_labels({LABELS: extra[LABELS_FILE]}, path),
            run=run,
            runtime=f"torch {torch.__version__}",
            model=model,
            images=images,
            clock=self.clock,
        )


def schema_version(data: bytes, name: str) -> int:
    """The major version of the schema that a program is written in. Raises `DamagedData` where there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.namelist():
                found = json.loads(archive.read(entry)) if entry.endswith(".json") else None
                if isinstance(found, dict) and "schema_version" in found:
                    return int(found["schema_version"]["major"])
    except (zipfile.BadZipFile, ValueError, LookupError, TypeError) as error:
        raise DamagedData(name, "it is no program of torch.export; export it again") from error
    raise DamagedData(name, "it is no program of torch.export; export it again")
