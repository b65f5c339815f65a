"""`mlsession evaluate`, `predict` and `export`: what a trained model is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from mlsession.cli.arguments import About, storage_options
from mlsession.cli.outcome import DONE, FAILED, error_line
from mlsession.cli.output import output_width, print_json, print_lines, remark
from mlsession.cli.report import class_table, export_line
from mlsession.cli.text import number_of, percent, plain
from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter, StoreError, UnreadableImage
from mlsession.export.write import check_destination
from mlsession.training.classifier import Classifier

MOST_NAMED = 5
"""Skipped or wrongly predicted images that are named; `--json` names all."""


def evaluate(model: str, data: str, typed_options: Sequence[str], json: bool) -> int:
    """Measures a model on labelled images."""
    options = storage_options(typed_options)
    classifier = Classifier.load(model, options)
    found = classifier.evaluate_images(DataSource.labeled_directories(data, options))
    metrics = found.metrics
    if json:
        print_json(
            {
                "accuracy": metrics.accuracy,
                "classes": list(metrics.classes),
                "metrics": metrics.to_json(),
                "predictions": [image.to_json() for image in found.images],
                "skipped": [{"path": path, "reason": reason} for path, reason in found.skipped],
            }
        )
        return DONE
    wrong = [image for image in found.images if image.predicted != image.label]
    lines = [metrics.summary, "", *class_table(metrics, output_width())]
    if wrong:
        lines += ["", f"{number_of(len(wrong), 'image')} predicted wrongly:"]
        lines += [
            f"  {plain(image.path)}: {plain(image.predicted)}, {percent(image.confidence)}"
            for image in wrong[:MOST_NAMED]
        ]
        if len(wrong) > MOST_NAMED:
            lines.append(f"  and {len(wrong) - MOST_NAMED} more; --json names all")
    for path, reason in found.skipped[:MOST_NAMED]:
        remark(f"skipped {plain(path)}: {plain(reason)}")
    if len(found.skipped) > MOST_NAMED:
        remark(f"skipped {number_of(len(found.skipped) - MOST_NAMED, 'further image')}; --json names all")
    print_lines(lines)
    return DONE


def predict(model: str, images: Sequence[str], typed_options: Sequence[str], json: bool) -> int:
    """Says what images show, one after the other; fails in the end if one of them could not be read."""
    options = storage_options(typed_options)
    classifier = Classifier.load(model, options)
    code = DONE
    for path in images:
        try:
            prediction = classifier.predict(path, storage_options=options)
        except (UnreadableImage, StoreError, InvalidParameter) as error:
            code = FAILED
            if json:
                print_json({"path": path, "error": str(error)})
            else:
                remark(error_line(error))
            continue
        if json:
            print_json({"path": path, **prediction.to_json()})
        else:
            others = ", ".join(f"{plain(label)} {percent(share)}" for label, share in prediction.top[1:3])
            print_lines([f"{plain(path)}: {plain(prediction.label)} {percent(prediction.confidence)} (then {others})"])
    return code


def export(model: str, paths: Sequence[str], about: About, typed_options: Sequence[str], json: bool) -> int:
    """Writes a model in the formats that the paths end in."""
    options, metadata = storage_options(typed_options), about.metadata()
    for path in paths:
        check_destination(path, options)
    classifier = Classifier.load(model, options)
    for path in paths:
        report = classifier.write(path, metadata, options)
        if json:
            print_json(asdict(report))
        else:
            print_lines([export_line(path, report)])
    return DONE
