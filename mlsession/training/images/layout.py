"""Data that are divided already: a folder with `train/`, and perhaps `val/` and `test/`, that have the labels.

    animals/train/cat/1.jpg  animals/val/cat/2.jpg  animals/test/cat/3.jpg

Given as data to train on, each part is taken for what it is called. What the caller says goes before: validation other
than automatic stays, and so do test data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlsession.data.source import DataSource
from mlsession.data.validation import Validation, ValidationKind
from mlsession.errors import DividedData
from mlsession.events import PartsRecognized
from mlsession.job.context import JobContext
from mlsession.store import join_url
from mlsession.training.request import Indexes, Request, list_sources


def listed_request(request: Request, context: JobContext) -> tuple[Request, Indexes]:
    """The request with the parts of its data, and what is listed of it.

    Says what was taken. Raises `UnusableData` and `StoreError`.
    """
    policy = context.read_policy(request.session)
    try:
        return request, list_sources(request, policy)
    except DividedData as divided:
        if divided.source != request.data.shown:
            raise  # Of data that were given for one part.
        taken = with_parts(request, divided.parts)
    found = list_sources(taken, policy)
    validation, test = (each.shown if each else "" for each in (taken.validation, taken.testing))
    context.emit(PartsRecognized(training=taken.data.shown, validation=validation, test=test))
    return taken, found


def with_parts(request: Request, parts: Mapping[str, str]) -> Request:
    """The request on the parts of its data, whose folders `parts` gives; pure."""

    def part(name: str) -> DataSource | None:
        if name not in parts:
            return None
        # Corrections are of the images to train on.
        corrections = request.data.corrections if name == "training" else None
        return replace(request.data, url=join_url(request.data.url, parts[name]), corrections=corrections)

    training, validation = part("training"), part("validation")
    assert training is not None
    parameters = request.parameters
    if validation is not None and parameters.validation.kind is ValidationKind.AUTOMATIC:
        parameters = replace(parameters, validation=Validation.data(validation))
    return replace(request, data=training, parameters=parameters, testing=request.testing or part("test"))
