"""Predicting many images as a task of the session engine: one phase, inferencing, then the output is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from mlsession.augment.views import ViewPlan
from mlsession.classifier.model import ImageModel
from mlsession.errors import InternalError
from mlsession.events import Event
from mlsession.inference.inputs import TASK
from mlsession.inference.output import Output, write_table
from mlsession.inference.report import PredictionReport
from mlsession.inference.table import BLOCK, Block, blocks_of, without_unsure
from mlsession.phases.featurize import Featurizer
from mlsession.phases.inferred import Inferred
from mlsession.phases.listed import ListedImages
from mlsession.phases.recorded import RecordedExtractor
from mlsession.session.parameters import CACHE_BYTES
from mlsession.session.phase import Json, Past, Phase, PhaseRunner, PhaseState
from mlsession.store.protocol import Store

PHASES = (Phase.INFERENCING,)
IMAGES = "images"
"""What is predicted, in messages."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImagePrediction:
    """The task of one session."""

    model: ImageModel
    images: ListedImages
    kept: int
    """Labels that are kept of each image, at most."""
    top_k: int
    """Labels of each image in the output; at most as many."""
    output: Output
    numerics: Mapping[str, Json]
    """The numerics id that was recorded when the session was made; what it names is used again."""
    emit: Callable[[Event], None]
    check: Callable[[], None]
    """Raises `Cancelled` or `Interrupted` once the job was asked to stop; for the time when the output is written."""
    open_folder: Callable[[], Store]
    """A patient handle on the folder of the output."""
    session_url: str
    open_cache: Callable[[], Store] | None = None
    """A handle on the feature cache, if there is one."""
    cache_size: int = CACHE_BYTES
    """Bytes that it may have."""
    verify_content: bool = False
    """Whether every image is read, whatever is known of its file."""
    images_digest: str = ""
    """Names the images, "" for those that the session was made with: others make inferencing start over."""
    fail_on_bad_image: bool = False
    min_confidence: float = 0.0
    """Images that are less sure of their best label have none in the output."""
    views: ViewPlan = field(default_factory=ViewPlan)
    """What is said of an image is averaged over them."""

    @property
    def name(self) -> str:
        return TASK

    @property
    def phases(self) -> tuple[str, ...]:
        return PHASES

    def inputs(self, phase: str) -> str:
        return self.images_digest

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return True

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        from mlsession.phases.infer import Inferencing

        if phase != Phase.INFERENCING:
            raise InternalError(f"image prediction has no phase {phase}")
        return Inferencing(
            self.images,
            self.model.head,
            self.kept,
            self._featurizer(),
            self.fail_on_bad_image,
        )

    def result(self, past: Past) -> PredictionReport:
        """Writes the output, unless it is there; a kill meanwhile leaves what was there before."""
        found = Inferred.of(past.state(Phase.INFERENCING))
        if self.fail_on_bad_image:
            found.check_all_readable(self.images.keys)
        classes, count, rejected = self.model.labels, np.zeros(len(self.model.labels), dtype=np.int64), 0
        top = min(self.top_k, len(classes))
        rows = past.rows(Phase.INFERENCING, BLOCK)

        def counted() -> Iterator[Block]:
            nonlocal rejected
            for read in blocks_of(rows, self.images.keys, len(classes), found.reasons, top):
                self.check()
                block = without_unsure(read, classes, self.min_confidence)
                rejected += read.reasons.count("") - block.reasons.count("")
                labelled = np.array([not reason for reason in block.reasons])
                np.add.at(count, block.top[labelled, 0], 1)
                yield block

        size = write_table(self.output, self.open_folder, counted(), classes, top)
        return PredictionReport(
            output=self.output.url,
            session=self.session_url,
            num_images=found.num_images,
            num_skipped=found.num_skipped,
            num_rejected=rejected,
            counts=dict(zip(classes, count.tolist(), strict=True)),
            size_bytes=size,
        )

    def _featurizer(self) -> Featurizer:
        extractor = RecordedExtractor(spec=self.model.feature_extractor, numerics=self.numerics, emit=self.emit)
        extractor.check_augmenter(self.views)
        cache = extractor.cache(self.open_cache, self.cache_size, trusts_stamps=not self.verify_content)
        return extractor.featurizer(cache, views=self.views, is_shared=self.images.is_shared)
