"""From the place of a network of one's own to all its facts."""

from __future__ import annotations

from dataclasses import replace

from mlsession.extractors.custom.contents import MOST_FEATURES, Contents
from mlsession.extractors.custom.files import CORE_ML, MODULE, ONNX, PACKAGE, PT2, ModelFiles, format_of
from mlsession.extractors.custom.input import InputOptions
from mlsession.extractors.custom.model import OwnModel, measured_dimension
from mlsession.store import redact, url_name


def examined(location: str, files: ModelFiles | None, output_name: str | None, options: InputOptions) -> Contents:
    """What lies at a place; runs it on a few made-up pictures.

    Raises what `CustomFeatureExtractor` does.
    """
    shown, model = _shown(location), read_own(location, files)
    given = model.picture(options)
    output = model.output(output_name, given)
    values = model.opened(output, given).values
    kind = format_of(location)
    return Contents(
        format=kind,
        weights=model.weights,
        output=output,
        dimension=measured_dimension(values, given.side, output, shown, MOST_FEATURES),
        input=replace(given, batch=None),
        reference=location if kind == MODULE else None,
    )


def read_own(location: str, files: ModelFiles | None) -> OwnModel:
    """The model at a place; nothing of it has run yet. Raises what `CustomFeatureExtractor` does."""
    shown, kind = _shown(location), format_of(location)
    if files is None:
        from mlsession.extractors.custom.torch import read_module

        return read_module(location)
    if kind == ONNX:
        from mlsession.extractors.custom.onnx import read_model

        return read_model(files.read(), shown)
    if kind == PT2:
        from mlsession.extractors.custom.torch import read_program

        return read_program(files.read(), shown)
    assert kind in (CORE_ML, PACKAGE)
    from mlsession.extractors.custom.coreml import read_core_ml

    return read_core_ml(files.read(), shown, is_package=kind == PACKAGE)


def _shown(location: str) -> str:
    return location if format_of(location) == MODULE else url_name(redact(location))
