"""The options of `predict` that a table of many predictions takes; None stands for the default of each.

So that one that is given without `--output` can be told.
"""

from __future__ import annotations

from typing import Annotated

import typer

Table = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="PATH",
        help="Write a table of all predictions here: .csv or .parquet.",
        show_default=False,
    ),
]
TableSession = Annotated[
    str | None, typer.Option(metavar="URL", help="Where its session is kept.  [default: OUTPUT.mlsession]")
]
TopK = Annotated[
    int | None, typer.Option("--top-k", metavar="K", help="Labels of each image, best first.  [default: 1]")
]
OnBadImage = Annotated[
    str | None,
    typer.Option(metavar="skip|fail", help="Name images that cannot be read, or stop at one.  [default: skip]"),
]
OnModifiedImages = Annotated[
    str | None,
    typer.Option(
        metavar="fail|update|ignore",
        help="If the images are not those of the session any more: refuse; predict those of today, with what was "
        "extracted; or go on with those recorded.  [default: fail]",
    ),
]
BatchesBetweenCheckpoints = Annotated[
    str | None,
    typer.Option(metavar="N|auto", help="Batches of images between checkpoints.  [default: auto]"),
]
BatchesBetweenReports = Annotated[
    int | None, typer.Option(metavar="N", help="Batches between progress reports.  [default: 1]")
]
PredictionCache = Annotated[
    str | None,
    typer.Option(metavar="URL|none", help="Where features are kept.  [default: auto: beside the session]"),
]
PredictionCacheSize = Annotated[
    str | None,
    typer.Option(
        "--cache-size", metavar="SIZE", help="What it may hold, such as 500MB; old features make room.  [default: 10GB]"
    ),
]
