"""The options of training by several processes, as types; the others are in `options`."""

from __future__ import annotations

from typing import Annotated

import typer

Devices = Annotated[
    str,
    typer.Option(
        metavar="N|auto",
        help="How many processes train together, one for each GPU; auto: as many as this machine has GPUs. The model "
        "is the same.",
    ),
]
NumNodes = Annotated[
    int,
    typer.Option("--num-nodes", metavar="N", help="How many machines; several take a launcher: see docs/devices.md."),
]
Strategy = Annotated[
    str,
    typer.Option(
        metavar="auto|ddp|fsdp", help="How several processes share a network that is fine-tuned: fsdp, each has a part."
    ),
]
CreateOnly = Annotated[
    bool,
    typer.Option(
        "--create-only", help="Make the session, or look that it fits, and train nothing: `mlsession worker` does."
    ),
]
