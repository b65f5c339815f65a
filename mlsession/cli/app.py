"""The commands and what they take. Parsing gives back the work to do: nothing heavy is imported before that runs."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, TypeAlias

import typer

import mlsession
from mlsession.cli import options
from mlsession.cli.outcome import WRONG_USE

Work: TypeAlias = Callable[[], int]
"""What a command line asks for; gives the exit code."""

app = typer.Typer(
    name="mlsession",
    help="Train image classifiers in sessions: stop them anywhere, and the same command goes on.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 75 stopped and resumable by the same command.",
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


@app.command(no_args_is_help=False)
def train(
    data: options.Data,
    session: options.Session = None,
    test: options.Test = None,
    validation: options.ValidationChoice = None,
    iterations: options.Iterations = None,
    extractor: options.Extractor = "scene_print",
    classifier: options.Head = "logistic",
    seed: options.Seed = 0,
    checkpoint_interval: options.CheckpointInterval = "auto",
    report_interval: options.ReportInterval = 1,
    cache: options.Cache = "auto",
    storage_option: options.StorageOption = [],
    export: options.Export = [],
    author: options.Author = "",
    license: options.License = "",
    description: options.Description = None,
    version: options.ModelVersion = None,
    take_over: options.TakeOver = False,
    json: options.Json = False,
) -> Work:
    """Train a classifier, or go on with it.

    The same line again resumes where it stopped, or returns at once when all is done.
    """

    def work() -> int:
        from mlsession.cli.signals import interrupted_by_signals

        with interrupted_by_signals():
            from mlsession.cli.arguments import About
            from mlsession.cli.train import TrainArguments, train

            return train(
                TrainArguments(
                    data=data,
                    session=session,
                    test=test,
                    validation=validation,
                    iterations=iterations,
                    extractor=extractor,
                    classifier=classifier,
                    seed=seed,
                    checkpoint_interval=checkpoint_interval,
                    report_interval=report_interval,
                    cache=cache,
                    storage_options=tuple(storage_option),
                    exports=tuple(export),
                    about=About(author=author, license=license, description=description, version=version),
                    take_over=take_over,
                    json=json,
                )
            )

    return work


@app.command()
def status(url: options.Url, storage_option: options.StorageOption = [], json: options.Json = False) -> Work:
    """Show how far a session is, what it found, and its checkpoints."""

    def work() -> int:
        from mlsession.cli.session import status

        return status(url, storage_option, json)

    return work


@app.command()
def evaluate(
    model: options.Model,
    data: options.Data,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Measure a model on labelled images."""

    def work() -> int:
        from mlsession.cli.model import evaluate

        return evaluate(model, data, storage_option, json)

    return work


@app.command()
def predict(
    model: options.Model,
    images: Annotated[list[str], typer.Argument(metavar="PATH...", help="Images: paths or URLs.")],
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Say what images show.

    Those that cannot be read are named, the others are predicted, and the exit code is 1.
    """

    def work() -> int:
        from mlsession.cli.model import predict

        return predict(model, images, storage_option, json)

    return work


@app.command()
def export(
    model: options.Model,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files to write: .mlmodel or .safetensors.")],
    author: options.Author = "",
    license: options.License = "",
    description: options.Description = None,
    version: options.ModelVersion = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Write a model for other programs.

    The file's answers are compared with the model's first.
    """

    def work() -> int:
        from mlsession.cli.arguments import About
        from mlsession.cli.model import export

        return export(
            model,
            paths,
            About(author=author, license=license, description=description, version=version),
            storage_option,
            json,
        )

    return work


@app.command()
def delete(
    url: options.Url,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage_option: options.StorageOption = [],
) -> Work:
    """Delete a session for good: all that it wrote, and nothing else."""

    def work() -> int:
        from mlsession.cli.session import delete

        return delete(url, yes, storage_option)

    return work
