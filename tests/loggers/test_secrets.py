"""What loggers say when they fail shows nobody's credentials."""

from __future__ import annotations

from typing import Any

import pytest

from mlsession.errors import Interrupted
from mlsession.events import Event, LoggerFailed, LoggerStarted, Progressed, SessionOpened
from mlsession.loggers import logging
from mlsession.loggers.bound import BoundLogger
from mlsession.loggers.run import LoggedRun
from mlsession.loggers.secrets import logger_scrubber
from mlsession.session.loggers import LoggerName

URL = "https://anna:p%40ssword-1@tracking.example.org"
RUN = LoggedRun(id="0123456789abcdef", name="animals", directory="logs", parameters={})
OPENED = SessionOpened(url="s", phase="training", iteration=0)
PROGRESSED = Progressed(
    phase="training", iteration=1, total=2, item_count=1, total_items=2, elapsed=0.0, metrics={"loss": 1.0}
)


class Refused:
    """A logger whose server says no, in the words of a client that shows all it was given."""

    _tracking_uri = URL

    def log_hyperparams(self, params: dict[str, Any]) -> None: ...

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        raise ConnectionError(f"GET {URL}/api failed for anna with p@ssword-1 and the key 0123456789-token")

    def save(self) -> None: ...
    def finalize(self, status: str) -> None: ...


def test_a_failure_is_told_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789-token")
    # Without the seconds that Lightning takes to load, which is not needed for a logger that is none of its own.
    monkeypatch.setattr(logging, "bound", lambda choice, run: BoundLogger(logger=choice, where=URL))
    events: list[Event] = []
    follower = logging.SessionLogging(Refused(), RUN, events.append, dict)
    job: Any = None
    for event in (OPENED, PROGRESSED):
        follower.on_event(job, event)
    follower.on_end(job, Interrupted("the test"))
    (failed,) = [event for event in events if isinstance(event, LoggerFailed)]
    assert failed.reason == (
        "ConnectionError: GET https://tracking.example.org/api failed for anna with *** and the key ***"
    )
    assert [event.where for event in events if isinstance(event, LoggerStarted)] == ["https://tracking.example.org"]


def test_the_environment_is_searched_for_secrets_alone() -> None:
    environment = {"MLFLOW_TRACKING_TOKEN": "abcdefgh", "HOME": "/home/anna", "SECRET_SHORT": "abc"}
    scrub = logger_scrubber(LoggerName(kind="mlflow"), environment)
    assert scrub("abcdefgh in /home/anna: abc") == "*** in /home/anna: abc"
