"""The options of `mlsession train` that fine-tune, as types; see `cli.printing.tuning` for what they come to."""

from __future__ import annotations

from typing import Annotated

import typer

FineTuneFlag = Annotated[
    bool,
    typer.Option(
        "--fine-tune",
        help="After the classifier train the network itself, and keep that if the validation images say that it is "
        "better.",
    ),
]
Epochs = Annotated[
    int | None, typer.Option(metavar="N", help="Passes of --fine-tune over the training images.  [default: 5]")
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate", metavar="RATE", help="Of --fine-tune: a share of the weights a step.  [default: 0.001]"
    ),
]
BatchSize = Annotated[
    str | None,
    typer.Option("--batch-size", metavar="N|auto", help="Images of an optimiser step of --fine-tune.  [default: auto]"),
]
Unfreeze = Annotated[
    str | None,
    typer.Option(metavar="N|all", help="How many of the network's last blocks --fine-tune trains.  [default: all]"),
]
FineTuneOptions = Annotated[
    list[str],
    typer.Option(
        "--fine-tune-option",
        metavar="NAME=VALUE",
        help="Any other option of ml.FineTune, such as layer-decay=0.8, mixup=0.2, ema=0.99, augmentation=flip,crop or "
        "keep=always; may be repeated.",
        show_default=False,
    ),
]
