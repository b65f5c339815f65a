"""The proof that an export gives the same answers as the trained model. Pure, but for running the model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from functools import partial
from operator import eq
from statistics import median
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from mlsession.clock import Clock
from mlsession.errors import InternalError, InvalidParameter
from mlsession.export.protocol import Images
from mlsession.export.report import ExportReport
from mlsession.extractors.numerics import torch_numerics
from mlsession.randomness import keyed_generator

if TYPE_CHECKING:
    import torch

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.floating[Any]]]

TOLERANCE = 1e-4
"""How far two float32 computations of one probability may lie apart: rounding alone stays below a tenth of this."""
SCALED_TOLERANCE = 1e-2
"""The same where the file scales the picture itself: a pixel may differ by one level of 255, see `scaling.squares`.
Measured with a trained head on 36 photos, two cuts of each, and noise of their sizes: 0.0052 at most, median 3e-10."""

OWN_EVALUATOR = "mlsession's evaluator of Core ML graphs"
"""What runs Core ML models here; how long it takes says nothing of Core ML, so it is not measured."""

Run: TypeAlias = Callable[[Images], Floats]
"""uint8 [1, side, side, 3] -> probabilities, float [1, K]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a written file, or the model, says about N pictures."""

    class_labels: tuple[str, ...]
    """All K labels that it knows, in its order."""
    labels: tuple[str, ...]
    """Its label for each picture."""
    probabilities: Floats
    """float [N, K]."""
    runtime: str = ""
    """What computed them, with its version."""
    seconds: float | None = None
    """The median for one picture."""
    size_bytes: int | None = None
    """Of the weights of a network in memory."""


def answers_of(run: Run, class_labels: Sequence[str], images: Images, runtime: str, clock: Clock) -> Answers:
    """What `run` says of pictures, one at a time; the first counts no time, as many runtimes get ready in it.

    torch runs in one thread meanwhile, as any runtime should: several wait for each other where others work as well.
    Raises `InvalidParameter` if there is no picture.
    """
    _check_any(images)
    took, rows = list[float](), list[Floats]()
    with torch_numerics(1):
        run(images[:1])
        for index in range(len(images)):
            start = clock.monotonic()
            rows.append(run(images[index : index + 1]))
            took.append(clock.monotonic() - start)
    probabilities = np.concatenate(rows)
    labels = tuple(class_labels[place] for place in probabilities.argmax(axis=1))
    return Answers(
        class_labels=tuple(class_labels),
        labels=labels,
        probabilities=probabilities,
        runtime=runtime,
        seconds=median(took),
    )


def network_answers(network: torch.nn.Module, class_labels: Sequence[str], images: Images, clock: Clock) -> Answers:
    """What the trained network itself says of pictures, uint8 [N, side, side, 3], one at a time."""
    import torch

    held = (*network.parameters(), *network.buffers())
    run, runtime = partial(network_probabilities, network), f"torch {torch.__version__}"
    found = answers_of(run, class_labels, images, runtime, clock)
    return replace(found, size_bytes=4 * sum(tensor.numel() for tensor in held))


def verify_export(
    *,
    path: str,
    format: str,
    spec_version: int,
    size_bytes: int,
    exported: Answers,
    trained: Answers,
    tolerance: float = TOLERANCE,
) -> ExportReport:
    """Compare what the file says with what the trained model says of the same pictures.

    They agree if the class labels are the same in the same order, every probability differs by `tolerance` at most,
    and each picture gets the label that the model gives it. Where the model's own two best classes lie within twice
    the tolerance of each other, rounding decides between them, and either label is right.

    Raises `InternalError` naming the first disagreement, and `InvalidParameter` if there is no picture to compare.
    """
    probabilities, class_labels = trained.probabilities, trained.class_labels
    _check_any(probabilities)
    if exported.class_labels != class_labels:
        raise _mismatch(path, f"its labels are {list(exported.class_labels)!r}, the model's {list(class_labels)!r}")
    if exported.probabilities.shape != probabilities.shape:
        raise _mismatch(path, f"it gives {exported.probabilities.shape} probabilities, the model {probabilities.shape}")
    differences = np.abs(exported.probabilities.astype(np.float64) - probabilities.astype(np.float64))
    # A difference that is not a number must not pass as a small one.
    wrong = ~(differences <= tolerance)
    if wrong.any():
        image, column = (int(index) for index in np.argwhere(wrong)[0])
        found, expected = exported.probabilities[image, column], probabilities[image, column]
        where = f"picture {image}, label {class_labels[column]!r}"
        raise _mismatch(path, f"{where}: {found:.6g} in the file, {expected:.6g} in the model, tolerance {tolerance:g}")
    _compare_labels(path, exported.labels, class_labels, probabilities, tolerance)
    return ExportReport(
        path=path,
        format=format,
        spec_version=spec_version,
        size_bytes=size_bytes,
        num_images=len(probabilities),
        max_difference=float(differences.max()),
        verified=True,
        tolerance=tolerance,
        num_labels_equal=sum(map(eq, exported.labels, trained.labels)),
        runtime=exported.runtime,
        seconds=exported.seconds,
        model_size_bytes=trained.size_bytes,
        model_seconds=trained.seconds,
    )


def _check_any(pictures: Sized) -> None:
    if len(pictures) == 0:
        raise InvalidParameter("images", 0, "an export is proved on one picture at least; give some")


def network_probabilities(network: torch.nn.Module, images: Images) -> Floats:
    """What a network says: uint8 [N, side, side, 3] -> float32 [N, K], one picture at a time."""
    import torch

    weight = next(network.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    pictures = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        rows = [network(picture[None].to(device, torch.float32)).cpu().numpy() for picture in pictures]
    return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)


def probe_images(count: int, side: int = 256) -> Images:
    """Made-up pictures for proving an export when no real ones are at hand: uint8 [count, side, side, 3].

    Always the same: colour gradients of random direction under random noise, so that they span the range of pixels.
    """
    pictures = np.empty((count, side, side, 3), np.uint8)
    down, right = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    for index in range(count):
        random = keyed_generator(0, "export probe", index)
        directions, noise = random.normal(size=(2, 3)), random.normal(size=(side, side, 3))
        waves = down[..., None] * directions[0] + right[..., None] * directions[1]
        pictures[index] = np.clip(127.5 + 96 * waves + 16 * (index % 4) * noise, 0, 255).astype(np.uint8)
    return pictures


def proof_images(side: int = 256) -> Images:
    """The pictures that exports are proved on: uint8 [7, side, side, 3], always the same.

    Four `probe_images`, then the extremes: black, white, and every channel of every pixel at one of its two ends.
    """
    ends = keyed_generator(0, "export extremes").integers(0, 2, size=(side, side, 3)) * 255
    extremes = [np.zeros_like(ends), np.full_like(ends, 255), ends]
    return np.concatenate([probe_images(4, side), np.stack(extremes).astype(np.uint8)])


def _compare_labels(
    path: str, found: tuple[str, ...], class_labels: Sequence[str], probabilities: Floats, tolerance: float
) -> None:
    if len(found) != len(probabilities):
        raise _mismatch(path, f"it gives {len(found)} labels for {len(probabilities)} pictures")
    columns = {label: column for column, label in enumerate(class_labels)}
    for image, (label, row) in enumerate(zip(found, probabilities, strict=True)):
        if label not in columns or row.max() - row[columns[label]] > 2 * tolerance:
            raise _mismatch(
                path, f"picture {image} is {label!r} in the file, {class_labels[row.argmax()]!r} in the model"
            )


def _mismatch(path: str, what: str) -> InternalError:
    return InternalError(
        f"{path}: the export differs from the trained model: {what}; nothing was written, "
        "export in another format and report this with the versions of torch and of the converter"
    )
