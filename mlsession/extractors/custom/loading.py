"""From the value of a network of one's own to features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlsession.errors import IncompatibleParameters
from mlsession.extractors.custom.examining import read_own
from mlsession.extractors.custom.files import MODULE, digest_of
from mlsession.extractors.custom.model import Floats, Pictures
from mlsession.extractors.custom.options import CustomFeatureExtractor
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running.batched import BatchedExtractor, Run
from mlsession.extractors.running.runtime import Runtime


def loaded(spec: CustomFeatureExtractor, runtime: Runtime) -> FeatureExtractor:
    """The network behind a value, with the very weights that it names.

    Raises `ModelNotFound` where nothing says where it is, `IncompatibleParameters` for one of other weights, and what
    `CustomFeatureExtractor` does.
    """
    location, it = spec.found(), spec.contents
    cure = "give the model of then: extractor_weights=FILE (--extractor-weights FILE), or train in a new session"
    # Before code of another file could run.
    if spec.files is not None and (found := digest_of(spec.files.read())) != it.weights:
        raise IncompatibleParameters("algorithm.feature_extractor.weights", it.weights, found, cure)
    model = read_own(location, spec.files)
    if model.weights != it.weights:
        if it.format == MODULE:
            cure = "it must have the same weights each time it is made: load them in it, or train in a new session"
        raise IncompatibleParameters("algorithm.feature_extractor.weights", it.weights, model.weights, cure)
    opened = model.opened(it.output, replace(it.input, batch=model.batch))
    return BatchedExtractor(
        name=spec.name,
        identity=spec.identity,
        dimension=it.dimension,
        input_side=spec.input_side,
        runtime=runtime,
        run=_flattened(opened.values),
        network=opened.network,
    )


def _flattened(values: Callable[[Pictures], Floats]) -> Run:
    def run(batch: Pictures) -> Floats:
        found = values(batch)
        return found.reshape(len(found), -1)

    return run
