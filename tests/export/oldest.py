"""Exports of one fixed classifier in every format, made and proved by the torch of this environment: a script.

    python -m tests.export.oldest

`make test-oldest` runs it with the oldest torch that the package supports and with the newest. It also converts the
same network by both ways that coremltools has, torch.export with its decompositions (which exports use) and torch.jit
traces, and compares what each file says. It ends with 1 if anything failed; each failure is named.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import torch

from mlsession.classifier.model import ImageModel
from mlsession.coreml.evaluate import evaluate_mlmodel
from mlsession.coreml.interface import Message
from mlsession.coreml.manifest import package_files
from mlsession.coreml.program import evaluate_mlpackage
from mlsession.coreml.silence import silenced_coremltools
from mlsession.errors import MLSessionError
from mlsession.export import EXPORT_SUFFIXES, ModelMetadata
from mlsession.export.capture import plain_copy
from mlsession.export.compressed import compressed_exporter
from mlsession.export.compression import Compression
from mlsession.export.conversion import Form, captured, converted
from mlsession.export.protocol import Images
from mlsession.export.verify import TOLERANCE, Floats, network_probabilities, proof_images
from mlsession.export.write import export_model
from mlsession.extractors.catalog import scene_print
from mlsession.heads.logistic.head import LogisticHead
from mlsession.images.decode import prepare_image
from mlsession.randomness import keyed_generator
from mlsession.training.models.exporting import exporter_of

PHOTOS = Path(__file__).parents[2] / "examples" / "data" / "test"


def fixed_model() -> ImageModel:
    """The default extractor under a head that is always the same."""
    labels = tuple(sorted(folder.name for folder in PHOTOS.iterdir()))
    weight = keyed_generator(0, "oldest").normal(scale=0.2, size=(len(labels), 1280)).astype(np.float32)
    head = LogisticHead(weight=weight, bias=np.zeros(len(labels), np.float32))
    return ImageModel(labels=labels, feature_extractor=scene_print(), head=head)


def pictures(side: int) -> Images:
    """The made-up ones, and a photo of each label."""
    photos = [sorted(folder.iterdir())[0] for folder in sorted(PHOTOS.iterdir())]
    return np.concatenate(
        [proof_images(side), *(prepare_image(photo.read_bytes(), photo.name, side)[None] for photo in photos)]
    )


def answers(form: Form, spec: Message, weights: bytes, images: Images) -> Floats:
    """What a converted model says, by our evaluators."""
    data = spec.SerializeToString(deterministic=True)
    if form is Form.NEURAL_NETWORK:
        return evaluate_mlmodel(data, images)[1]
    return evaluate_mlpackage(package_files(data, weights), images)[1]


def converted_both_ways(model: ImageModel, form: Form, images: Images) -> str:
    """The largest difference of a probability between a file and the network, by the way that it was converted."""
    network = plain_copy(model.network(), model.labels, model.side)
    expected = network_probabilities(network, images)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing is deprecated
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            network, torch.zeros(1, 3, model.side, model.side)
        )
    found: list[str] = []
    for name, graph in (("torch.export", captured(network, model.side)), ("torch.jit.trace", traced)):
        with silenced_coremltools() as coremltools, tempfile.TemporaryDirectory() as folder:
            spec, weights = converted(coremltools, form, graph, model.labels, model.side, None, Path(folder))
        difference = float(np.abs(answers(form, spec, weights, images) - expected).max())
        if not difference <= TOLERANCE:
            raise AssertionError(f"by {name} a probability differs by {difference:.3g}")
        found.append(f"{name} {difference:.0e}")
    return ", ".join(found)


def main() -> int:
    """Runs all; the exit code."""
    torch.set_num_threads(1)  # Several wait for each other where others work as well.
    model = fixed_model()
    images, failed = pictures(model.side), 0
    sys.stdout.write(f"torch {torch.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}\n")
    with tempfile.TemporaryDirectory() as folder:
        exporters = [(suffix, exporter_of(suffix)) for suffix in EXPORT_SUFFIXES]
        exporters += [
            (".mlpackage", compressed_exporter(".mlpackage", Compression(method="float16"))),
            (".mlmodel", compressed_exporter(".mlmodel", Compression(method="int8", max_changed=0.2))),
        ]
        for number, (suffix, exporter) in enumerate(exporters):
            try:
                path = str(Path(folder) / f"{number}{suffix}")
                report = export_model(model, path, ModelMetadata(), images, {suffix: exporter})
                written = suffix if report.compression is None else f"{suffix} in {report.compression.method}"
                sys.stdout.write(f"{written}: within {report.max_difference:.0e}, {report.runtime}\n")
                sys.stdout.flush()
            except MLSessionError as error:
                failed += 1
                sys.stdout.write(f"{suffix}: FAILED: {error}\n")
    for form in Form:
        try:
            sys.stdout.write(f"{form.value}: within {converted_both_ways(model, form, images)}\n")
        except Exception:
            failed += 1
            sys.stdout.write(f"{form.value}: FAILED: {traceback.format_exc()}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
