"""`mlsession review`: what the features of a session say of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mlsession.cli.options.arguments import storage_options
from mlsession.cli.options.sources import source
from mlsession.cli.outcome import DONE
from mlsession.cli.output import output_width, print_json, print_lines, remark
from mlsession.cli.printing.program import program
from mlsession.cli.printing.text import command_line, number_of, percent, plain
from mlsession.data.source import DataSource
from mlsession.reviewing.findings import Finding, Reason
from mlsession.reviewing.report import ReviewReport, check_output
from mlsession.store import redact
from mlsession.training.findings.reviewing import review as reviewed

MOST_NAMED = 5
"""Findings of each reason that are shown."""
_SAID = {
    Reason.LABEL_ERROR: "likely wrong labels",
    Reason.CONFLICT: "look the same as an image with another label",
    Reason.LEAKAGE: "look the same as an image to validate or test on",
    Reason.DUPLICATE: "the same file as an earlier image",
    Reason.NEAR_DUPLICATE: "look the same as an earlier image",
    Reason.CORRECTED: "were corrected before, and are repeated",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewArguments:
    """The command line, as typed."""

    session: str
    output: str | None
    test: str | None
    similarity: float
    label_from: str
    storage_options: Sequence[str] = field(repr=False)
    json: bool


def review(given: ReviewArguments) -> int:
    """Looks, writes the table and says what is in it."""
    options = storage_options(given.storage_options)
    if given.output is not None:
        check_output(given.output)
    test: DataSource | Literal["recorded"] | None = "recorded"
    if given.test is not None:
        test = None if given.test == "none" else source(given.test, options, given.label_from)
    report = reviewed(
        given.session,
        test,
        similarity=given.similarity,
        storage_options=options,
        tell=lambda text: remark(f"{plain(text)} ..."),
    )
    if given.output is not None:
        report.write(given.output, options)
    if given.json:
        print_json({**report.to_json(), "output": None if given.output is None else redact(given.output)})
    else:
        print_lines([*report_lines(report, output_width()), *_next(given, report)])
    return DONE


def report_lines(report: ReviewReport, width: int) -> list[str]:
    """A review, for people: counts, and of each reason the first images."""
    counted = ", ".join(f"{count:,} {name}" for name, count in report.images.items() if count)
    lines = [f"images: {counted}"]
    if report.accuracy is not None:
        lines.append(f"accuracy on training images that a head has not seen: {percent(report.accuracy)}")
    if report.unjudged:
        lines.append(f"labels not judged, too few different images: {', '.join(map(plain, report.unjudged))}")
    lines += [f"skipped {plain(path)}: {plain(reason)}" for path, reason in report.skipped[:MOST_NAMED]]
    if len(report.skipped) > MOST_NAMED:
        lines.append(f"skipped {number_of(len(report.skipped) - MOST_NAMED, 'further test image')}; --json names all")
    if not report.findings:
        return [*lines, "nothing found"]
    for reason in Reason:
        findings = [finding for finding in report.findings if finding.reason is reason]
        if findings:
            lines += ["", f"{reason.value}: {len(findings):,} {_SAID[reason]}"]
            lines += [f"  {_cut(line, width - 2)}" for line in map(_line, findings[:MOST_NAMED])]
        if len(findings) > MOST_NAMED:
            lines.append(f"  and {len(findings) - MOST_NAMED:,} more")
    return lines


def _line(finding: Finding) -> str:
    """What is said of one finding."""
    name, label, share = plain(finding.path), plain(finding.label), percent(finding.confidence)
    suggested = plain(finding.suggested)
    if finding.reason is Reason.LABEL_ERROR:
        return f"{name}: {label}, likely {suggested} ({share})"
    if finding.reason is Reason.CORRECTED:
        return f"{name}: {f'labelled {label}' if label else 'left out'}"
    source = "" if finding.other_source == "training" else f"{finding.other_source} image "
    alike = "the same as" if finding.confidence == 1 else f"{share} like"
    hint = f", likely {suggested}" if suggested else ""
    labels = f" ({label}{hint})" if finding.reason is Reason.CONFLICT else ""
    return f"{name}{labels}: {alike} {source}{plain(finding.other)}"


def _cut(line: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else f"{set_cell_size(line, max(width - 3, 8))}..."


def _next(given: ReviewArguments, report: ReviewReport) -> list[str]:
    """What to do next."""
    if not report.findings:
        return []
    secrets = [f"--storage-option={option}" for option in given.storage_options]
    if given.output is None:
        words = ["review", given.session, "--output", "fixes.csv", *secrets]
        return ["", "next, a table of all of them to edit:", f"  {command_line([*program(), *words])}"]
    line = report.training or ("train", "DATA", "--session", given.session)
    words = [*line, "--labels", given.output, "--on-modified-data", "update", *secrets]
    return [
        "",
        f"wrote {number_of(len(report.findings), 'line')} to {plain(redact(given.output))}: in the column action write",
        "  relabel for the label in the column suggested, remove to leave the image out; or edit the label itself",
        "then train with it; the images stay as they are:",
        f"  {command_line([*program(), *words])}",
    ]
