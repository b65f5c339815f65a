"""The command line. Parsing gives back the work to do: nothing heavy is imported before that runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

import mlsession
from mlsession.cli.commands import Work, checkpoints, data, judging, learning, models, review, scan, sessions, training
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


def usage_error(error: Exception) -> str | None:
    """What typer has to say against a command line; None for an error of another kind."""
    # Its root is public under no name that all releases share: BadParameter, UsageError, then this.
    if not isinstance(error, typer.BadParameter.__mro__[2]):
        return None
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mlsession"
    message = str(error.format_message()).strip()  # type: ignore[attr-defined]
    return f"{message.rstrip('.')}; see `{path} --help`"


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
    app.command()(_command)
app.add_typer(checkpoints.app)
