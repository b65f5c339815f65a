"""The options that commands share, as types."""

from __future__ import annotations

from typing import Annotated

import typer

Url = Annotated[str, typer.Argument(metavar="URL", help="The session: a folder, or a URL such as s3://bucket/name.")]
Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A saved model (.safetensors), a session, or a checkpoint: a path or a URL."),
]
Data = Annotated[
    str, typer.Argument(metavar="DATA", help="Labelled images: a folder or URL with one sub-folder per label.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
StorageOption = Annotated[
    list[str],
    typer.Option(
        "--storage-option",
        metavar="NAME=VALUE",
        help="An option for every remote store, such as a credential; may be repeated. Values may be JSON.",
        show_default=False,
    ),
]

Session = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Where the session is kept.  [default: ./<data name>.mlsession]"),
]
Test = Annotated[
    str | None, typer.Option(metavar="DIR", help="Labelled images to test the model on; never trained on.")
]
ValidationChoice = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|RATIO|none",
        help="Images to validate on, or the share of the data to hold out.  "
        "[default: none of fewer than 50 images, 10 % below 200, else 5 %]",
    ),
]
Iterations = Annotated[
    int | None,
    typer.Option(metavar="N", help="The most training iterations; a higher number trains on.  [default: 25]"),
]
Extractor = Annotated[str, typer.Option(metavar="NAME", help="What turns images into features.")]
Head = Annotated[str, typer.Option("--classifier", metavar="NAME", help="What is trained on the features.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed and data give the same model.")]
CheckpointInterval = Annotated[
    str, typer.Option(metavar="N|auto", help="Iterations between checkpoints; auto: as often as is cheap.")
]
ReportInterval = Annotated[int, typer.Option(metavar="N", help="Iterations between progress reports.")]
Cache = Annotated[
    str,
    typer.Option(metavar="URL|none", help="Where features are kept for other sessions; auto: beside the session."),
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Open the session even if another process trains it; that one stops.")
]

Export = Annotated[
    list[str],
    typer.Option(
        metavar="PATH",
        help="Write the model here when it is done: .mlmodel or .safetensors; may be repeated.",
        show_default=False,
    ),
]
Author = Annotated[str, typer.Option(metavar="TEXT", help="Who made the model, for exports.", show_default=False)]
License = Annotated[str, typer.Option(metavar="TEXT", help="Its licence, for exports.", show_default=False)]
Description = Annotated[str | None, typer.Option(metavar="TEXT", help="What it is, for exports.", show_default=False)]
ModelVersion = Annotated[
    str | None, typer.Option("--version", metavar="TEXT", help="Its version, for exports.", show_default=False)
]
