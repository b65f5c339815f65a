"""What the finetuning phase is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from mlsession.augment.options import AugmentationOption
from mlsession.events import Event
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.trainable import trainable_network
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.runtime import TuningRuntime
from mlsession.heads.protocol import Head
from mlsession.images.decode import STRICT, ReadingRules
from mlsession.phases.corpus import Corpus
from mlsession.phases.features import FeatureTable
from mlsession.store.protocol import Store


@dataclass(frozen=True, kw_only=True, eq=False)
class TuningWork:
    """What is tuned, on what, and how."""

    options: FineTune
    runtime: TuningRuntime
    corpus: Corpus
    load_table: Callable[[], FeatureTable]
    """What extracting has left."""
    head: Callable[[], Head]
    """What training has left: where the head begins, and what the tuned model must be better than."""
    augmentation: tuple[AugmentationOption, ...]
    """What is done to the images of each epoch, see `augment.epochs`."""
    seed: int
    emit: Callable[[Event], None]
    is_shared: bool = False
    """Whether several processes share what is tuned, so that none has all of it; rank 0's holds for all."""
    open_store: Callable[[], Store] | None = None
    """A handle on the session's folder, for whoever writes a part of what is shared."""
    rules: ReadingRules = STRICT
    build: Callable[[FeatureExtractorSpec], nn.Module] = trainable_network
    """Makes the network to tune, see `extractors.trainable`."""
