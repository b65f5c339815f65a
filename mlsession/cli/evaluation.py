"""`mlsession evaluate`, `results` and `plot`: how good a model is, and the images behind each figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlsession.cli.arguments import source, storage_options
from mlsession.cli.outcome import DONE
from mlsession.cli.output import output_width, print_json, print_lines, remark
from mlsession.cli.report import class_table
from mlsession.cli.text import number_of, percent, plain
from mlsession.errors import InvalidParameter
from mlsession.metrics.images import TOP, ImageResult, ImageResults
from mlsession.metrics.text import overview_lines
from mlsession.phases.evaluated import PartName
from mlsession.store import redact
from mlsession.training.classifier import Classifier
from mlsession.training.evaluation import Evaluation
from mlsession.training.results import check_part

MOST_NAMED = 5
"""Skipped or wrongly predicted images that are named unless all are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which results to list; what is None does not matter."""

    part: str | None
    errors: bool
    label: str | None
    predicted: str | None


def evaluate(
    model: str,
    data: str,
    label_from: str,
    top: int | None,
    errors: bool,
    weights: str | None,
    typed_options: Sequence[str],
    json: bool,
) -> int:
    """Measures a model on labelled images."""
    options = storage_options(typed_options)
    if top is not None and top < 1:
        raise InvalidParameter("top", top, "must be 1 or more")
    classifier = Classifier.load(model, options, weights)
    found = classifier.evaluate_images(source(data, options, label_from), TOP if top is None else top)
    if json:
        print_json(
            {
                "accuracy": found.metrics.accuracy,
                "classes": list(found.metrics.classes),
                "metrics": found.metrics.to_json(),
                "predictions": [image.to_json() for image in found.images],
                "skipped": [{"path": path, "reason": reason} for path, reason in found.skipped],
            }
        )
        return DONE
    for path, reason in found.skipped[:MOST_NAMED]:
        remark(f"skipped {plain(path)}: {plain(reason)}")
    if len(found.skipped) > MOST_NAMED:
        remark(f"skipped {number_of(len(found.skipped) - MOST_NAMED, 'further image')}; --json names all")
    print_lines(_evaluation_lines(found, top, None if errors else MOST_NAMED))
    return DONE


def results(url: str, choice: Choice, typed_options: Sequence[str], json: bool) -> int:
    """Lists what was said of the images of a session."""
    classifier = Classifier.load(url, storage_options(typed_options))
    part = _part(classifier, choice.part)
    found = classifier.results(part).where(label=choice.label, predicted=choice.predicted)
    count, wrong = len(found), found.num_wrong
    if choice.errors:
        found = found.most_confident_errors()
    if json:
        print_json({"part": part, "count": len(found), "images": [image.to_json() for image in found]})
    else:
        remark(f"{number_of(count, f'{part} image')}, {wrong:,} predicted wrongly")
        print_lines([image_line(image) for image in found])
    return DONE


def plot(
    url: str,
    history: str | None,
    confusion: str | None,
    part: str | None,
    normalize: bool,
    typed_options: Sequence[str],
    json: bool,
) -> int:
    """Draws what was asked for."""
    from mlsession.plots.figure import check_path

    if history is None and confusion is None:
        raise InvalidParameter("history", None, "say where to draw: --history PATH, --confusion PATH, or both")
    for path in (history, confusion):
        if path is not None:
            check_path(path)
    options = storage_options(typed_options)
    classifier = Classifier.load(url, options)
    if history is not None:
        classifier.plot_history(history, storage_options=options)
    if confusion is not None:
        classifier.plot_confusion(_part(classifier, part), confusion, normalize, storage_options=options)
    written = {name: redact(path) for name, path in (("history", history), ("confusion", confusion)) if path}
    if json:
        print_json(written)
    else:
        print_lines([f"drew {plain(path)}" for path in written.values()])
    return DONE


def image_line(image: ImageResult, top: int = 1) -> str:
    """What was said of one image: its best `top` labels, and the right one where it is another."""
    said = ", ".join(f"{plain(label)} {percent(share)}" for label, share in image.top[:top])
    return f"{plain(image.path)}: {said}{'' if image.correct else _truth(image)}"


def _truth(image: ImageResult) -> str:
    return f" (is {plain(image.label)}, {percent(image.truth_confidence)})"


def _evaluation_lines(found: Evaluation, top: int | None, most: int | None) -> list[str]:
    metrics = found.metrics
    lines = [metrics.summary, *overview_lines(metrics)]
    if top is not None:
        lines.append(f"top-{top} accuracy {percent(metrics.top_k_accuracy(top))}")
    lines += ["", *class_table(metrics, output_width())]
    return [*lines, *_error_lines(found.images, top or 1, most)]


def _error_lines(images: ImageResults, top: int, most: int | None) -> list[str]:
    wrong = images.most_confident_errors(most)
    if not len(wrong):
        return []
    lines = ["", f"{number_of(images.num_wrong, 'image')} predicted wrongly:"]
    lines += [f"  {image_line(image, top)}" for image in wrong]
    if len(wrong) < images.num_wrong:
        lines.append(f"  and {images.num_wrong - len(wrong):,} more; --errors names all")
    return lines


def _part(classifier: Classifier, wanted: str | None) -> PartName:
    """What was asked for, or else the images that say most of how good a model is."""
    if wanted is not None:
        return check_part(wanted)
    if classifier.testing_metrics.is_valid or not classifier.training_metrics.is_valid:
        return "test"
    return "validation" if classifier.validation_metrics.is_valid else "training"
