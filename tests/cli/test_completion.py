"""A real bash offers what the commands are."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import typer

from mlsession.cli.app import app
from mlsession.cli.completion import Shell, command_words, completion_script

BASH = shutil.which("bash")


def offered(line: str) -> list[str]:
    """What bash offers at the end of a line."""
    script = "\n".join(completion_script(command_words(typer.main.get_command(app)), Shell.BASH))
    words = line.split(" ")
    asked = (
        f"COMP_WORDS=({' '.join(repr(word) for word in words)})\nCOMP_CWORD={len(words) - 1}\n"
        '_mlsession_complete\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert BASH is not None
    answer = subprocess.run(
        [BASH, "--norc", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True, timeout=30
    )
    assert answer.stderr == ""
    return answer.stdout.split()


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
class TestBash:
    def test_commands(self) -> None:
        assert {"train", "status", "predict", "delete"} <= set(offered("mlsession "))
        assert offered("mlsession stat") == ["status"]

    def test_options_of_a_command(self) -> None:
        assert offered("mlsession train photos --iter") == ["--iterations"]
        assert "--iterations" not in offered("mlsession status --")

    def test_a_value_that_is_called_like_a_command_changes_nothing(self) -> None:
        assert offered("mlsession train status --iter") == ["--iterations"]

    def test_files_are_left_to_the_shell(self) -> None:
        assert offered("mlsession train photos/an") == []


@pytest.mark.parametrize("shell", list(Shell))
def test_every_shell_gets_every_command_and_says_where_to_put_it(shell: Shell) -> None:
    words = command_words(typer.main.get_command(app))
    script = "\n".join(completion_script(words, shell))
    assert script.startswith("# Put this into")
    for path in words:
        assert path.rpartition(" ")[2] in script
