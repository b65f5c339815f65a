"""Labels and file names from somebody who means harm: wherever they are shown, they are text, and nothing else."""

from __future__ import annotations

import html
import io
import json
import unicodedata
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from mlsession.classifier.format import decode_model, encode_model
from mlsession.classifier.model import ImageModel
from mlsession.classifier.prediction import Prediction
from mlsession.cli.outcome import error_line
from mlsession.cli.printing.narrator import Narrator
from mlsession.cli.printing.progress import PlainScreen, TerminalScreen
from mlsession.cli.printing.report import class_table
from mlsession.cli.printing.text import command_line, one_line, plain
from mlsession.data.manifest import manifest_bytes
from mlsession.data.rows import parse_rows
from mlsession.data.source import DataSource
from mlsession.display.html import card, confusion, facts, table
from mlsession.display.plain import MOST
from mlsession.errors import InvalidParameter, MLSessionError, ModifiedTrainingData, UnreadableImage, UnusableData
from mlsession.events import (
    Event,
    ItemSkipped,
    JobStopping,
    PhaseFinished,
    PhaseStarted,
    Progressed,
    SessionClosed,
    SessionCreated,
    SessionOpened,
    WaitingForWriter,
)
from mlsession.metrics.evaluation import EvaluationSums
from mlsession.metrics.page import metrics_html
from mlsession.metrics.report import ClassifierMetrics
from mlsession.testing.clock import FakeClock
from tests.classifier.heads import logistic, model

NAMES = (
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "two\nlines",
    "carriage\rreturn",
    "bell\x07\x08\x7f\x9b31m",
    "[red]markup[/red]",
    "[link=http://evil]here[/link]",
    "[/]",
    ":boom:",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "\u2066isolated\u2069\u200f",
    "line\u2028separator\u2029",
    "half \ud800 of a pair",
    "$\\frac{",
    "{label} {0.__class__} %s %(x)s",
    "=cmd|' /C calc'!A0",
    "a" * 100_000,
    "\u0301" * 50,
    " ",
)


def is_harmless(text: str, width: int | None = None) -> bool:
    """One line, nothing that a terminal or a page would obey, and not endless."""
    odd = [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in "\u202e\u2066\u2069\u200f"]
    return not odd and len(text) < (width or 4 * MOST)


def events(name: str) -> Iterator[Event]:
    yield SessionCreated(url=f"/tmp/{name}")
    yield SessionOpened(url=name, phase=name, iteration=1, host=name, pid=1)
    yield WaitingForWriter(host=name, pid=1, seconds=1.0)
    yield PhaseStarted(phase=name, iteration=0)
    yield ItemSkipped(phase=name, item=name, reason=name)
    yield Progressed(
        phase=name, iteration=1, total=2, item_count=1, total_items=2, elapsed=1.0, metrics={name: 1.0, "accuracy": 0.5}
    )
    yield PhaseFinished(phase=name, iteration=2, metrics={name: 1.0})
    yield JobStopping(reason=name)
    yield SessionClosed(outcome=name, reason=name)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_on_a_terminal_and_in_a_log(name: str) -> None:
    assert is_harmless(plain(name))
    assert is_harmless(one_line(name))
    narrator = Narrator()
    for event in events(name):
        for line in narrator.lines(event):
            assert is_harmless(line.text, 40 * MOST), type(event).__name__
    stream = io.StringIO()
    screen = PlainScreen(stream, FakeClock())
    for event in events(name):
        screen.show(event)
    assert all(is_harmless(line, 40 * MOST) for line in stream.getvalue().split("\n"))


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", NAMES[6:11], ids=ascii)
def test_the_bar_takes_markup_for_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    stream = Terminal()
    screen = TerminalScreen(stream)
    for event in events(name):
        screen.show(event)
    screen.close()
    assert f"skipped {name}: {name}" in stream.getvalue().replace("\n", "")


