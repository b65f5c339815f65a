"""The options that say which extractor, as types; the others are in `options`."""

from __future__ import annotations

from typing import Annotated

import typer

Extractor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What turns images into features: scene_print, lite1, timm:NETWORK; see `mlsession extractors`. auto: the "
        "embedded one that proves best on some of the images. custom:PATH: a network of your own (.onnx, .pt2, "
        ".mlmodel, .mlpackage, package.module:name); see docs/extractors.md.",
    ),
]
ExtractorOutput = Annotated[
    str | None,
    typer.Option(
        "--extractor-output",
        metavar="NAME",
        help="Which output of custom:PATH is taken; not needed where there is but one.",
        show_default=False,
    ),
]
ExtractorOptions = Annotated[
    list[str],
    typer.Option(
        "--extractor-option",
        metavar="NAME=VALUE",
        help="What the file of custom:PATH does not say of its pictures: input-side=224, mean=0.5,0.5,0.5, "
        "std=0.5,0.5,0.5, scale=1, layout=NHWC or crop=false; may be repeated.",
        show_default=False,
    ),
]
