"""The command that says what more images would bring; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Annotated

import typer

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options


def learning_curve(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="A session, by path or URL.")],
    plot: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Draw the curve here: .png, .svg or .pdf.", show_default=False),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Write what was measured here, also of each class.", show_default=False),
    ] = None,
    most_images: Annotated[
        int, typer.Option("--most-images", metavar="N", help="Of more images a sample of so many is measured on.")
    ] = 20_000,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Say what more images would bring, and of which classes, by a session's features.

    Heads are fitted to parts of the training images and asked about the others; nothing is extracted or stored.
    """

    def work() -> int:
        from mlsession.cli.running.learning import CurveArguments, learning_curve

        return learning_curve(
            CurveArguments(
                session=session,
                plot=plot,
                csv=csv,
                most_images=most_images,
                storage_options=tuple(storage_option),
                json=json,
            )
        )

    return work