def test_errors_are_one_line() -> None:
    for name in NAMES:
        errors: tuple[MLSessionError, ...] = (
            InvalidParameter("label", name, "is no label"),
            UnreadableImage(name, name),
            UnusableData(name, name),
            ModifiedTrainingData((name,), (name,), (name,), (name,), name),
        )
        for error in errors:
            assert is_harmless(error_line(error), 2 * MOST)


def metrics_of(names: tuple[str, ...]) -> ClassifierMetrics:
    truth = np.arange(len(names))
    probabilities = np.full((len(names), len(names)), 0.5 / (len(names) - 1))
    probabilities[truth, np.roll(truth, 1)] = 0.5
    return ClassifierMetrics.of(EvaluationSums.zero(len(names)).add(truth, probabilities), names)


def test_in_tables_and_json() -> None:
    names = tuple(sorted(name for name in NAMES if "\ud800" not in name))
    metrics = metrics_of(names)
    lines = class_table(metrics, 80)
    assert all(is_harmless(line, 40 * MOST) for line in lines)
    again = ClassifierMetrics.from_json(json.loads(json.dumps(metrics.to_json())))
    assert again.classes == names
    assert json.dumps(metrics.to_json()).isascii()


class Tags(HTMLParser):
    """What a browser would take for tags, and for the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert {name for name, _ in attrs} <= {"style"}

    def handle_data(self, data: str) -> None:
        self.text += data


PIECES = {"div", "span", "b", "br", "table", "tr", "td", "th"}


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_in_a_page(name: str) -> None:
    pages = [
        card(name, name, [facts({name: name}), table([name, name], [[name, name]])]),
        confusion((name, "x"), np.eye(2, dtype=np.int64)),
        Prediction(label=name, confidence=0.5, top=((name, 0.5),))._repr_html_(),
    ]
    if "\ud800" not in name:
        pages.append(metrics_html(metrics_of(tuple(sorted((name, "x"))))))
    for page in pages:
        found = Tags()
        found.feed(page)
        assert found.tags <= PIECES
        assert html.unescape(html.escape(plain(name))) in found.text
        assert is_harmless(page, 100 * MOST)
        page.encode()


def test_in_a_saved_model_and_a_manifest(tmp_path: Path) -> None:
    labels = tuple(name for name in NAMES if "\ud800" not in name and name.strip())[:3]
    original = model(logistic())
    hostile = ImageModel(labels=labels, feature_extractor=original.feature_extractor, head=original.head)
    data = encode_model(hostile, {"author": NAMES[0], "license": NAMES[10]})
    assert decode_model(data, "k").labels == labels
    assert b"\x1b" not in data[: 8 + int.from_bytes(data[:8], "little")]
    rows = [(f"{place}.jpg", name) for place, name in enumerate(NAMES) if "\ud800" not in name and name.strip()]
    assert [(row.path, row.label) for row in parse_rows(manifest_bytes(rows), "k")] == rows


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_as_names_of_folders_and_files(name: str, tmp_path: Path) -> None:
    """Whatever a disk takes for a name is an image's label, or is refused in a line that can be shown."""
    for label in ("plain", name):
        folder = tmp_path / label.replace("/", "_")
        try:
            folder.mkdir()
            (folder / f"{label.replace('/', '_')}.jpg").write_bytes(b"x")
        except (OSError, UnicodeEncodeError):
            return
    source = DataSource.labeled_directories(tmp_path)
    try:
        index = source.index()
    except UnusableData as refused:
        said = error_line(refused)
    else:
        said = ""
        assert index.classes == tuple(sorted(("plain", name.replace("/", "_"))))
        assert type(index).from_bytes(index.to_bytes()).keys == index.keys
    assert is_harmless(said)


def test_the_command_to_go_on_is_whole_and_harmless() -> None:
    for name in NAMES:
        line = command_line(["mlsession", "train", name])
        assert is_harmless(line, 200_000)
        assert len(line) >= len(name)
