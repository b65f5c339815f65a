"""Pieces of HTML: a card with a title, tables, bars, a confusion matrix. Everything from outside is escaped.

Colours come from the page (`currentColor`, and greys that are half transparent), so that a dark theme stays dark.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence

from mlsession.display.plain import plain
from mlsession.session.phase import Array

_FONT = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.45"
_LINE = "rgba(128,128,128,.35)"
_FILL = "rgba(64,132,214,.85)"
MOST_CLASSES = 30
"""A confusion matrix of more classes is not drawn: its cells could not be read."""


def escaped(text: object) -> str:
    """Text from outside, so that it shows as it is, and as nothing else: neither markup nor control characters."""
    return html.escape(plain(text))


def card(title: str, subtitle: str = "", blocks: Iterable[str] = ()) -> str:
    """One value: a title, what kind of thing it is, and blocks of HTML below each other."""
    kind = f' <span style="opacity:.65">{escaped(subtitle)}</span>' if subtitle else ""
    body = "".join(f'<div style="margin-top:6px">{block}</div>' for block in blocks if block)
    return (
        f'<div style="{_FONT};border:1px solid {_LINE};border-radius:6px;padding:8px 12px;'
        f'display:inline-block;max-width:100%;overflow-x:auto"><b>{escaped(title)}</b>{kind}{body}</div>'
    )


def facts(values: Mapping[str, object]) -> str:
    """Names and values, one a line; values of None are left out."""
    rows = "".join(
        f'<tr><td style="text-align:left;opacity:.65;padding:0 14px 0 0;border:0">{escaped(name)}</td>'
        f'<td style="text-align:left;padding:0;border:0">{escaped(value)}</td></tr>'
        for name, value in values.items()
        if value is not None
    )
    return f'<table style="border-collapse:collapse;background:none">{rows}</table>' if rows else ""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; its first column is text, the others are figures."""
    head = "".join(f'<th style="{_cell(place)};border-bottom:1px solid {_LINE}">{escaped(name)}</th>'
                   for place, name in enumerate(header))  # fmt: skip
    body = "".join(
        "<tr>" + "".join(f'<td style="{_cell(place)}">{escaped(shown(value))}</td>' for place, value in enumerate(row))
        + "</tr>" for row in rows
    )  # fmt: skip
    return f'<table style="border-collapse:collapse;background:none"><tr>{head}</tr>{body}</table>'


def bar(fraction: float | None, text: str = "") -> str:
    """How far something has come, 0 to 1; None draws an empty bar."""
    share = 0.0 if fraction is None or not math.isfinite(fraction) else min(max(fraction, 0.0), 1.0)
    return (
        f'<div style="display:flex;align-items:center;gap:10px"><div style="width:220px;height:8px;flex:none;'
        f'border-radius:4px;background:{_LINE}"><div style="width:{100 * share:.1f}%;height:8px;border-radius:4px;'
        f'background:{_FILL}"></div></div><span>{escaped(text)}</span></div>'
    )


def confusion(classes: Sequence[str], matrix: Array) -> str:
    """A confusion matrix, int64 [K, K], true classes down and predicted ones across; "" beyond `MOST_CLASSES`."""
    if not 0 < len(classes) <= MOST_CLASSES:
        return ""
    totals = matrix.sum(axis=1)
    head = "".join(
        f'<th style="padding:2px 4px;font-weight:normal;vertical-align:bottom;border:0">'
        f'<span style="writing-mode:vertical-rl;transform:rotate(180deg)">{escaped(name)}</span></th>'
        for name in classes
    )
    rows = "".join(
        f'<tr><td style="text-align:right;padding:2px 6px;border:0">{escaped(name)}</td>'
        + "".join(_shaded(int(count), int(total)) for count in line) + "</tr>"
        for name, line, total in zip(classes, matrix, totals, strict=True)
    )  # fmt: skip
    corner = '<td style="opacity:.65;vertical-align:bottom;padding:2px 6px;border:0">true \\ predicted</td>'
    return f'<table style="border-collapse:collapse;background:none"><tr>{corner}{head}</tr>{rows}</table>'


def shown(value: object) -> str:
    """A figure to three places, "-" where it is undefined; anything else as it prints."""
    if isinstance(value, float):
        return f"{value:.3f}" if math.isfinite(value) else "-"
    return str(value)


def _cell(place: int) -> str:
    return f"text-align:{'right' if place else 'left'};padding:1px {10 if place else 14}px 1px 0"


def _shaded(count: int, total: int) -> str:
    share = count / total if total else 0.0
    text = escaped(count) if count else '<span style="opacity:.35">·</span>'
    return (
        f'<td style="text-align:center;min-width:1.6em;padding:2px 4px;border:1px solid {_LINE};'
        f'background:rgba(64,132,214,{0.75 * share:.2f})">{text}</td>'
    )
