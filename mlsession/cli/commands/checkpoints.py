"""`mlsession checkpoints ...`: what these commands take; see `cli.app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Annotated

import typer

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options
from mlsession.cli.outcome import WRONG_USE

app = typer.Typer(
    name="checkpoints",
    help="List, remove, verify and repair the checkpoints of a session.",
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help().rstrip())
        raise typer.Exit(WRONG_USE)


@app.command("list")
def list_checkpoints(url: options.Url, storage_option: options.StorageOption = [], json: options.Json = False) -> Work:
    """List the checkpoints, oldest first."""

    def work() -> int:
        from mlsession.cli.running.checkpoints import checkpoints_list

        return checkpoints_list(url, storage_option, json)

    return work


@app.command("remove")
def remove_checkpoints(
    url: options.Url,
    numbers: Annotated[
        list[int], typer.Argument(metavar="NUMBER", help="Checkpoints, as `list` numbers them.", show_default=False)
    ] = [],
    before: Annotated[
        int | None, typer.Option(metavar="N", help="Those of an iteration below N.", show_default=False)
    ] = None,
    phase: Annotated[
        str | None, typer.Option(metavar="NAME", help="Those of one phase, such as training.", show_default=False)
    ] = None,
    keep_last: options.KeepLast = None,
    keep_best: options.KeepBest = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Remove checkpoints for good, to free space: those that meet all that is said.

    The newest of each phase always stays, and what a checkpoint that stays rests on.
    """

    def work() -> int:
        from mlsession.cli.running.checkpoints import Choice, checkpoints_remove

        choice = Choice(
            numbers=frozenset(numbers), before=before, phase=phase, keep_last=keep_last, keep_best=keep_best
        )
        return checkpoints_remove(url, choice, yes, storage_option, json)

    return work


@app.command("verify")
def verify_checkpoints(
    url: options.Url,
    deep: Annotated[bool, typer.Option("--deep", help="Read and hash every byte, not only records and sizes.")] = False,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Look for damage in all that the checkpoints rest on; the exit code is 1 if there is some.

    Says what each damage costs, what a run would go on from, and what nothing needs any more. Only reads.
    """

    def work() -> int:
        from mlsession.cli.running.upkeep import checkpoints_verify

        return checkpoints_verify(url, deep, storage_option, json)

    return work


@app.command("repair")
def repair_checkpoints(
    url: options.Url, storage_option: options.StorageOption = [], json: options.Json = False
) -> Work:
    """Mend what is damaged: the index from the records, damaged features and states from the images and the log.

    Damaged checkpoints that nothing rests on are taken off the list. The exit code is 1 if something stays damaged.
    """

    def work() -> int:
        from mlsession.cli.running.upkeep import checkpoints_repair

        return checkpoints_repair(url, storage_option, json)

    return work


@app.command("gc")
def collect_garbage(
    url: options.Url,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Delete what nothing in the session needs any more, such as what a kill left.

    Never what a checkpoint rests on, what a living job writes, or what no session wrote; nothing at all while damage
    may hide what is needed.
    """

    def work() -> int:
        from mlsession.cli.running.upkeep import checkpoints_gc

        return checkpoints_gc(url, dry_run, storage_option, json)

    return work
