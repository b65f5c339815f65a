"""What commands say of sessions and models: values become lines of text; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from mlsession.cli.printing.advice import advice_rows
from mlsession.cli.printing.chosen import chosen_words, extractor_words
from mlsession.cli.printing.text import byte_size, duration, figure, number_of, percent, plain
from mlsession.store.location import redact

if TYPE_CHECKING:
    from mlsession.export.compression import CompressionLoss
    from mlsession.export.report import ExportReport
    from mlsession.inference.summary import PredictionSummary
    from mlsession.metrics.report import ClassifierMetrics
    from mlsession.phases.finetuned import FineTuned
    from mlsession.training.findings.summary import SessionSummary

MOST_CLASSES = 40
"""Classes that a table shows; of more, the ones with the lowest F1."""
MOST_NAMES = 12
"""Class names in one line."""
MOST_PAIRS = 3


def status_lines(summary: SessionSummary, now: datetime) -> list[str]:
    """A session, for people."""
    counts = summary.counts
    used = [f"{counts.train:,} to train"]
    if counts.validation is not None:
        used.append(f"{counts.validation:,} to validate")
    used += [f"{counts.test:,} to test", f"{counts.skipped:,} skipped"]
    rows = [
        ("session", plain(summary.url)),
        ("status", _status(summary)),
        ("phase", f"{plain(summary.phase)}, saved up to iteration {summary.iteration}"),
        ("updated", f"{summary.date:%Y-%m-%d %H:%M:%S} UTC, {_age(now - summary.date)} ago"),
        ("data", plain(summary.data)),
        ("images", ", ".join(used)),
        ("classes", f"{len(summary.classes)}: {_names(summary.classes)}"),
        ("checkpoints", _checkpoints(summary)),
    ]
    if summary.extractor_choice is not None:
        rows.append(("extractor", extractor_words(summary.extractor_choice)))
    if summary.selection is not None:
        rows.append(("selection", chosen_words(summary.selection)))
    if summary.finetuning is not None:
        rows.append(("fine-tuning", tuned_words(summary.finetuning)))
    if summary.model_digest:
        rows.append(("model", f"sha256 {summary.model_digest}"))
    rows += [(f"{part} set", metrics.summary) for part, metrics in summary.metrics.items()]
    rows += advice_rows(summary.advice) if summary.advice is not None else []
    rows += [(each.severity.value, plain(each.sentence)) for each in summary.findings]
    rows += [("skipped", f"{plain(image.path)}: {plain(image.reason)}") for image in summary.skipped[:5]]
    if len(summary.skipped) > 5:
        rows.append(("", f"and {number_of(len(summary.skipped) - 5, 'further image')}; --json names all"))
    rows += [("damaged", plain(what)) for what in summary.damaged]
    return labelled(rows)


def prediction_lines(summary: PredictionSummary, now: datetime) -> list[str]:
    """A session of predictions, for people."""
    rows = [
        ("session", plain(summary.url)),
        ("status", _status(summary)),
        ("phase", f"{plain(summary.phase)}, saved up to iteration {summary.iteration}"),
        ("updated", f"{summary.date:%Y-%m-%d %H:%M:%S} UTC, {_age(now - summary.date)} ago"),
        ("data", plain(summary.data)),
        ("output", plain(summary.output)),
        ("images", f"{summary.num_done:,} of {summary.num_images:,} done, {summary.num_skipped:,} cannot be read"),
        ("checkpoints", _checkpoints(summary)),
        ("model", f"sha256 {plain(summary.model_digest)}"),
    ]
    return labelled([*rows, *(("damaged", plain(what)) for what in summary.damaged)])


def tuned_words(tuned: FineTuned) -> str:
    """Whether the fine-tuned model is kept, and what it gained on the validation images."""
    kept = "the tuned model is kept" if tuned.is_kept else "the classifier alone is kept, on the network as it was"
    found = tuned.comparison
    if found is None:
        return f"{kept}; there were no validation images to compare on"
    before, after = found.head_only, found.finetuned
    calibrated = f"; its temperature, {tuned.temperature:.2f}, was fitted on them, too" if tuned.is_kept else ""
    return (
        f"{kept}: of {number_of(found.images, 'validation image')} {percent(after.accuracy)} right when tuned "
        f"(log loss {after.log_loss:.3g}), {percent(before.accuracy)} with the classifier alone "
        f"({before.log_loss:.3g}){calibrated}"
    )


def labelled(rows: Sequence[tuple[str, str]]) -> list[str]:
    """Lines of a name and what is said of it."""
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{name:<{width}}  {text}" for name, text in rows]


def headline(metrics: dict[str, ClassifierMetrics]) -> str:
    """The accuracy of each part that was evaluated."""
    parts = [f"{part} {percent(each.accuracy)} of {each.count:,}" for part, each in metrics.items()]
    return f"accuracy: {', '.join(parts)}" if parts else "accuracy: nothing was evaluated"


def class_table(metrics: ClassifierMetrics, width: int) -> list[str]:
    """A line for each class, no wider than `width` columns while names can give way; then what is confused most.

    Precision and recall have their 95 % intervals where there is room beside the names.
    """
    from rich.cells import cell_len, set_cell_size

    columns = zip(
        metrics.classes,
        metrics.class_counts.tolist(),
        metrics.precision.tolist(),
        metrics.recall.tolist(),
        metrics.f1.tolist(),
        metrics.precision_interval.tolist(),
        metrics.recall_interval.tolist(),
        strict=True,
    )
    rows = [(plain(label), *figures) for label, *figures in columns]
    ordered = sorted(rows, key=lambda row: (math.isnan(row[4]), row[4])) if len(rows) > MOST_CLASSES else rows
    shown, rest = ordered[:MOST_CLASSES], ordered[MOST_CLASSES:]
    room = max(width - 36, 8)
    name_width = min(max((cell_len(row[0]) for row in shown), default=5), room)
    name_width = max(name_width, len("label"))
    spaced = "  95 % interval" if name_width + 36 + 2 * 15 <= width else ""
    lines = [f"{'label':<{name_width}}   count  precision{spaced}  recall{spaced}     f1"]
    for label, count, precision, recall, f1, of_precision, of_recall in shown:
        name = label if cell_len(label) <= name_width else set_cell_size(label, name_width - 3) + "..."
        padding = " " * (name_width - cell_len(name))
        ends = [f"  {_interval(each):>13}" if spaced else "" for each in (of_precision, of_recall)]
        lines.append(
            f"{name}{padding}  {count:>6,}  {figure(precision):>9}{ends[0]}  {figure(recall):>6}{ends[1]}"
            f"  {figure(f1):>5}"
        )
    if rest:
        unmet = sum(math.isnan(row[4]) for row in rest)
        of_both = ((len(rest) - unmet, "with a higher f1"), (unmet, "that no image is of or taken for"))
        parts = [f"{count} {'class' if count == 1 else 'classes'} {which}" for count, which in of_both if count]
        lines.append(f"and {', and '.join(parts)}; --json has all")
    return [*lines, *confusions(metrics)]


def _interval(ends: Sequence[float]) -> str:
    return f"{ends[0]:.2f} to {ends[1]:.2f}" if math.isfinite(ends[0]) else "-"


def confusions(metrics: ClassifierMetrics) -> list[str]:
    """A line on the pairs of classes that are most often confused, if any are."""
    named = [
        f"{plain(each.label)} taken for {plain(each.predicted)} ({each.count:,})"
        for each in metrics.top_confusions(MOST_PAIRS)
    ]
    return [f"most often confused: {', '.join(named)}"] if named else []


def export_line(path: str, report: ExportReport) -> str:
    """What was written, how it was proved, what its size cost, and what one picture takes."""
    line = f"exported {plain(redact(path))}: {report.format}, {byte_size(report.size_bytes)}"
    if not report.verified:
        return f"{line}, not verified" + (f": {plain(report.reason)}" if report.reason else "")
    loss = report.compression
    if loss is not None:
        line += f" in {loss.method} ({byte_size(loss.uncompressed_size_bytes)} uncompressed)"
    of_session = f" ({report.num_photos:,} of the session)" if report.num_photos else ""
    line += f", checked on {number_of(report.num_images, 'picture')}{of_session}"
    line += f": {_close(report.max_difference)}" if loss is None else f": {_loss_words(loss)}"
    if report.seconds is None or report.model_seconds is None:
        return line
    times = (f"{1000 * seconds:.1f} ms" for seconds in (report.seconds, report.model_seconds))
    return f"{line}, {next(times)} a picture in {report.runtime} (before: {next(times)})"


def _close(difference: float | None) -> str:
    return f"probabilities within {difference:.0e}" if difference else "the same probabilities"


def _loss_words(loss: CompressionLoss) -> str:
    line = (
        f"{loss.num_changed:,} of {loss.num_images:,} get another label, probabilities within {loss.max_difference:.0e}"
    )
    if loss.accuracy is None or loss.uncompressed_accuracy is None:
        return line
    shares = f"{percent(loss.accuracy)} of {number_of(loss.num_labeled, 'test image')} right"
    return f"{line}, {shares} (uncompressed: {percent(loss.uncompressed_accuracy)})"


def _status(summary: SessionSummary | PredictionSummary) -> str:
    words = [summary.status.value]
    if summary.heartbeat_age is not None:
        words.append(f"last sign of life {duration(summary.heartbeat_age)} ago")
    if summary.reason:
        words.append(plain(" ".join(summary.reason.split())))
    return ", ".join(words)


def _checkpoints(summary: SessionSummary | PredictionSummary) -> str:
    if not summary.checkpoints:
        return "none yet"
    newest = summary.checkpoints[-1]
    return f"{summary.num_checkpoints:,}, the newest is {plain(newest.url)}"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(plain, names[:MOST_NAMES]))
    return f"{shown}, ..." if len(names) > MOST_NAMES else shown


def _age(age: timedelta) -> str:
    if age >= timedelta(days=2):
        return f"{age.days} days"
    return duration(max(age.total_seconds(), 0.0))
