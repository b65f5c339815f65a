"""The command that looks at the images of a trained session; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from typing import Annotated

import typer

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options


def review(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="A session, by path or URL.")],
    output: Annotated[
        str | None,
        typer.Option(metavar="CSV", help="Write all that is found here, to edit.", show_default=False),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|CSV|none",
            help="Images that must not be among those trained on.  [default: the session's own test set]",
        ),
    ] = None,
    similarity: Annotated[
        float, typer.Option(metavar="COSINE", help="From what similarity on two pictures look the same.")
    ] = 0.8,
    label_from: options.LabelFrom = "folder",
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Look for likely wrong labels, near duplicates and leakage into the test set, by a session's features.

    Edit the CSV (--output), then give it to `mlsession train DATA --labels CSV`. The images stay as they are.
    """

    def work() -> int:
        from mlsession.cli.running.review import ReviewArguments, review

        return review(
            ReviewArguments(
                session=session,
                output=output,
                test=test,
                similarity=similarity,
                label_from=label_from,
                storage_options=tuple(storage_option),
                json=json,
            )
        )

    return work
