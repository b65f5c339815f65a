"""`mlsession learning-curve`: what more images can be expected to bring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.outcome import DONE
from mlsession.cli.output import print_json, print_lines, remark
from mlsession.cli.printing.text import figure, percent, plain
from mlsession.curves.curve import ClassOutlook, LearningCurve
from mlsession.curves.sentences import class_sentence, whole_sentence
from mlsession.errors import InvalidParameter
from mlsession.export.write import write_atomically
from mlsession.store import redact
from mlsession.training.findings.learning import learning_curve as measured

MOST_NAMED = 10
"""Classes that get a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveArguments:
    """The command line, as typed."""

    session: str
    plot: str | None
    csv: str | None
    most_images: int
    storage_options: Sequence[str] = field(repr=False)
    json: bool


def learning_curve(given: CurveArguments) -> int:
    """Measures, writes what was asked for, and says what came of it."""
    from mlsession.plots.figure import check_path

    options = storage_options(given.storage_options)
    if given.plot is not None:
        check_path(given.plot)
    if given.csv is not None and not given.csv.lower().endswith(".csv"):
        raise InvalidParameter("csv", redact(given.csv), "must end in .csv")
    curve = measured(
        given.session,
        most_images=given.most_images,
        storage_options=options,
        tell=lambda text: remark(f"{text} ..."),
    )
    if given.plot is not None:
        from mlsession.plots.learning import plot_learning_curve

        plot_learning_curve(curve, given.plot, storage_options=options)
    if given.csv is not None:
        write_atomically(given.csv, curve.table(), options)
    written = [redact(path) for path in (given.plot, given.csv) if path is not None]
    if given.json:
        print_json({**curve.to_json(), "written": written})
    else:
        print_lines([*curve_lines(curve), *(f"wrote {plain(path)}" for path in written)])
    return DONE


def curve_lines(curve: LearningCurve) -> list[str]:
    """A learning curve, for people."""
    sampled = "" if curve.sampled == curve.images else f", measured on a sample of {curve.sampled:,}"
    lines = [f"{curve.images:,} images in {len(curve.classes)} classes{sampled}"]
    if curve.unjudged:
        lines.append(f"left out, too few different images: {', '.join(map(plain, curve.unjudged))}")
    lines += ["", f"{'images':>9}  {'a class':>7}  {'accuracy':>8}  {'+/-':>7}  {'log loss':>8}"]
    for point in curve.points:
        lines.append(
            f"{point.images:>9,.0f}  {point.images_per_class:>7,.0f}  {percent(point.accuracy):>8}  "
            f"{100 * point.accuracy_error:>4.1f} pt  {figure(point.log_loss):>8}"
        )
    for count, found in ((curve.images, curve.now), *((each.images, each.accuracy) for each in curve.projections)):
        between = f"{100 * found.low:.1f} to {percent(found.high)}"
        a_class = count / len(curve.classes)
        lines.append(f"{count:>9,}  {a_class:>7,.0f}  {percent(found.value):>8}  expected, {between}")
    lines += ["", whole_sentence(curve), class_sentence(curve)]
    worth = [each for each in curve.outlook if each.more]
    if worth:
        lines += ["", *(_class_line(each) for each in worth[:MOST_NAMED])]
    return lines


def _class_line(each: ClassOutlook) -> str:
    at_least = "at least" if each.is_least else "about"
    return (
        f"  {plain(each.label)}: {each.images:,} images, recall {percent(each.recall)}; "
        f"{at_least} {each.more:,} more are worth taking"
    )
