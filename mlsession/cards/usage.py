"""How each file of a folder is used, as lines of code that run in that folder; pure.

`photo.jpg` is a picture of the reader's. The tests run every line, but what only a Mac can.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType

MODEL = "model"
"""What the files are called, before their suffixes."""

_LOAD = """\
# pip install mlsession
import mlsession as ml

classifier = ml.Classifier.load("model.safetensors"{weights})
print(classifier.predict("photo.jpg").label)"""

_ONNX = """\
# pip install onnxruntime numpy pillow
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession("model.onnx")
labels = json.loads(session.get_modelmeta().custom_metadata_map["labels"])
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
(probabilities,) = session.run(None, {"image": np.asarray(photo)[None]})
print(labels[probabilities[0].argmax()])"""

_PT2 = """\
# pip install torch numpy pillow
import json

import numpy as np
import torch
from PIL import Image, ImageOps

extra = {"labels.json": ""}
program = torch.export.load("model.pt2", extra_files=extra).module()
labels = json.loads(extra["labels.json"])
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
picture = torch.from_numpy(np.array(photo)).permute(2, 0, 1)
print(labels[int(program(picture[None])[0].argmax())])"""

_CORE_ML = """\
# On a Mac; in an app, Vision with imageCropAndScaleOption = .centerCrop. pip install coremltools pillow
import coremltools
from PIL import Image, ImageOps

model = coremltools.models.MLModel("{file}")
photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
picture = ImageOps.fit(photo, ({side}, {side}), Image.Resampling.BILINEAR)
print(model.predict({{"image": picture}})["label"])"""

_SOURCES: Mapping[str, str] = MappingProxyType({".onnx": _ONNX, ".pt2": _PT2})


def usage(file: str, suffix: str, side: int, *, weights: str = "") -> str:
    """The code for a file of a folder; "" for a format of another package, whose makers know.

    `side` is that of the pictures in pixels; `weights`: see `ExtractorFacts`.
    """
    if suffix == ".safetensors":
        return _LOAD.format(weights=f", extractor_weights={json.dumps(weights)}" if weights else "")
    if suffix in (".mlmodel", ".mlpackage"):
        return _CORE_ML.format(file=file, side=side)
    return _SOURCES.get(suffix, "")


def usage_lines(files: Sequence[tuple[str, str]], side: int, *, weights: str) -> list[str]:
    """Sections of code in Markdown for files, each with its suffix."""
    lines = list[str]()
    for file, suffix in files:
        if code := usage(file, suffix, side, weights=weights):
            lines += [f"`{file}`:", "", "```python", *code.splitlines(), "```", ""]
    return lines
