from __future__ import annotations

import io
import threading

import pytest

from mlsession.cli.printing.meter import Meter
from mlsession.cli.printing.progress import PlainScreen, TerminalScreen, bar_words, follow, screen_for
from mlsession.errors import Interrupted, UnusableData
from mlsession.events import Event, JobFinished, PhaseFinished, PhaseStarted
from mlsession.job.job import Job, JobContext
from mlsession.testing.clock import FakeClock
from tests.cli.test_narrator import report


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Recorder:
    """A screen that remembers, and fails if it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.shown: list[Event] = []
        self.closed = False
        self._failure = failure

    def show(self, event: Event) -> None:
        self.shown.append(event)
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        self.closed = True


def test_plain_lines_are_not_more_than_one_a_second() -> None:
    stream, clock = io.StringIO(), FakeClock()
    screen = PlainScreen(stream, clock)
    screen.show(PhaseStarted(phase="extracting", iteration=0))
    for items in range(1, 13):
        screen.show(report(items, items * 0.25))
        clock.advance(0.25)
    screen.show(PhaseFinished(phase="extracting", iteration=8))
    screen.close()
    lines = stream.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "extracting: started",
        "extracting: 1 of 120 images",
        "extracting: 5 of 120 images",
        "extracting: 9 of 120 images",
        "extracting: done",
    ]


def test_a_terminal_keeps_the_course_and_drops_the_bar() -> None:
    stream = FakeTerminal()
    screen = TerminalScreen(stream)
    try:
        screen.show(PhaseStarted(phase="extracting", iteration=0))
        screen.show(report(16, 1.0))
        screen.show(report(80, 3.0))
        screen.show(PhaseFinished(phase="extracting", iteration=8))
    finally:
        screen.close()
        screen.close()
    text = stream.getvalue()
    assert "extracting: started" in text
    assert "extracting: done, 80 images, in 3.0 s" in text
    assert "80 of 120 images" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is back


def test_a_bar_is_for_terminals_that_can_draw_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = screen_for(FakeTerminal())
    screen.close()
    assert isinstance(screen, TerminalScreen)
    assert isinstance(screen_for(io.StringIO()), PlainScreen)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(screen_for(FakeTerminal()), PlainScreen)


def test_the_words_behind_the_bar_fit() -> None:
    begin = report(0, 0.0, "training", loss=0.123456, accuracy=0.9, validation_loss=0.2, validation_accuracy=0.8)
    latest = report(60, 5.0, "training", loss=0.123456, accuracy=0.9, validation_loss=0.2, validation_accuracy=0.8)
    meter = Meter(phase="training", begin=begin, latest=latest)
    assert bar_words(meter, 80) == "60/120 iterations  loss 0.123  accuracy 90.0 %  5.0 s left"
    assert "validation accuracy 80.0 %" in bar_words(meter, 200)
    assert bar_words(Meter(phase="extracting"), 80) == ""
    assert bar_words(Meter(phase="extracting", begin=report(0, 0.0), latest=report(60, 5.0)), 80) == (
        "60/120 images  12.0/s  5.0 s left"
    )


def test_a_job_is_shown_to_its_end() -> None:
    screen = Recorder()
    assert follow(Job(lambda context: 7), screen, 5.0) == 7
    assert [type(event) for event in screen.shown] == [JobFinished]
    assert screen.closed


def test_what_a_job_raises_is_raised() -> None:
    def fails(context: JobContext) -> None:
        raise UnusableData("cats", "none")

    with pytest.raises(UnusableData):
        follow(Job(fails), Recorder(), 5.0)


def test_a_terminal_that_is_gone_does_not_end_a_training() -> None:
    assert follow(Job(lambda context: 7), Recorder(BrokenPipeError()), 5.0) == 7


def test_a_bug_in_showing_is_told_when_the_work_is_safe() -> None:
    done = threading.Event()

    def works(context: JobContext) -> int:
        context.emit(PhaseStarted(phase="training", iteration=0))
        done.set()
        return 7

    with pytest.raises(ZeroDivisionError):
        follow(Job(works), Recorder(ZeroDivisionError()), 5.0)
    assert done.is_set()


def test_a_job_that_does_not_stop_is_left() -> None:
    release = threading.Event()
    job = Job(lambda context: release.wait(60.0))
    try:
        job.interrupt("signal SIGTERM")
        with pytest.raises(Interrupted, match="no safe point"):
            follow(job, Recorder(), 0.0)
    finally:
        release.set()
        job.result(60.0)
