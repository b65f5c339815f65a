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
    str,
    typer.Argument(
        metavar="DATA",
        help="Labelled images: a folder or URL with one sub-folder per label, or a manifest (.csv, .tsv, .jsonl, "
        ".parquet) with the columns path and label.",
    ),
]
LabelFrom = Annotated[
    str,
    typer.Option(
        "--label-from",
        metavar="folder|name|columns",
        help="What labels an image: its sub-folder, or its own name up to the first period; "
        "name:-:1 takes part 1 (from 0) of the name cut at each -; columns:file,class names those of a manifest.",
    ),
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
    str | None,
    typer.Option(metavar="DIR|CSV", help="Labelled images to test the model on; never trained on. Given like DATA."),
]
ValidationChoice = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|CSV|RATIO|none",
        help="Images to validate on, or the share of the data to hold out.  "
        "[default: none of fewer than 50 images, 10 % below 200, else 5 %]",
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Never divide images for which this gives the same: a regular expression with one group in "
        "parentheses, looked for in the path below DATA, such as '(patient[0-9]+)_'.",
        show_default=False,
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Train on altered copies of the photos too: blur, crop, expose, flip, flip-vertical, noise, rotate, "
        "separated by commas. Each makes 4 of each photo (a flip 1), which take as long to extract. auto makes one of "
        "each and trains on those that prove to help; auto,-flip-vertical leaves one out.",
    ),
]
OnModifiedData = Annotated[
    str,
    typer.Option(
        metavar="fail|update|ignore",
        help="If the images are not those of the session any more: refuse; extract what is new and train anew; or go "
        "on with those recorded.",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="CSV",
        help="Corrections of the labels in DATA, as `mlsession review` writes them and you edit them; the images stay "
        "as they are.",
        show_default=False,
    ),
]
OnBadTrainingImage = Annotated[
    str,
    typer.Option(
        "--on-bad-image", metavar="skip|fail", help="Leave out images that cannot be read, and name them; or stop."
    ),
]
AllowTruncated = Annotated[
    bool, typer.Option("--allow-truncated", help="Of images that are cut short take the part that is there.")
]
Iterations = Annotated[
    int | None,
    typer.Option(metavar="N", help="The most training iterations; a higher number trains on.  [default: 25]"),
]
ExtractorWeights = Annotated[
    str | None,
    typer.Option(
        "--extractor-weights",
        metavar="FILE",
        help="The weights of a network of timm or torchvision, a path or URL; for a saved model or session on "
        "custom:PATH where that is now.  [default: what the library publishes]",
    ),
]
PrecisionName = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="auto|float32|bfloat16",
        help="Of the extractor's arithmetic; auto: bfloat16 where the processor is fast at it. Kept by the session. "
        "Lightning's words will do: 32-true, bf16-true; to fine-tune bf16-mixed and 16-mixed, too.",
    ),
]
AcceleratorName = Annotated[
    str,
    typer.Option(
        "--accelerator",
        metavar="auto|cpu|gpu|cuda|mps",
        help="Where networks are run; auto: an NVIDIA or AMD GPU where PyTorch can use one, else the CPU. Kept by the "
        "session.",
    ),
]
DecoderName = Annotated[
    str,
    typer.Option(
        "--decoder",
        metavar="auto|pillow|nvjpeg",
        help="What decodes plain JPEGs; auto: Pillow. nvjpeg: an NVIDIA GPU, if features stay the same with it, which "
        "is tried on some of the photos. Kept by the session.",
    ),
]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        metavar="auto|openvino|torch",
        help="What runs the extractor; auto: OpenVINO where it is installed. Kept by the session.",
    ),
]
Head = Annotated[
    str,
    typer.Option(
        "--classifier",
        metavar="logistic|mlp|auto",
        help="What is trained on the features; auto: mlp where it is surely better.",
    ),
]
LayerSizes = Annotated[
    str | None,
    typer.Option(
        "--layer-sizes", metavar="N,N", help="Units of each hidden layer of --classifier mlp.  [default: 100]"
    ),
]
Tune = Annotated[
    str,
    typer.Option(
        "--tune",
        metavar="cross-validation|validation|off",
        help="What the penalty of --classifier logistic is chosen on, and what auto is: the training images in folds; "
        "the validation images, which then say less about the model; or nothing, for the default.",
    ),
]
ClassWeights = Annotated[
    list[str],
    typer.Option(
        "--class-weight",
        metavar="none|balanced|LABEL=W,...",
        help="How much a photo of each class counts in training: balanced makes up for classes with few photos. May be "
        "repeated, with other labels.  [default: none]",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed and data give the same model.")]
CheckpointInterval = Annotated[
    str, typer.Option(metavar="N|auto", help="Iterations between checkpoints; auto: as often as is cheap.")
]
KeepLast = Annotated[
    int | None,
    typer.Option("--keep-last", metavar="N", help="Keep the newest N training checkpoints, 2 or more.  [default: all]"),
]
KeepBest = Annotated[
    int | None,
    typer.Option(
        "--keep-best",
        metavar="N",
        help="Keep the N most accurate training checkpoints, and the newest.  [default: all]",
    ),
]
ReportInterval = Annotated[int, typer.Option(metavar="N", help="Iterations between progress reports.")]
Loggers = Annotated[
    list[str],
    typer.Option(
        "--logger",
        metavar="NAME[:DIR]",
        help="Log the metrics by iteration, with Lightning's logger: csv, tensorboard, mlflow or wandb (offline); may "
        "be repeated.  [default DIR: lightning_logs beside the session]",
        show_default=False,
    ),
]
Cache = Annotated[
    str,
    typer.Option(metavar="URL|none", help="Where features are kept for other sessions; auto: beside the session."),
]
CacheSize = Annotated[
    str, typer.Option("--cache-size", metavar="SIZE", help="What it may hold, such as 500MB; old features make room.")
]
VerifyContent = Annotated[
    bool,
    typer.Option(
        "--verify-content", help="Read every image and compare it with what was extracted, however old its file looks."
    ),
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="Open the session even if another process trains it; that one stops.")
]
AverageViews = Annotated[
    str | None,
    typer.Option(
        "--average-views",
        metavar="NAMES|training",
        help="Average what is said of an image over views of it, named as for train --augment (flip: it and its mirror "
        "image), or those trained with. Each view takes as long as the image.",
        show_default=False,
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        "--min-confidence",
        metavar="P",
        help="Leave unlabelled what is less sure than this, from 0 to 1; `mlsession thresholds` says what to ask for.",
        show_default=False,
    ),
]

Author = Annotated[str, typer.Option(metavar="TEXT", help="Who made the model, for exports.", show_default=False)]
License = Annotated[str, typer.Option(metavar="TEXT", help="Its licence, for exports.", show_default=False)]
Description = Annotated[str | None, typer.Option(metavar="TEXT", help="What it is, for exports.", show_default=False)]
ModelVersion = Annotated[
    str | None, typer.Option("--version", metavar="TEXT", help="Its version, for exports.", show_default=False)
]
Metadata = Annotated[
    list[str],
    typer.Option(metavar="NAME=VALUE", help="A further fact, for exports; may be repeated.", show_default=False),
]
