"""Classifiers back from what was stored: sessions, checkpoints, saved models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import PurePosixPath
from typing import TypeAlias

from mlsession.classifier.format import IN_FOLDER, MOST_BYTES, decode_model
from mlsession.errors import (
    ForeignFiles,
    KeyMissing,
    ModelNotFound,
    NoUsableCheckpoint,
    SessionNotFound,
)
from mlsession.export.protocol import EXPORT_SUFFIXES
from mlsession.job.run import SessionPlace
from mlsession.session.parameters import SessionParameters
from mlsession.session.past import StoredPast
from mlsession.session.phase import Phase
from mlsession.session.session import TrainingSession
from mlsession.session.standing import valid_commits
from mlsession.store import join_url, open_store, parent_url, redact, url_name
from mlsession.training.images.indexes import read_index
from mlsession.training.images.inputs import TRAINING_INDEX
from mlsession.training.outcome import Trained, trained
from mlsession.training.parameters import ModelParameters
from mlsession.training.relocating import relocated

_CHECKPOINT = re.compile(r"(?P<session>.*)/log/(?P<number>\d{10})\.json")


Restored: TypeAlias = tuple[Trained, ModelParameters | None, SessionPlace | None]
"""A classifier with its parameters and session; without both if it comes out of a file."""


def load_model(url: str, storage_options: Mapping[str, object], extractor_weights: str | None = None) -> Restored:
    """The classifier at a URL: a saved `.safetensors` file, a folder with one and its card, a checkpoint, or a session.

    `extractor_weights` says where the weights of a library's network lie; None leaves it to what is stored.
    """
    if url.lower().endswith(".safetensors"):
        return _load_file(url, storage_options, extractor_weights), None, None
    if (suffix := PurePosixPath(url_name(url)).suffix.lower()) in EXPORT_SUFFIXES:
        reason = f"{suffix} files are for other programs; load the .safetensors form or the session"
        raise ModelNotFound(f"{redact(url)}: {reason}")
    if _CHECKPOINT.fullmatch(url):
        return from_checkpoint(url, storage_options, extractor_weights)
    try:
        with _session(url, storage_options) as session:
            return newest_trained(session, extractor_weights)
    except (SessionNotFound, ForeignFiles):
        pass
    try:
        return _load_file(join_url(url, IN_FOLDER), storage_options, extractor_weights), None, None
    except ModelNotFound as error:
        if not isinstance(error.__cause__, KeyMissing):
            raise  # It is there, and needs what is not.
        raise ModelNotFound(
            f"{redact(url)} is neither a saved model (.safetensors), nor a folder with a {IN_FOLDER}, nor a session, "
            "nor a checkpoint; check the path"
        ) from error


def from_checkpoint(url: str, storage_options: Mapping[str, object], extractor_weights: str | None = None) -> Restored:
    """The classifier of the checkpoint at a URL. Raises `NoUsableCheckpoint`, `SessionNotFound`, `DamagedData`."""
    match = _CHECKPOINT.fullmatch(url)
    if match is None:
        raise NoUsableCheckpoint(
            f"{redact(url)} is not the URL of a checkpoint; those end in /log/NUMBER.json, and "
            "`mlsession status` lists them"
        )
    with _session(match["session"], storage_options) as session:
        past = session.at_checkpoint(int(match["number"]))
        return _restored(session, past, extractor_weights)


def newest_trained(session: TrainingSession, extractor_weights: str | None = None) -> Restored:
    """The classifier of a session's newest training checkpoint."""
    return _restored(session, session.past, extractor_weights)


def _restored(session: TrainingSession, past: StoredPast, extractor_weights: str | None) -> Restored:
    options = session.parameters.storage_options
    settings = relocated(session.identity.parameters, session.settings, extractor_weights)
    parameters = ModelParameters.from_json(session.identity.parameters, settings, options)
    made = _when_trained(session, past)
    return _trained(session, made, parameters), parameters, SessionPlace(url=session.url, storage_options=options)


def _when_trained(session: TrainingSession, past: StoredPast) -> StoredPast:
    """What was committed when the newest classifier of `past` was: the images may be others since, and the labels."""
    newest = past.newest
    if Phase.TRAINING not in newest:
        raise NoUsableCheckpoint(
            f"{session.url} holds no classifier yet at this point: only features are extracted, or an extractor or "
            "a penalty chosen; go on training, or choose a checkpoint of the training phase"
        )
    if TRAINING_INDEX not in session.attachments:
        return past  # They never changed.
    later = (Phase.TRAINING, Phase.FINETUNING, Phase.EVALUATING)
    return session.at_checkpoint(max(newest[phase].number for phase in later if phase in newest))


def _trained(session: TrainingSession, past: StoredPast, parameters: ModelParameters) -> Trained:
    classes = read_index(session, TRAINING_INDEX, past).index.classes
    valid = valid_commits(session.identity.phases, past.newest, lambda phase: past.newest[phase].inputs)
    evaluated = Phase.EVALUATING in valid and valid[Phase.EVALUATING].ended
    return trained(past, parameters, classes, evaluated=evaluated, finetuned=Phase.FINETUNING in valid)


def _session(url: str, storage_options: Mapping[str, object]) -> TrainingSession:
    parameters = SessionParameters(url, storage_options=storage_options)
    return TrainingSession(SessionPlace.of(parameters).open, parameters)


def _load_file(url: str, storage_options: Mapping[str, object], extractor_weights: str | None) -> Trained:
    try:
        with closing(open_store(parent_url(url), storage_options)) as store:
            data = store.get_range(url_name(url), 0, MOST_BYTES)
    except KeyMissing as error:
        raise ModelNotFound(f"{redact(url)}: there is no such file; check the path") from error
    return Trained(model=decode_model(data, redact(url), extractor_weights, storage_options), metrics={})
