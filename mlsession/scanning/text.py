"""A scan's report as lines of text; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlsession.display.plain import plain
from mlsession.scanning.finding import TEST, Finding, ScannedImage, Severity, number_of

if TYPE_CHECKING:
    from mlsession.scanning.report import ScanReport

MOST_CLASSES = 40
"""Classes that the table shows; of more the ones with the fewest images."""
MOST_GROUPS = 5
"""Images, or groups of copies, that a finding shows; the others are counted."""
MOST_COPIES = 4
"""Images of one group that are shown."""


def report_lines(report: ScanReport) -> list[str]:
    """The classes with their images, each finding with some of its images and its cure, and the sum."""
    lines = [*count_lines(report), ""]
    for finding in report.findings:
        lines += [*_finding_lines(finding), ""]
    return [*lines, summary_line(report)]


def summary_line(report: ScanReport) -> str:
    """What was looked at, and how much was found."""
    counted = Counter(finding.severity for finding in report.findings)
    amounts = [number_of(counted[severity], severity.value) for severity in Severity if counted[severity]]
    ignored = f", {number_of(report.ignored, 'other file')} left out" if report.ignored else ""
    return f"scanned {number_of(report.num_images, 'image')}{ignored}: {', '.join(amounts) or 'nothing to remark'}"


def class_rows(report: ScanReport) -> tuple[list[str], list[list[str]], int]:
    """The header, the rows, and how many classes are left out, of a table of the images that can be read."""
    sources = list(report.counts)
    labels = sorted({label for counts in report.counts.values() for label in counts})
    found = {
        label: [counts[label].readable if label in counts else 0 for counts in report.counts.values()]
        for label in labels
    }
    shown = sorted(labels, key=lambda label: (found[label][0], label))[:MOST_CLASSES]
    rows = [[plain(label), *(f"{count:,}" for count in found[label])] for label in sorted(shown)]
    sums = [f"{sum(counts[place] for counts in found.values()):,}" for place in range(len(sources))]
    return ["label", *sources], [*rows, ["all", *sums]], len(labels) - len(shown)


def count_lines(report: ScanReport) -> list[str]:
    """The table of classes."""
    from rich.cells import cell_len

    header, rows, left_out = class_rows(report)
    table = [header, *rows]
    widths = [max(cell_len(row[place]) for row in table) for place in range(len(header))]
    lines = [
        "  ".join([row[0] + " " * (widths[0] - cell_len(row[0])),
                   *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))])
        for row in table
    ]  # fmt: skip
    return lines if not left_out else [*lines, f"and {number_of(left_out, 'class')} with more images; --json has all"]


def finding_line(finding: Finding) -> str:
    """The finding in one line, without its cure."""
    return f"{finding.severity.value}: {finding.sentence} [{finding.kind.value}]"


def image_name(image: ScannedImage, several: bool) -> str:
    """The path of an image, with its source where there are `several`."""
    return plain(f"{image.source}: {image.path}" if several else image.path)


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield finding_line(finding)
    several = any(image.source == TEST for image in finding.images)
    for group in finding.groups[:MOST_GROUPS]:
        names = [image_name(image, several) for image in group[:MOST_COPIES]]
        more = f" = {len(group) - MOST_COPIES:,} more" if len(group) > MOST_COPIES else ""
        detail = f": {plain(group[0].detail)}" if len(group) == 1 and group[0].detail else ""
        yield f"    {' = '.join(names)}{more}{detail}"
    if len(finding.groups) > MOST_GROUPS:
        yield f"    and {len(finding.groups) - MOST_GROUPS:,} more; --json names all"
    yield f"  {finding.cure}"
