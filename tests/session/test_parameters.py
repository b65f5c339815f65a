from __future__ import annotations

import math
from typing import Any

import pytest

from mlsession.errors import InvalidParameter
from mlsession.session.parameters import SessionParameters
from mlsession.session.policy import Automatic, EveryIterations, EverySeconds


def test_defaults_are_those_of_the_documentation() -> None:
    parameters = SessionParameters()
    assert (parameters.url, parameters.report_interval, parameters.iterations) == (None, 5, None)
    assert (parameters.grace_seconds, parameters.stale_after, parameters.store_patience) == (25.0, 20.0, 900.0)
    assert not parameters.take_over
    assert parameters.save_policy == Automatic()


def test_the_interval_names_a_policy() -> None:
    assert SessionParameters(checkpoint_interval="auto").save_policy == Automatic()
    assert SessionParameters(checkpoint_interval=7).save_policy == EveryIterations(iterations=7)
    for policy in (EverySeconds(seconds=3), EveryIterations(iterations=2), Automatic(overhead=0.5)):
        assert SessionParameters(checkpoint_interval=policy).save_policy is policy


def test_no_cache_is_said_as_on_the_command_line() -> None:
    assert SessionParameters(cache="none") == SessionParameters(cache=None)


def test_patience_becomes_the_backoff() -> None:
    assert SessionParameters(store_patience=12).backoff.give_up_after == 12


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("report_interval", 0),
        ("report_interval", 1.5),
        ("report_interval", True),
        ("report_interval", "5"),
        ("checkpoint_interval", 0),
        ("checkpoint_interval", -3),
        ("checkpoint_interval", 1.5),
        ("checkpoint_interval", True),
        ("checkpoint_interval", "often"),
        ("checkpoint_interval", None),
        ("iterations", 0),
        ("iterations", 2.0),
        ("iterations", True),
        ("grace_seconds", -1),
        ("grace_seconds", math.nan),
        ("grace_seconds", "25"),
        ("stale_after", -0.1),
        ("stale_after", None),
        ("store_patience", -1),
        ("store_patience", False),
        ("read_timeout", 0),
        ("read_timeout", True),
    ],
)
def test_wrong_values_are_named(parameter: str, value: Any) -> None:
    with pytest.raises(InvalidParameter) as raised:
        SessionParameters(**{parameter: value})
    assert raised.value.parameter == parameter
    assert str(raised.value).startswith(f"{parameter}={value!r}: must be ")


@pytest.mark.parametrize("name", ["grace_seconds", "stale_after", "store_patience"])
@pytest.mark.parametrize("value", [0, 0.5, math.inf])
def test_seconds_may_be_none_or_endless(name: str, value: Any) -> None:
    assert getattr(SessionParameters(**{name: value}), name) == value


def test_credentials_are_not_printed() -> None:
    parameters = SessionParameters("s3://bucket/x", storage_options={"secret": "hunter2"})
    assert "hunter2" not in repr(parameters)
