"""`mlsession thresholds`: from which probability on to believe a model, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE
from mlsession.cli.output import print_json, print_lines
from mlsession.cli.printing.text import number_of, percent, plain
from mlsession.cli.running.mistakes import telling_part
from mlsession.errors import InvalidParameter, UsageError
from mlsession.metrics.intervals import Interval
from mlsession.metrics.operating import OperatingPoint, Rejection, within_error
from mlsession.metrics.report import ClassifierMetrics
from mlsession.metrics.stored import ERRORS
from mlsession.training.classifier import Classifier

DEFAULT_PRECISION = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdsArguments:
    """The command line, as typed."""

    session: str
    part: str | None
    min_precision: float | None
    min_recall: float | None
    max_error: float | None
    storage_options: Sequence[str] = field(repr=False)
    json: bool


def thresholds(given: ThresholdsArguments) -> int:
    """Prints a threshold for all predictions by the error that may be, and one for each label."""
    if given.min_precision is not None and given.min_recall is not None:
        raise InvalidParameter("--min-recall", given.min_recall, "give either --min-precision or --min-recall")
    classifier = Classifier.load(given.session, storage_options(given.storage_options))
    part = telling_part(classifier, given.part)
    metrics = {
        "training": classifier.training_metrics,
        "validation": classifier.validation_metrics,
        "test": classifier.testing_metrics,
    }[part]
    if not metrics.is_valid:
        raise UsageError(f"{metrics.error}; evaluate it on some, or take another --part")
    errors = ERRORS if given.max_error is None else (given.max_error,)
    rejections = {error: within_error(metrics.rejections(), error) for error in errors}
    if given.max_error is not None and rejections[given.max_error] is None:
        metrics.reject(max_error=given.max_error)  # Says what the best is.
    wanted = "min_recall" if given.min_recall is not None else "min_precision"
    chosen = given.min_precision if given.min_recall is None else given.min_recall
    least = DEFAULT_PRECISION if chosen is None else chosen
    points = {label: _point(metrics, label, wanted, least) for label in metrics.classes}
    if given.json:
        print_json(
            {
                "part": part,
                "count": metrics.count,
                wanted: least,
                "rejections": {str(error): each.to_json() if each else None for error, each in rejections.items()},
                "labels": {label: point.to_json() if point else None for label, point in points.items()},
            }
        )
        return DONE
    lines = [f"on {number_of(metrics.count, f'{part} image')}; brackets: 95 % intervals"]
    if part == "training":
        lines.append("the model was trained on these, and is less often right on others: train with --test to know how")
    lines.append("")
    lines += rejection_lines(rejections)
    lines += [
        "",
        f"a label where its probability is at least the threshold, {wanted.partition('_')[2]} {least:g} or more:",
    ]
    lines += _point_lines(points)
    print_lines(lines)
    return DONE


def rejection_lines(rejections: dict[float, Rejection | None]) -> list[str]:
    """A line for each error that may be: which predictions to believe, and how many are left."""
    width = _width(rejections.values())
    header = f"wrong at most  {'threshold':>{width}}  answered  wrong"
    lines = ["leave out what is less sure than the threshold:", header]
    for error, each in rejections.items():
        said = "cannot be reached" if each is None else _rejection_row(each, width)
        lines.append(f"{percent(error):>13}  {said}")
        if each is not None and each.count == each.total:
            break  # Whoever allows more leaves out nothing either.
    return lines


def _width(found: Iterable[Rejection | OperatingPoint | None]) -> int:
    """Columns that thresholds take: all digits of some of them are needed, between images that are nearly as sure."""
    return max(len("threshold"), *(len(repr(each.threshold)) for each in found if each is not None), 0)


def _rejection_row(each: Rejection, width: int) -> str:
    wrong = f"{each.wrong:,} of {each.count:,} {_shares(each.error_interval)}"
    return f"{each.threshold!r:>{width}}  {percent(each.coverage):>8}  {wrong}"


def _point_lines(points: dict[str, OperatingPoint | None]) -> list[str]:
    from rich.cells import cell_len, set_cell_size

    width = min(max((cell_len(plain(label)) for label in points), default=5), 30)
    width = max(width, len("label"))
    columns = _width(points.values())
    lines = [f"{'label':<{width}}  {'threshold':>{columns}}  precision                recall"]
    for label, point in points.items():
        said = "cannot be reached"
        if point is not None:
            precision = f"{percent(point.precision)} {_shares(point.precision_interval)}"
            recall = f"{percent(point.recall)} {_shares(point.recall_interval)}"
            said = f"{point.threshold!r:>{columns}}  {precision:<23}  {recall}"
        name = plain(label)
        name = name if cell_len(name) <= width else set_cell_size(name, width - 3) + "..."
        lines.append(f"{name}{' ' * (width - cell_len(name))}  {said}")
    return lines


def _shares(interval: Interval) -> str:
    return f"({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _point(metrics: ClassifierMetrics, label: str, wanted: str, least: float) -> OperatingPoint | None:
    """None where no threshold does, or no image has the label."""
    if not 0.0 <= least <= 1.0:
        raise InvalidParameter(f"--{wanted.replace('_', '-')}", least, "must lie from 0 to 1")
    try:
        if wanted == "min_recall":
            return metrics.threshold(label, min_recall=least)
        return metrics.threshold(label, min_precision=least)
    except InvalidParameter:
        return None
