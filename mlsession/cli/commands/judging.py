"""The commands that look closely at what a trained model says: its mistakes, and when to believe it; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Annotated

import typer

from mlsession.cli.commands import Work
from mlsession.cli.commands.models import Evaluated, Part
from mlsession.cli.options import common as options


def mistakes(
    session: Evaluated,
    part: Part = None,
    most: Annotated[int, typer.Option("--most", metavar="N", help="Lines of each kind.")] = 5,
    csv: Annotated[
        str | None,
        typer.Option(
            "--csv", metavar="PATH", help="Also write all images as a table, worst first.", show_default=False
        ),
    ] = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Show what a trained model confuses, where it is sure and wrong, and where it hesitates.

    Nothing is computed anew. `mlsession results` lists all images, `mlsession review` looks for wrong labels.
    """

    def work() -> int:
        from mlsession.cli.running.mistakes import MistakesArguments, mistakes

        return mistakes(
            MistakesArguments(
                session=session, part=part, most=most, csv=csv, storage_options=tuple(storage_option), json=json
            )
        )

    return work


def thresholds(
    session: Evaluated,
    part: Part = None,
    min_precision: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Of the images that get a label, the share that is to be of it.  [default: 0.95]"
        ),
    ] = None,
    min_recall: Annotated[
        float | None,
        typer.Option(metavar="R", help="Or: of a label's images, the share that is to get it.", show_default=False),
    ] = None,
    max_error: Annotated[
        float | None,
        typer.Option(metavar="E", help="Of all answers, the share that may be wrong.  [default: 1, 2, 5 and 10 %]"),
    ] = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Say from which probability on to believe a trained model, and what that costs.

    `mlsession predict --min-confidence` takes such a threshold. Nothing is computed anew.
    """

    def work() -> int:
        from mlsession.cli.running.thresholds import ThresholdsArguments, thresholds

        return thresholds(
            ThresholdsArguments(
                session=session,
                part=part,
                min_precision=min_precision,
                min_recall=min_recall,
                max_error=max_error,
                storage_options=tuple(storage_option),
                json=json,
            )
        )

    return work


COMMANDS = (mistakes, thresholds)
