"""The numerics id of a session that is made on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

from mlsession.augment.identity import installed_augmenter
from mlsession.data.index import ImageIndex
from mlsession.data.source import DataSource
from mlsession.extractors.catalog import numerics_of, runtime_for
from mlsession.extractors.numerics import THREADS, training_numerics
from mlsession.extractors.trying import MOST_PHOTOS, decided_decoder
from mlsession.phases.recorded import ALLOWED, AUGMENTER, EXTRACTOR, TRUNCATED
from mlsession.session.phase import Json
from mlsession.store.reading import ReadPolicy
from mlsession.training.numerics import TRAINING
from mlsession.training.parameters import ModelParameters
from mlsession.training.tuning import tuning_here

DECODING = "decoding"
"""The member that says what was found of a decoder that was tried; absent where none was. See `extractors.trying`."""


def numerics_here(parameters: ModelParameters, photos: Callable[[], Sequence[bytes]]) -> dict[str, Json]:
    """The numerics id; `photos` gives the bytes of some of the images, and is called where a decoder is tried.

    Raises `InvalidParameter` for choices that cannot be had here, and what reading the photos raises.
    """
    automatic = parameters.algorithm.automatic
    spec = parameters.algorithm.extractor if automatic is None else automatic.first  # All candidates are run alike.
    runtime = runtime_for(spec, parameters.backend, parameters.precision, parameters.accelerator)
    runtime, trial = decided_decoder(spec, runtime, parameters.decoder, photos)
    return {
        EXTRACTOR: {**numerics_of(spec, runtime), **({TRUNCATED: ALLOWED} if parameters.allow_truncated else {})},
        TRAINING: dict(training_numerics(THREADS)),
        **tuning_here(parameters),
        **({AUGMENTER: installed_augmenter()} if len(parameters.views) > 1 else {}),
        **({} if trial is None else {DECODING: trial.to_json()}),
    }


def some_photos(index: ImageIndex, source: DataSource, policy: ReadPolicy) -> list[bytes]:
    """The bytes of some of the images of `source`, evenly spread over its `index`. Raises what reading raises."""
    count = min(MOST_PHOTOS, len(index))
    with closing(source.reader(policy)) as reader:
        return [reader.read(index.keys[place * len(index) // count]) for place in range(count)]
