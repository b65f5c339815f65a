"""The command line. Parsing gives back the work to do: nothing heavy is imported before that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, get_args

import typer

import mlsession
from mlsession.cli.commands import Work, checkpoints, data, judging, learning, models, review, scan, sessions, training
from mlsession.cli.naming import value_of
from mlsession.cli.options.taking import CommandWithHeadings
from mlsession.cli.outcome import WRONG_USE

app = typer.Typer(
    name="mlsession",
    help="Train image classifiers in sessions: stop them anywhere, and the same command goes on.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 3 found what scan was to fail on, 75 stopped and resumable.",
    add_completion=False,
    rich_markup_mode=None,  # Help drawn by rich takes twice as long to appear.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def parse(arguments: Sequence[str]) -> Work:
    """The work that a command line asks for; help and version are printed here.

    Raises the errors of typer; see `usage_error`.
    """
    command = typer.main.get_command(app)
    result = command.main(args=list(arguments), prog_name="mlsession", standalone_mode=False)
    return result if callable(result) else lambda: result if isinstance(result, int) else 0


def usage_error(error: Exception, arguments: Sequence[str]) -> str | None:
    """What typer has to say against a command line; None for an error of another kind."""
    # Its root is public under no name that all releases share: BadParameter, UsageError, then this.
    if not isinstance(error, typer.BadParameter.__mro__[2]):
        return None
    message = _number_wanted(error, arguments) or str(error.format_message()).strip()  # type: ignore[attr-defined]
    return f"{message.rstrip('.')}; see `{_command_path(arguments)} --help`"


def _number_wanted(error: Exception, arguments: Sequence[str]) -> str | None:
    """What typer says differently in each release of text where a number belongs; None for another error."""
    parameter = getattr(error, "param", None)
    option = next((name for name in getattr(parameter, "opts", ()) if value_of(name, arguments) is not None), None)
    # What it is to be is an annotation in newer releases, and a type of click's in older ones.
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    (*_, annotation) = (annotation, *get_args(annotation))
    kind = getattr(getattr(parameter, "type", None), "name", getattr(annotation, "__name__", ""))
    wanted = {"int": "a whole number", "integer": "a whole number", "float": "a number"}.get(kind)
    if wanted is None or not isinstance(error, typer.BadParameter):
        return None
    metavar = getattr(parameter, "metavar", None) if getattr(parameter, "param_type_name", "") == "argument" else None
    subject = metavar if option is None else f"{option}={value_of(option, arguments)!r}"
    return f"{subject}: must be {wanted}" if subject else None


def _command_path(arguments: Sequence[str]) -> str:
    """The program and the commands below it that a line begins with."""
    command, path = typer.main.get_command(app), "mlsession"
    for word in arguments:
        found = getattr(command, "commands", {}).get(word)
        if found is None:
            break
        command, path = found, f"{path} {word}"
    return path


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mlsession {mlsession.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from; works anywhere.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help().rstrip())
        raise typer.Exit(WRONG_USE)


@app.command()
def completion(
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="The shell to make it for.")],
) -> Work:
    """Print what a shell needs to complete commands and options at the Tab key."""

    def work() -> int:
        from mlsession.cli.completion import completion

        return completion(typer.main.get_command(app), shell)

    return work


for _command in (
    *(*training.COMMANDS, *sessions.COMMANDS, *models.COMMANDS, *judging.COMMANDS, *data.COMMANDS),
    *(scan.scan, review.review, learning.learning_curve),
):
    app.command(cls=CommandWithHeadings)(_command)
app.add_typer(checkpoints.app)
