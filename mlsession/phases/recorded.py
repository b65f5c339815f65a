"""The featurizer of a session: its extractor run as recorded, before the feature cache of the same numerics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsession.augment.identity import augmenter_identity
from mlsession.augment.views import ViewPlan
from mlsession.cache.packs import folder_about, folder_of
from mlsession.devices.accelerators import Device
from mlsession.errors import InvalidParameter
from mlsession.events import CacheFailed, Event, NumericsChanged
from mlsession.extractors.catalog import FeatureExtractorSpec, close_extractor, load_extractor
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running.runtime import (
    Runtime,
    Surroundings,
    recorded_decoder,
    recorded_device,
    recorded_runtime,
)
from mlsession.images.decode import ReadingRules, SquareAndWide
from mlsession.phases.cache import FeatureCache
from mlsession.phases.donation import FeatureRows
from mlsession.phases.featurize import Featurizer
from mlsession.phases.pictures import MOST_WORKERS
from mlsession.processor import usable_processors
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_object
from mlsession.session.parameters import CACHE_BYTES
from mlsession.session.phase import Json
from mlsession.store.protocol import Store

if TYPE_CHECKING:
    from mlsession.extractors.running.decoding import DeviceDecoder

EXTRACTOR = "extractor"
"""The member of a session's numerics id that says what gives features their bits: `FeatureExtractor.numerics`."""

AUGMENTER = "augmenter"
"""The member that says what makes the pixels of views; absent where there are none."""

TRUNCATED, ALLOWED = "truncated", "allowed"
"""Its member where images that are cut short are taken: rows of such images are for such sessions only."""

Emit = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedExtractor:
    """An extractor, and how a session has recorded that it is run."""

    spec: FeatureExtractorSpec
    numerics: Mapping[str, Json]
    """The numerics id of the session."""
    emit: Emit
    surroundings: Callable[[Device], Surroundings] = Surroundings.here
    """What there is on this machine, where networks run on a device."""
    local_rank: int = 0
    """Which of the machine's GPUs is this process's."""

    @property
    def recorded(self) -> Mapping[str, Json]:
        """What gives features their bits. Raises `DamagedData`."""
        with as_written("the session's numerics"):
            return as_object(self.numerics[EXTRACTOR])

    def check_augmenter(self, views: ViewPlan) -> None:
        """Tells of views that are made by something else now than by what is recorded."""
        original = self.numerics.get(AUGMENTER)
        if len(views) > 1 and original != augmenter_identity():
            self.emit(NumericsChanged(what=AUGMENTER, original=str(original), new=augmenter_identity()))

    def cache(
        self, open_cache: Callable[[], Store] | None, limit: int = CACHE_BYTES, *, trusts_stamps: bool = True
    ) -> FeatureCache | None:
        """The feature cache's folder of this extractor, if there is a cache; see `FeatureCache` for the rest."""
        if open_cache is None:
            return None
        # What made the pixels of a view is in its key: all else of that folder is the same without augmentation.
        about = folder_about(self.spec.identity, self.recorded)

        def failed(reason: str) -> None:
            self.emit(CacheFailed(reason=reason))

        def full() -> None:
            failed(f"what this run uses is more than its {limit:,} bytes; allow more with cache_size (--cache-size)")

        return FeatureCache(
            open_cache, folder_of(about), failed, about=about, limit=limit, trusts_stamps=trusts_stamps, on_full=full
        )

    def featurizer(
        self,
        cache: FeatureCache | None,
        rows: FeatureRows | None = None,
        views: ViewPlan | None = None,
        is_shared: Callable[[], bool] | None = None,
    ) -> Featurizer:
        """`rows` are what is at hand, of the `cache` and others; the cache alone if left out. `is_shared` is of the
        sources, see `worked_batches`.
        """
        told = _Told(self.emit, self.recorded)

        def load(runtime: Runtime) -> FeatureExtractor:
            extractor = load_extractor(self.spec, runtime)
            if told.tell(extractor.numerics()) and cache is not None:
                cache.stop()
            return extractor

        shared = None if recorded_device(self.recorded) == "cpu" else _Shared(load, self._runtime, self.spec.input_side)
        at_hand = cache if rows is None else rows
        spec, augmenter = self.spec, augmenter_identity()
        rules = ReadingRules(allow_truncated=self.recorded.get(TRUNCATED) == ALLOWED)
        return Featurizer(
            (lambda: load(self._runtime())) if shared is None else shared.extractor,
            spec.dimension,
            spec.input_side,
            at_hand,
            views,
            augmenter,
            is_shared,
            rules,
            # Some of them wait for the GPU while the others decode.
            workers=None if shared is None else workers_beside_gpu(usable_processors()),
            release=None if shared is None else shared.close,
            together=shared.decoded if shared is not None and recorded_decoder(self.recorded) == "nvjpeg" else None,
            memory=None if cache is None else cache.memory,
        )

    def _runtime(self) -> Runtime:
        around = self.surroundings(recorded_device(self.recorded))
        if around.gpu is not None:
            around = replace(around, gpu=around.gpu.at(self.local_rank))
        return recorded_runtime(self.recorded, around)


