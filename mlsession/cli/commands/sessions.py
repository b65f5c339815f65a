"""The commands for sessions in their stores, wherever they run; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Annotated

import typer

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options


def status(url: options.Url, storage_option: options.StorageOption = [], json: options.Json = False) -> Work:
    """Show how far a session is, what it found, and its checkpoints."""

    def work() -> int:
        from mlsession.cli.running.session import status

        return status(url, storage_option, json)

    return work


def watch(
    url: options.Url,
    wait: Annotated[
        bool, typer.Option("--wait", help="Keep watching while nobody trains it, until it is finished.")
    ] = False,
    poll_seconds: Annotated[float, typer.Option(metavar="SECONDS", help="Between two looks at the store.")] = 2.0,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Watch a session that runs elsewhere, live, until it ends.

    Ctrl-C ends only the watching. Exit codes: 0 finished, 1 failed, 75 paused or interrupted. With --json, each event
    is one line, as docs/events.md describes it.
    """

    def work() -> int:
        from mlsession.cli.running.watch import watch

        return watch(url, storage_option, poll_seconds, wait, json)

    return work


def stop(
    url: options.Url,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, for whoever looks later.", show_default=False)
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Only ask; do not wait until it has stopped.")] = False,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Stop a session that runs elsewhere, after a checkpoint.

    The process that trains it looks every 5 seconds. The command that started it goes on where it stopped. A session
    that is not running is left as it is; workers that a launcher is starting again stop as soon as they have opened it.
    """

    def work() -> int:
        from mlsession.cli.running.watch import stop

        return stop(url, storage_option, reason, not no_wait, json)

    return work


def delete(
    url: options.Url,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage_option: options.StorageOption = [],
) -> Work:
    """Delete a session for good: all that it wrote, and nothing else."""

    def work() -> int:
        from mlsession.cli.running.session import delete

        return delete(url, yes, storage_option)

    return work


COMMANDS = (status, watch, stop, delete)
