"""A scan's report as HTML, for a notebook and as a page that stands alone; pure."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlsession.display.html import card, escaped, table
from mlsession.scanning.finding import Finding, ScannedImage
from mlsession.scanning.text import class_rows, image_name, summary_line

if TYPE_CHECKING:
    from mlsession.scanning.report import ScanReport

MOST_GROUPS = 12
"""Images, or groups of copies, that a page shows of a finding."""
MOST_COPIES = 4
"""Images of one group that are shown."""

Thumbnails = Mapping[tuple[str, str], bytes]
"""Small JPEGs by source and path."""

_COLOURS = {"error": "rgba(214,64,64,.9)", "warning": "rgba(214,150,40,.9)", "note": "rgba(128,128,128,.8)"}


def shown_images(finding: Finding) -> list[ScannedImage]:
    """The images of a finding that a page shows."""
    return [image for group in finding.groups[:MOST_GROUPS] for image in group[:MOST_COPIES]]


def card_html(report: ScanReport) -> str:
    """The sum, the classes, and a line for each finding."""
    lines = "".join(f"<div>{_title(finding)}</div>" for finding in report.findings)
    return card("ScanReport", summary_line(report), [lines, _counts(report)])


def page_html(report: ScanReport, thumbnails: Thumbnails) -> str:
    """A whole document without a reference to anything outside."""
    cards = "".join(
        f'<div style="margin-top:14px">{_finding(finding, thumbnails)}</div>' for finding in report.findings
    )
    body = card("Scan", summary_line(report), [_counts(report)])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Scan of labelled images</title>'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"></head>'
        f'<body style="margin:16px">{body}{cards}</body></html>\n'
    )


def _counts(report: ScanReport) -> str:
    header, rows, left_out = class_rows(report)
    note = f"<div>{escaped(f'and {left_out:,} classes with more images')}</div>" if left_out else ""
    return table(header, rows) + note


def _title(finding: Finding) -> str:
    colour = _COLOURS[finding.severity.value]
    return f'<b style="color:{colour}">{escaped(finding.severity.value)}</b> {escaped(finding.sentence)}'


def _finding(finding: Finding, thumbnails: Thumbnails) -> str:
    several = len({image.source for image in finding.images}) > 1
    groups = "".join(_group(group, thumbnails, several) for group in finding.groups[:MOST_GROUPS])
    left_out = len(finding.groups) - MOST_GROUPS
    more = escaped(f"and {left_out:,} more") if left_out > 0 else ""
    strip = f'<div style="display:flex;flex-wrap:wrap;gap:10px;align-items:flex-start">{groups}</div>' if groups else ""
    return card(finding.kind.value, "", [_title(finding), escaped(finding.cure), strip, more])


def _group(group: tuple[ScannedImage, ...], thumbnails: Thumbnails, several: bool) -> str:
    shown = "".join(_figure(image, thumbnails, several) for image in group[:MOST_COPIES])
    more = f"<div>{escaped(f'and {len(group) - MOST_COPIES:,} more')}</div>" if len(group) > MOST_COPIES else ""
    border = "border:1px solid rgba(128,128,128,.35);border-radius:4px;padding:4px;" if len(group) > 1 else ""
    return f'<div style="{border}display:flex;gap:6px">{shown}{more}</div>'


def _figure(image: ScannedImage, thumbnails: Thumbnails, several: bool) -> str:
    small = thumbnails.get((image.source, image.path))
    picture = ""
    if small is not None:
        data = base64.b64encode(small).decode("ascii")
        picture = f'<img alt="" src="data:image/jpeg;base64,{data}" style="display:block;max-width:96px">'
    words = [image_name(image, several), image.label, image.detail]
    lines = "".join(f"<div>{escaped(word)}</div>" for word in words if word)
    return f'<div style="width:110px;overflow-wrap:anywhere;font-size:11px">{picture}{lines}</div>'