def workers_beside_gpu(processors: int) -> int:
    """How many threads decode where a GPU runs the network; pure.

    A thread decodes 16 pictures in some 60 ms and waits for their features for 5 to 15 ms.
    """
    return min(processors + max(2, processors // 2), MOST_WORKERS)


class _Shared:
    """One extractor on a GPU, and what decodes there, for all workers of a featurizer; made by the first that asks."""

    def __init__(self, load: Callable[[Runtime], FeatureExtractor], runtime: Callable[[], Runtime], side: int) -> None:
        self._load = load
        self._recorded = runtime
        self._side = side
        self._lock = threading.Lock()
        self._extractor: FeatureExtractor | None = None
        self._found: tuple[Runtime, DeviceDecoder | None] | None = None

    def extractor(self) -> FeatureExtractor:
        with self._lock:
            if self._extractor is None:
                self._extractor = self._load(self._settled()[0])
            return self._extractor

    def decoded(self, files: Sequence[bytes], has_wide: bool) -> Sequence[SquareAndWide | None]:
        """See `Together`."""
        with self._lock:
            decoder = self._settled()[1]
        return [None] * len(files) if decoder is None else decoder.prepared(files, self._side, has_wide)

    def _settled(self) -> tuple[Runtime, DeviceDecoder | None]:
        """What there is here of what is recorded: where the GPU cannot decode, Pillow does; the runtime says so."""
        if self._found is None:
            runtime, decoder = self._recorded(), None
            if runtime.gpu is not None and runtime.decoder == "nvjpeg":
                from mlsession.extractors.running.decoding import DeviceDecoder

                try:
                    decoder = DeviceDecoder(runtime.gpu.place)
                except InvalidParameter:
                    runtime = replace(runtime, decoder="pillow")
            self._found = runtime, decoder
        return self._found

    def close(self) -> None:
        """Once no worker is left."""
        with self._lock:
            extractor, self._extractor, self._found = self._extractor, None, None
        if extractor is not None:
            close_extractor(extractor)


class _Told:
    """What of an extractor is not as recorded, said once however many workers load it."""

    def __init__(self, emit: Emit, recorded: Mapping[str, Json]) -> None:
        self._emit = emit
        self._recorded = recorded
        self._lock = threading.Lock()
        self._is_told = False

    def tell(self, found: Mapping[str, str | int]) -> bool:
        """Whether there are differences."""
        differing = sorted(what for what, new in found.items() if self._recorded.get(what) != new)
        with self._lock:
            for what in () if self._is_told else differing:
                original = str(self._recorded.get(what))
                self._emit(NumericsChanged(what=f"{EXTRACTOR}.{what}", original=original, new=found[what]))
            self._is_told = True
        return bool(differing)
