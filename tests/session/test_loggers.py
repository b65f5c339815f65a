from __future__ import annotations

from typing import Any

import pytest

from mlsession.errors import InvalidParameter
from mlsession.session.loggers import LoggerName, logger_choices
from mlsession.session.parameters import SessionParameters


class Fake:
    """As far as it goes, a logger."""

    def log_hyperparams(self, params: dict[str, Any]) -> None: ...
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None: ...
    def save(self) -> None: ...
    def finalize(self, status: str) -> None: ...


def test_names_and_loggers_one_or_several() -> None:
    assert logger_choices(None) == ()
    assert logger_choices("csv") == (LoggerName(kind="csv"),)
    assert logger_choices("csv:my logs") == (LoggerName(kind="csv", directory="my logs"),)
    assert logger_choices("mlflow:sqlite:///x.db") == (LoggerName(kind="mlflow", directory="sqlite:///x.db"),)
    given = Fake()
    assert logger_choices(given) == (given,)
    assert logger_choices(["wandb", given, "csv:a", "csv:b"])[1] is given
    assert str(LoggerName.parse("csv:C:\\logs")) == "csv:C:\\logs"


TWICE = ("mlflow:https://me:hush@host",) * 2


@pytest.mark.parametrize(
    "choice",
    [
        "mlfow:https://me:hush@host",
        "https://me:hush@host",
        "mlflow=https://me:hush@host",
        "csv:s3://me:hush@b/x",
        TWICE,
    ],
)
def test_credentials_are_not_shown(choice: Any) -> None:
    with pytest.raises(InvalidParameter) as caught:
        SessionParameters("session", logger=choice)
    assert "hush" not in f"{caught.value}{caught.value.value}"
    name = LoggerName.parse("mlflow:https://me:hush@host")
    assert name.directory == "https://me:hush@host"
    assert "hush" not in f"{name}{name!r}{LoggerName.parse('mlflow: https://me:hush@host')}"
    assert "hush" not in repr(SessionParameters("session", logger="mlflow:https://me:hush@host"))


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ("tb", "must be csv, tensorboard, mlflow, wandb"),
        ("csv:", "name a folder after the colon"),
        ("csv:s3://bucket/logs", "must be one of this machine"),
        (["csv", "csv"], "is given twice"),
        (Fake, "must be a Logger of Lightning"),
        (3, "must be a Logger of Lightning"),
        ([None], "must be a Logger of Lightning"),
    ],
)
def test_what_is_none_is_refused(choice: Any, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        SessionParameters("session", logger=choice)
