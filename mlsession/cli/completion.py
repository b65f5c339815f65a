"""`mlsession completion`: what a shell offers at the Tab key, as a script for it.

The script is made from the commands themselves and holds all words, so that Tab starts no Python. Where no word fits,
the shell offers files.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from mlsession.cli.output import print_lines
from mlsession.errors import InvalidParameter


class Shell(StrEnum):
    """Shells that scripts can be made for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_HOW_TO = {
    Shell.BASH: "# Put this into ~/.bashrc:  eval \"$(mlsession completion bash)\"",
    Shell.ZSH: "# Put this into ~/.zshrc:  eval \"$(mlsession completion zsh)\"",
    Shell.FISH: "# Put this into ~/.config/fish/config.fish:  mlsession completion fish | source",
}  # fmt: skip


def completion(command: Any, shell: str) -> int:
    """Prints the script of a shell for a command tree of typer. Raises `InvalidParameter` for another shell."""
    if shell not in tuple(Shell):
        raise InvalidParameter("shell", shell, f"must be one of {', '.join(Shell)}")
    print_lines(completion_script(command_words(command), Shell(shell)))
    return 0


def command_words(command: Any, path: str = "") -> dict[str, tuple[str, ...]]:
    """What may follow each command: its sub-commands and options, by path ("", "train", "checkpoints list")."""
    inner: Mapping[str, Any] = getattr(command, "commands", {})
    options = [name for each in command.params for name in each.opts if name.startswith("--")]
    found = {path: tuple(sorted([*(name for name in inner if not inner[name].hidden), *options, "--help"]))}
    for name, each in inner.items():
        found |= command_words(each, f"{path} {name}".strip())
    return found


def completion_script(words: Mapping[str, Sequence[str]], shell: Shell) -> list[str]:
    """The script's lines."""
    lines = _fish_lines(words) if shell is Shell.FISH else _bash_lines(words)
    start = ["autoload -Uz bashcompinit && bashcompinit"] if shell is Shell.ZSH else []
    return [_HOW_TO[shell], *start, *lines]


def _bash_lines(words: Mapping[str, Sequence[str]]) -> list[str]:
    cases = [f"        {shlex.quote(path)}) choices={shlex.quote(' '.join(words[path]))} ;;" for path in sorted(words)]
    return [
        "_mlsession_complete() {",
        '    local path="" word choices=""',
        "    # The commands typed so far; the first word that is none ends them.",
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        '        case " $path $word " in',
        *(f"            {shlex.quote(f' {_joined(path)} ')}) path={shlex.quote(path)} ;;" for path in _below(words)),
        "        esac",
        "    done",
        '    case "$path" in',
        *cases,
        "    esac",
        '    COMPREPLY=($(compgen -W "$choices" -- "${COMP_WORDS[COMP_CWORD]}"))',
        "}",
        "complete -o default -o bashdefault -F _mlsession_complete mlsession",
    ]


def _fish_lines(words: Mapping[str, Sequence[str]]) -> list[str]:
    lines = []
    for path in sorted(words):
        seen = [f"__fish_seen_subcommand_from {name}" for name in path.split()]
        condition = " ; and ".join(seen) or "__fish_use_subcommand"
        for word in words[path]:
            what = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            lines.append(f"complete -c mlsession -n {shlex.quote(condition)} {what}")
    return lines


def _below(words: Mapping[str, Sequence[str]]) -> list[str]:
    return sorted(path for path in words if path)


def _joined(path: str) -> str:
    """A path as the script's loop puts it together: that of the command before, a blank, the word."""
    before, _, word = path.rpartition(" ")
    return f"{before} {word}"
