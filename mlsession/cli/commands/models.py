"""The commands that use a model, and say how good it is; see `app`."""

# ruff: noqa: B006 (typer copies what it takes as a default)

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mlsession.cli.commands import Work
from mlsession.cli.options import common as options
from mlsession.cli.options import exporting as export_options
from mlsession.cli.options import predicting as predict_options

Part = Annotated[
    str | None,
    typer.Option(
        metavar="training|validation|test",
        help="Which images.  [default: test, or else validation, or else training]",
        show_default=False,
    ),
]
Evaluated = Annotated[
    str, typer.Argument(metavar="SESSION", help="A session, or one of its checkpoints: a path or a URL.")
]

_OF_A_JOB = (
    *("session", "top_k", "on_bad_image", "on_modified_data"),
    *("checkpoint_interval", "report_interval", "cache", "cache_size", "verify_content", "take_over"),
)
"""What only predictions with an output take."""


def evaluate(
    model: options.Model,
    data: options.Data,
    label_from: options.LabelFrom = "folder",
    top: Annotated[
        int | None, typer.Option(metavar="K", help="Also count who is right among the best K; rank K labels an image.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="Name every image predicted wrongly, surest first.")] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Also averages, reliability, thresholds, confusions, hesitant cases.")
    ] = False,
    average_views: options.AverageViews = None,
    extractor_weights: options.ExtractorWeights = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Measure a model on labelled images."""

    def work() -> int:
        from mlsession.cli.running.evaluation import EvaluateArguments, evaluate

        return evaluate(
            EvaluateArguments(
                model=model,
                data=data,
                label_from=label_from,
                top=top,
                errors=errors,
                details=details,
                average_views=average_views,
                extractor_weights=extractor_weights,
                storage_options=tuple(storage_option),
                json=json,
            )
        )

    return work


def results(
    session: Evaluated,
    part: Part = None,
    errors: Annotated[bool, typer.Option("--errors", help="Only those predicted wrongly, surest first.")] = False,
    label: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Only images of this label.", show_default=False)
    ] = None,
    predicted: Annotated[
        str | None, typer.Option(metavar="LABEL", help="Only images predicted as this.", show_default=False)
    ] = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """List what a trained session said of each image.

    --label A --predicted B leads from a cell of the confusion matrix to its images. Nothing is computed anew.
    """

    def work() -> int:
        from mlsession.cli.running.evaluation import Choice, results

        return results(
            session, Choice(part=part, errors=errors, label=label, predicted=predicted), storage_option, json
        )

    return work


def plot(
    session: Evaluated,
    history: Annotated[
        str | None, typer.Option(metavar="PATH", help="Write the course of training here.", show_default=False)
    ] = None,
    confusion: Annotated[
        str | None, typer.Option(metavar="PATH", help="Write the confusion matrix here.", show_default=False)
    ] = None,
    reliability: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Write how far confidences are to be believed here.", show_default=False),
    ] = None,
    part: Part = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Cells show shares of a true label's images.")] = False,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Draw the course of a session's training, its confusion matrix and reliability: .png, .svg or .pdf."""

    def work() -> int:
        from mlsession.cli.running.evaluation import plot

        return plot(session, history, confusion, reliability, part, normalize, storage_option, json)

    return work


def predict(
    model: options.Model,
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...", help="Images: paths or URLs. With --output also a folder, a bucket or a .csv of paths."
        ),
    ],
    output: predict_options.Table = None,
    session: predict_options.TableSession = None,
    top_k: predict_options.TopK = None,
    average_views: options.AverageViews = None,
    min_confidence: options.MinConfidence = None,
    on_bad_image: predict_options.OnBadImage = None,
    on_modified_data: predict_options.OnModifiedImages = None,
    checkpoint_interval: predict_options.BatchesBetweenCheckpoints = None,
    report_interval: predict_options.BatchesBetweenReports = None,
    cache: predict_options.PredictionCache = None,
    cache_size: predict_options.PredictionCacheSize = None,
    verify_content: options.VerifyContent = False,
    take_over: options.TakeOver = False,
    extractor_weights: options.ExtractorWeights = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Say what images show.

    Without --output images that cannot be read are named, the others are predicted, and the exit code is 1. With
    --output it is a job: the same line again resumes where it stopped, or returns at once when all is done.
    """
    given: dict[str, Any] = dict(locals())

    def work() -> int:
        if output is not None:
            from mlsession.cli.signals import interrupted_by_signals

            with interrupted_by_signals() as check_signals:
                from mlsession.cli.running.predictions import PredictArguments, predict_all

                return predict_all(PredictArguments(**given), check_signals)
        _check_single(given)
        from mlsession.cli.running.model import predict

        return predict(model, images, average_views, min_confidence, extractor_weights, storage_option, json)

    return work


def _check_single(given: Mapping[str, object]) -> None:
    """Raises `InvalidParameter` for an option that only a job has."""
    for name in _OF_A_JOB:
        if given[name] not in (None, False):
            from mlsession.errors import InvalidParameter

            option = f"--{name.replace('_', '-')}"
            raise InvalidParameter(option, given[name], "is for a table of predictions: add --output PATH")


def export(
    model: options.Model,
    paths: export_options.Exports,
    author: options.Author = "",
    license: options.License = "",
    description: options.Description = None,
    version: options.ModelVersion = None,
    metadata: options.Metadata = [],
    compress: export_options.Compress = None,
    max_changed: export_options.MaxChanged = None,
    format: export_options.Format = [],
    extractor_weights: options.ExtractorWeights = None,
    storage_option: options.StorageOption = [],
    json: options.Json = False,
) -> Work:
    """Write a model for other programs.

    The file's answers are compared with the model's first. A folder gets the saved model and a model card.
    """

    def work() -> int:
        from mlsession.cli.options.arguments import About
        from mlsession.cli.printing.exporting import Exports
        from mlsession.cli.printing.smaller import Smaller
        from mlsession.cli.running.model import export

        return export(
            model,
            Exports(paths=paths, formats=format, smaller=Smaller(compress=compress, max_changed=max_changed)),
            About(author=author, license=license, description=description, version=version, facts=metadata),
            extractor_weights,
            storage_option,
            json,
        )

    return work


COMMANDS = (evaluate, results, plot, predict, export)
