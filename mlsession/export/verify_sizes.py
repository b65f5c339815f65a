"""The proof of a file that takes pictures of any size and number: its scaling is compared as well as its network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlsession.clock import Clock
from mlsession.export.encoded import Encoded
from mlsession.export.protocol import ExportableModel, Images
from mlsession.export.report import ExportReport
from mlsession.export.verify import (
    SCALED_TOLERANCE,
    Answers,
    Floats,
    Run,
    answers_of,
    network_answers,
    network_probabilities,
    probe_images,
    verify_export,
)
from mlsession.images.geometry import to_square

if TYPE_CHECKING:
    import torch


def verify_any_size(
    *,
    path: str,
    format: str,
    spec_version: int,
    encoded: Encoded,
    class_labels: Sequence[str],
    run: Run,
    runtime: str,
    model: ExportableModel,
    images: Images,
    clock: Clock,
) -> ExportReport:
    """Compare a file with the model: picture by picture, all pictures at once, and on pictures of other sizes.

    `run` takes uint8 [N, H, W, 3] of any size and number, and `class_labels` are the file's. `images` are uint8
    [N, side, side, 3]. Raises as `verify_export` does.
    """
    network = model.network()
    trained = network_answers(network, model.labels, images, clock)
    exported = answers_of(run, class_labels, images, runtime, clock)
    report = verify_export(
        path=path,
        format=format,
        spec_version=spec_version,
        size_bytes=encoded.size_bytes,
        exported=exported,
        trained=trained,
    )
    together = replace(exported, probabilities=run(images))
    batch = verify_export(
        path=path, format=format, spec_version=spec_version, size_bytes=0, exported=together, trained=trained
    )
    pictures = other_sizes(model.side)
    scaled = verify_export(
        path=path,
        format=format,
        spec_version=spec_version,
        size_bytes=0,
        exported=_answers([run(picture[None]) for picture in pictures], class_labels),
        trained=_answers([_expected(network, picture, model.side) for picture in pictures], model.labels),
        tolerance=SCALED_TOLERANCE,
    )
    return replace(
        report,
        max_difference=max(report.max_difference or 0.0, batch.max_difference or 0.0),
        scaled_difference=scaled.max_difference,
    )


def other_sizes(side: int) -> tuple[Images, ...]:
    """Made-up pictures, uint8 [H, W, 3]: a wide one to reduce, a tall one a pixel off, and a small one to enlarge."""
    _, large = probe_images(2, 2 * side)  # The first is smooth: with and without antialiasing it is the same.
    reduced, enlarged = side + side // 3, side // 2 + 1
    return large[:reduced], large[: side + 1, :side], large[: side - 1, :enlarged]


def _expected(network: torch.nn.Module, picture: Images, side: int) -> Floats:
    """What the network says of a picture that is prepared as all are that it was trained on."""
    from PIL import Image

    square = np.array(to_square(Image.fromarray(picture), side))
    return network_probabilities(network, square[None])


def _answers(rows: Sequence[Floats], class_labels: Sequence[str]) -> Answers:
    probabilities = np.concatenate(rows)
    labels = tuple(class_labels[place] for place in probabilities.argmax(axis=1))
    return Answers(class_labels=tuple(class_labels), labels=labels, probabilities=probabilities)
