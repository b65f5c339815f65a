"""What a caller asks for, as one value: given, or as a session recorded it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias

from mlsession.data.groups import MATCH_ALL, MATCH_RECORDED, groups_of
from mlsession.data.index import ImageIndex
from mlsession.data.source import DataSource
from mlsession.data.validation import Validation
from mlsession.errors import InvalidParameter, UnusableData
from mlsession.heads.class_weight import check_labels as check_weighted
from mlsession.job.run import SessionPlace
from mlsession.session.log.records import JsonObject
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.store import Store, is_local, join_url, open_store, parent_url
from mlsession.store.reading import ReadPolicy
from mlsession.training.images.corrected import corrections_to_keep, recorded_corrections
from mlsession.training.images.inputs import TEST_INDEX, TRAINING_INDEX, VALIDATION_INDEX
from mlsession.training.parameters import EXTRACTOR_WEIGHTS, ModelParameters
from mlsession.training.relocating import relocated
from mlsession.training.tuning import check_validation

CACHE_NAME = ".mlsession-cache"

Access: TypeAlias = Mapping[str, Mapping[str, object]]
"""fsspec's options for what a session reads from, by the setting that says where it lies; those of the session reach
what is not named."""
NO_ACCESS: Access = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller wants trained."""

    data: DataSource
    parameters: ModelParameters
    session: SessionParameters
    place: SessionPlace
    testing: DataSource | None = None

    @property
    def limit(self) -> int:
        """The one iteration limit that decides."""
        return self.session.iterations or self.parameters.max_iterations

    @property
    def validation(self) -> DataSource | None:
        """The source of validation images, if they have their own."""
        return self.parameters.validation.source

    @property
    def sources(self) -> dict[str, DataSource]:
        """All that are asked for, by the name of their index."""
        named = ((TRAINING_INDEX, self.data), (VALIDATION_INDEX, self.validation), (TEST_INDEX, self.testing))
        return {name: source for name, source in named if source is not None}

    @property
    def settings(self) -> JsonObject:
        """What the session remembers of this attempt, so that it can go on from the store alone."""
        return {
            "training_source": self.data.to_json(),
            "validation_source": self.validation.to_json() if self.validation else None,
            "test_source": self.testing.to_json() if self.testing else None,
            "iterations": self.limit,
            **self.parameters.settings(),
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Indexes:
    """The images of a session, as listed or as recorded."""

    training: ImageIndex
    validation: ImageIndex | None = None
    test: ImageIndex | None = None
    corrections: Mapping[str, bytes] = field(default_factory=dict)
    """What a new session keeps of how their labels were corrected."""

    def attachments(self) -> dict[str, bytes]:
        """What a new session keeps of them; the test set belongs to an attempt."""
        kept = {TRAINING_INDEX: self.training.to_bytes(), **self.corrections}
        return kept if self.validation is None else {**kept, VALIDATION_INDEX: self.validation.to_bytes()}


def list_sources(request: Request, policy: ReadPolicy) -> Indexes:
    """Lists what is asked for. Raises `UnusableData` and `StoreError`."""
    return Indexes(
        training=request.data.index(policy=policy),
        validation=request.validation.index(min_classes=1, policy=policy) if request.validation else None,
        test=request.testing.index(min_classes=1, policy=policy) if request.testing else None,
        corrections=corrections_to_keep({name: each for name, each in request.sources.items() if name != TEST_INDEX}),
    )


def check_labels(request: Request, images: Indexes) -> None:
    """Raises `UnusableData` for labels of other images that the training images have not, and see `check_validation`.

    And `InvalidParameter` where a class weight is given for such a label, and where an image is in none of the groups.
    """
    check_weighted(request.parameters.algorithm.head.class_weight, images.training.classes)
    check_validation(request.parameters, len(images.training))
    if request.parameters.groups is not None:
        # Unless it takes on others, a session that is there has images that were looked at when it was made.
        may_be_added = request.session.on_modified_data == "update"
        groups_of(images.training.keys, request.parameters.groups, MATCH_RECORDED if may_be_added else MATCH_ALL)
    for source, index in ((request.validation, images.validation), (request.testing, images.test)):
        unknown = sorted(set(index.classes) - set(images.training.classes)) if index else []
        if unknown:
            raise UnusableData(
                str(source),
                f"label {unknown[0]!r} is not among those of the training data; correct it, or remove its images",
            )


def recorded_request(
    session: TrainingSession, extractor_weights: str | None = None, access: Access = NO_ACCESS
) -> Request:
    """What a session was last asked for; its own storage options also reach the data and the extractor's weights."""
    options, settings = session.parameters.storage_options, session.settings
    held = session.identity.attachments.keys() | session.attachments.keys()

    def source(name: str, index: str) -> DataSource | None:
        stored = settings.get(name)
        if not isinstance(stored, dict):
            return None
        # A session that was made and not opened yet has no index of the test set.
        listed = (lambda: ImageIndex.from_bytes(session.attachment(index))) if index in held else None
        source = DataSource.from_json(stored, access.get(name, options), listed)
        return replace(source, corrections=recorded_corrections(session, index))

    data = source("training_source", TRAINING_INDEX)
    if data is None:
        raise UnusableData(session.url, "the session does not say where its data are; call train with the data")
    of_weights = access.get(EXTRACTOR_WEIGHTS, options)
    settings = relocated(session.identity.parameters, settings, extractor_weights)
    parameters = ModelParameters.from_json(session.identity.parameters, settings, of_weights)
    if parameters.validation.source is not None and (held_out := source("validation_source", VALIDATION_INDEX)):
        parameters = replace(parameters, validation=Validation.data(held_out))
    return Request(
        data=data,
        parameters=parameters,
        session=session.parameters,
        place=SessionPlace(url=session.url, storage_options=options),
        testing=source("test_source", TEST_INDEX),
    )


def cache_opener(request: Request) -> Callable[[], Store] | None:
    """How to open the feature cache; a temporary session has none unless one is named."""
    named = request.session.cache
    if named is None or (named == "auto" and request.place.temporary):
        return None
    if named != "auto":
        options = None if is_local(named) else request.session.storage_options
        return lambda: open_store(named, options)
    try:
        url = join_url(parent_url(request.place.url), CACHE_NAME)
    except InvalidParameter:
        return None  # The session is a whole bucket: there is nothing beside it.
    return lambda: open_store(url, request.place.storage_options)
