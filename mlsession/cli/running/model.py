"""`mlsession predict` and `export`: what a trained model is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlsession.classifier.prediction import checked_confidence
from mlsession.cli.options.arguments import About, average_views, storage_options
from mlsession.cli.outcome import DONE, FAILED, error_line
from mlsession.cli.output import print_json, print_lines, remark
from mlsession.cli.printing.exporting import Exports
from mlsession.cli.printing.text import percent, plain
from mlsession.errors import InvalidParameter, StoreError, UnreadableImage
from mlsession.store.location import is_local, local_path, redact
from mlsession.training.classifier import Classifier


def predict(
    model: str,
    images: Sequence[str],
    views: str | None,
    min_confidence: float | None,
    weights: str | None,
    typed_options: Sequence[str],
    json: bool,
) -> int:
    """Says what images show, one after the other; fails in the end if one of them could not be read."""
    options, averaged = storage_options(typed_options), average_views(views)
    least = checked_confidence(min_confidence or 0.0)
    classifier = Classifier.load(model, options, weights)
    classifier.check_views(averaged)
    code = DONE
    for path in images:
        try:
            prediction = classifier.predict(path, storage_options=options, average_views=averaged)
        except (UnreadableImage, StoreError, InvalidParameter) as error:
            code = FAILED
            if json:
                print_json({"path": redact(path), "error": str(error)})
            else:
                is_folder = is_local(path) and Path(local_path(path)).is_dir()
                cure = "; add --output TABLE.csv to predict all images in it" if is_folder else ""
                remark(f"{error_line(error)}{cure}")
            continue
        is_unsure = not prediction.is_confident(least)
        if json:
            said = {"path": redact(path), **prediction.to_json()}
            print_json({**said, "label": None} if is_unsure else said)
        else:
            best, *others = (f"{plain(label)} {percent(share)}" for label, share in prediction.top[:3])
            line = f"{best} (then {', '.join(others)})"
            print_lines([f"{plain(redact(path))}: {f'unsure: {line}' if is_unsure else line}"])
    return code


def export(
    model: str, exports: Exports, about: About, weights: str | None, typed_options: Sequence[str], json: bool
) -> int:
    """Writes a model in the formats that the paths end in, and as folders with a card."""
    options, metadata = storage_options(typed_options), about.metadata()
    exports = replace(exports, options=options)
    exports.check()
    classifier = Classifier.load(model, options, weights)
    for path in exports.paths:
        lines, value = exports.write(classifier, path, metadata)
        if json:
            print_json(value)
        else:
            print_lines(lines)
    return DONE
