"""Commands made of the values that they take."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Annotated

import pytest
import typer
import typer.main

from mlsession.cli.__main__ import run
from mlsession.cli.app import app
from mlsession.cli.commands import Work
from mlsession.cli.options.taking import CommandWithHeadings, taking
from mlsession.cli.options.training import HEADINGS, TrainArguments

Shared = Annotated[int, typer.Option(metavar="N", help="How many.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of what.")]
    many: Shared = 3
    words: Annotated[list[str], typer.Option(help="Some.", show_default=False)] = field(default_factory=list)


found: list[Given] = []


def taken(headings: dict[str, str]) -> typer.Typer:
    made = typer.Typer(rich_markup_mode=None)

    @made.command(cls=CommandWithHeadings)
    @taking(Given, headings)
    def some(given: Given) -> Work:
        """Take some."""
        found.append(given)
        return lambda: 0

    return made


def test_what_is_typed_is_the_value() -> None:
    command = typer.main.get_command(taken({}))
    command.main(["x", "--words", "a", "--words", "b"], standalone_mode=False)
    command.main(["x", "--many", "7"], standalone_mode=False)
    assert found == [Given(name="x", words=["a", "b"]), Given(name="x", many=7)]


def help_of(command: typer.Typer) -> list[str]:
    made = typer.main.get_command(command)
    with made.make_context("some", [], resilient_parsing=True) as context:
        return made.get_help(context).splitlines()


def test_options_stand_below_their_headings_and_those_of_other_commands_stay_as_they_are() -> None:
    headings = [line for line in help_of(taken({"words": "Words"})) if line.endswith(":")]
    assert headings == ["Arguments:", "Options:", "Words:"]
    assert [line for line in help_of(taken({})) if line.endswith(":")] == ["Arguments:", "Options:"]


def test_each_option_of_train_is_there_once_and_below_its_heading(capsys: pytest.CaptureFixture[str]) -> None:
    names = [each.name for each in fields(TrainArguments)]
    assert list(HEADINGS) == sorted(HEADINGS, key=names.index), "in the order of the options"
    assert run(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert not [line for line in shown.splitlines() if line.endswith("-")], "a name is cut at its hyphen"
    heading, below = "", dict[str, str]()
    for line in shown.splitlines():
        if re.fullmatch(r"[A-Z][^:]*:", line):
            heading = line.removesuffix(":")
        elif match := re.match(r"  (--[a-z-]+)", line):
            assert match[1] not in below
            below[match[1]] = heading
    expected, heading = dict[str, str](), "Options"
    for name in names[1:]:
        heading = HEADINGS.get(name, heading)
        expected[f"--{name.replace('_', '-')}"] = heading
    assert below == expected
    command = typer.main.get_command(app).commands["train"]  # type: ignore[attr-defined]
    assert {each.name for each in command.params} == set(names)
