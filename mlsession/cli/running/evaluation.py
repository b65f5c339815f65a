"""`mlsession evaluate`, `results` and `plot`: how good a model is, and the images behind each figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlsession.cli.options.arguments import average_views, storage_options
from mlsession.cli.options.sources import check_label_from, source
from mlsession.cli.outcome import DONE
from mlsession.cli.output import output_width, print_json, print_lines, remark
from mlsession.cli.printing.report import class_table
from mlsession.cli.printing.text import figure, number_of, percent, plain
from mlsession.cli.running.mistakes import image_line, mistake_lines, telling_part
from mlsession.cli.running.thresholds import rejection_lines
from mlsession.errors import InvalidParameter
from mlsession.metrics.images import TOP, ImageResults
from mlsession.metrics.operating import within_error
from mlsession.metrics.stored import ERRORS
from mlsession.metrics.text import average_rows, overview_lines
from mlsession.store import redact
from mlsession.training.classifier import Classifier
from mlsession.training.findings.evaluation import Evaluation

MOST_NAMED = 5
"""Skipped or wrongly predicted images that are named unless all are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateArguments:
    """The command line, as typed."""

    model: str
    data: str
    label_from: str
    top: int | None
    errors: bool
    details: bool
    average_views: str | None
    extractor_weights: str | None
    storage_options: Sequence[str] = field(repr=False)
    json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which results to list; what is None does not matter."""

    part: str | None
    errors: bool
    label: str | None
    predicted: str | None


def evaluate(given: EvaluateArguments) -> int:
    """Measures a model on labelled images."""
    options, top = storage_options(given.storage_options), given.top
    if top is not None and top < 1:
        raise InvalidParameter("top", top, "must be 1 or more")
    check_label_from(given.label_from, given.data)
    classifier = Classifier.load(given.model, options, given.extractor_weights)
    found = classifier.evaluate_images(
        source(given.data, options, given.label_from),
        TOP if top is None else top,
        average_views=average_views(given.average_views),
    )
    if given.json:
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
    lines = _evaluation_lines(found, top, None if given.errors else MOST_NAMED)
    print_lines([*lines, *(detail_lines(found) if given.details else [])])
    return DONE


def results(url: str, choice: Choice, typed_options: Sequence[str], json: bool) -> int:
    """Lists what was said of the images of a session."""
    classifier = Classifier.load(url, storage_options(typed_options))
    part = telling_part(classifier, choice.part)
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
    reliability: str | None,
    part: str | None,
    normalize: bool,
    typed_options: Sequence[str],
    json: bool,
) -> int:
    """Draws what was asked for."""
    from mlsession.plots.figure import check_path

    asked = {"history": history, "confusion": confusion, "reliability": reliability}
    paths = {name: path for name, path in asked.items() if path is not None}
    if not paths:
        reason = "say where to draw: --history PATH, --confusion PATH, --reliability PATH, or several of them"
        raise InvalidParameter("history", None, reason)
    for path in paths.values():
        check_path(path)
    options = storage_options(typed_options)
    classifier = Classifier.load(url, options)
    if history is not None:
        classifier.plot_history(history, storage_options=options)
    if confusion is not None:
        classifier.plot_confusion(telling_part(classifier, part), confusion, normalize, storage_options=options)
    if reliability is not None:
        classifier.plot_reliability(telling_part(classifier, part), reliability, storage_options=options)
    written = {name: redact(path) for name, path in paths.items()}
    if json:
        print_json(written)
    else:
        print_lines([f"drew {plain(path)}" for path in written.values()])
    return DONE


def _evaluation_lines(found: Evaluation, top: int | None, most: int | None) -> list[str]:
    metrics = found.metrics
    lines = [metrics.summary, *overview_lines(metrics)]
    if top is not None:
        lines.append(f"top-{top} accuracy {percent(metrics.top_k_accuracy(top))}")
    lines += ["", *class_table(metrics, output_width())]
    return [*lines, *_error_lines(found.images, top or 1, most)]


def detail_lines(found: Evaluation) -> list[str]:
    """Averages, how far confidences can be believed, and the images behind the commonest and the hardest cases."""
    if not found.metrics.count:
        return []
    rejections = {error: within_error(found.metrics.rejections(), error) for error in ERRORS}
    lines = ["", "average           precision  recall     f1    auc"]
    for name, figures in average_rows(found.metrics):
        precision, recall, f1, area = map(figure, figures)
        lines.append(f"{name:<16}  {precision:>9}  {recall:>6}  {f1:>5}  {area:>5}")
    lines += ["", "confidence      images  mean   right  95 % interval"]
    for each in found.metrics.reliability_bins:
        if each.count:
            low, high = each.accuracy_interval
            said = f"{figure(each.confidence)}  {figure(each.accuracy)}   {low:.2f} to {high:.2f}"
            lines.append(f"{each.low:.2f} to {each.high:.2f}  {each.count:>8,}  {said}")
    return [*lines, "", *rejection_lines(rejections), *mistake_lines(found.images, MOST_NAMED)]


def _error_lines(images: ImageResults, top: int, most: int | None) -> list[str]:
    wrong = images.most_confident_errors(most)
    if not len(wrong):
        return []
    lines = ["", f"{number_of(images.num_wrong, 'image')} predicted wrongly:"]
    lines += [f"  {image_line(image, top)}" for image in wrong]
    if len(wrong) < images.num_wrong:
        lines.append(f"  and {images.num_wrong - len(wrong):,} more; --errors names all")
    return lines
