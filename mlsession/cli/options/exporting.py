"""The options of what is exported, as types; see `cli.printing.exporting` and `cli.printing.smaller`."""

from __future__ import annotations

from typing import Annotated

import typer

Export = Annotated[
    list[str],
    typer.Option(
        metavar="PATH",
        help="Write the model here when it is done: .mlmodel, .mlpackage, .onnx, .pt2, .safetensors, or DIR/ for a "
        "folder with a model card; may be repeated.",
        show_default=False,
    ),
]
Exports = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="What to write, ending in .mlmodel, .mlpackage, .onnx, .pt2, .safetensors; or DIR/, a folder with a card.",
    ),
]
Compress = Annotated[
    str | None,
    typer.Option(
        metavar="METHOD",
        help="Write Core ML models in fewer bits, and say what that costs: float16, int8, palettize8, palettize6 or "
        "palettize4.",
        show_default=False,
    ),
]
MaxChanged = Annotated[
    float | None,
    typer.Option(
        "--max-changed",
        metavar="SHARE",
        help="Of --compress: how many photos may get another label before that is an error.  [default: 0.05]",
    ),
]
Format = Annotated[
    list[str],
    typer.Option(
        metavar="NAME",
        help="What an exported folder holds beside the saved model and its card: onnx, mlpackage, mlmodel or pt2; may "
        "be repeated.",
        show_default=False,
    ),
]
