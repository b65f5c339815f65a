from __future__ import annotations

from typing import Any

import pytest
import typer

from mlsession.cli.app import app
from mlsession.cli.typed import FLAGS, TypedOption, typed_line


def commands(command: Any) -> list[Any]:
    inner = getattr(command, "commands", {})
    return [command] if not inner else [each for name in inner for each in commands(inner[name])]


def test_flags_are_those_of_the_commands() -> None:
    options = [each for one in commands(typer.main.get_command(app)) for each in one.params if each.opts[0][:2] == "--"]
    flags = {name for each in options if each.is_flag for name in (*each.opts, *each.secondary_opts)}
    assert flags == FLAGS
    assert not flags & {name for each in options if not each.is_flag for name in each.opts}


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        ("status --json s", [("--json", None)], ["status", "s"]),
        ("train d --seed 3 --fine-tune", [("--seed", "3"), ("--fine-tune", None)], ["train", "d"]),
        ("train --seed=3 d", [("--seed", "3")], ["train", "d"]),
        ("train d --session=", [("--session", "")], ["train", "d"]),
        ("train d --session --json", [("--session", "--json")], ["train", "d"]),
        ("train d --session -- --json", [("--session", "--"), ("--json", None)], ["train", "d"]),
        ("export s -- --json", [], ["export", "s", "--json"]),
        ("train d --seed", [("--seed", None)], ["train", "d"]),
    ],
)
def test_a_line_is_told_apart_as_commands_do(
    line: str, options: list[tuple[str, str | None]], words: list[str]
) -> None:
    typed = typed_line(line.split(" "))
    assert typed.options == tuple(TypedOption(*each) for each in options)
    assert typed.words == tuple(words)
