"""Repairing real trainings: only what was lost is decoded again, and the models are the same to the bit."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

import mlsession as ml
from mlsession.errors import DamagedData
from mlsession.events import CheckpointSkipped, PhaseStarted
from mlsession.images.decode import prepare_image
from mlsession.session.phase import Phase
from mlsession.store.local import LocalStore
from mlsession.testing.invariants import stored_bytes
from mlsession.training.findings.summary import SessionSummary

from .conftest import Start
from .test_updating import add_photos, reused, sides

Decoded = Callable[[], list[str]]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Decoded:
    """The images that were decoded since the last call, by the SHA-256 of their bytes, each once, ascending."""
    seen: list[str] = []

    def counting(data: bytes, *rest: object) -> object:
        seen.append(hashlib.sha256(data).hexdigest())
        return prepare_image(data, *rest)  # type: ignore[arg-type]

    def taken() -> list[str]:
        found = sorted(set(seen))
        seen.clear()
        return found

    monkeypatch.setattr("mlsession.augment.making.prepare_image", counting)
    return taken


def parameters(session: Path, **options: object) -> ml.SessionParameters:
    return ml.SessionParameters(session, cache=None, **options)  # type: ignore[arg-type]


def rows(session: Path) -> list[Path]:
    """The files of an extraction's rows, in order: 16 images each, the last one 3."""
    with ml.Classifier.restore_training_session(parameters(session)) as view:
        return [session / ref.key for ref in view.timeline.adds[Phase.EXTRACTING].recent]


def flip(files: Collection[Path]) -> None:
    for file in files:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 16
        file.write_bytes(data)


def digests(photos: Path, first: int, last: int) -> list[str]:
    """Of the images from place `first` up to `last`, in the order of their keys."""
    files = sorted(photos.rglob("*.jpg"), key=lambda file: file.relative_to(photos).as_posix())
    return sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files[first:last])


def test_of_damaged_shards_only_their_images_are_decoded_again(
    start: Start, photos: Path, tmp_path: Path, decoded: Decoded
) -> None:
    folder = tmp_path / "session"
    first = start(data=photos, iterations=5).result()
    before = stored_bytes(LocalStore(folder))
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    shards = rows(folder)
    assert len(shards) == 4
    flip([shards[1], shards[3]])
    with ml.Classifier.restore_training_session(parameters(folder)) as session:
        assert session.verify().is_whole, "their sizes are right"
        found = session.verify(deep=True)
        assert [(folder / problem.key, problem.cure.value) for problem in found.problems] == [
            (shards[1], "remake"),
            (shards[3], "remake"),
        ]
        assert found.resumes_from is not None
        assert (found.resumes_from.phase, found.resumes_from.iteration) == (Phase.EXTRACTING, 1)
    decoded()
    done = ml.Classifier.repair_training_session(parameters(folder))
    assert decoded() == sorted([*digests(photos, 16, 32), *digests(photos, 48, 51)])
    assert {folder / key for key in done.remade} == {shards[1], shards[3]}
    assert done.left == ()
    after = stored_bytes(LocalStore(folder))
    assert {key: after[key] for key in before if key.startswith(("blobs/", "log/"))} == {
        key: value for key, value in before.items() if key.startswith(("blobs/", "log/"))
    }
    again = start(data=photos, session=folder, iterations=5)
    assert again.result().model_digest == first.model_digest
    assert not [event for event in again.events() if isinstance(event, PhaseStarted)]
    # Training on reads every row: nothing is extracted, and it comes to the same as if nothing had been damaged.
    longer = start(data=photos, session=folder, iterations=9)
    unbroken = start(data=photos, session=whole, iterations=9).result()
    assert longer.result().model_digest == unbroken.model_digest
    started = [event.phase for event in longer.events() if isinstance(event, PhaseStarted)]
    assert started == [Phase.TRAINING, Phase.EVALUATING]
    assert not [event for event in longer.events() if isinstance(event, CheckpointSkipped)]
    assert decoded() == []


def test_every_state_is_made_again(start: Start, photos: Path, tmp_path: Path, decoded: Decoded) -> None:
    folder = tmp_path / "session"
    first = start(data=photos, iterations=4, keep_last=2).result()
    before = stored_bytes(LocalStore(folder))
    with ml.Classifier.restore_training_session(parameters(folder)) as session:
        newest = {phase: folder / entry.state.key for phase, entry in session.timeline.newest.items()}
    for file in newest.values():
        file.unlink()
    decoded()
    done = ml.Classifier.repair_training_session(parameters(folder))
    assert {folder / key for key in done.remade} == set(newest.values())
    assert decoded() == []
    assert {key: (folder / key).read_bytes() for key in done.remade} == {key: before[key] for key in done.remade}
    assert ml.Classifier.load(folder).model_digest == first.model_digest


def test_damage_under_an_update_names_its_cure(start: Start, photos: Path, tmp_path: Path, decoded: Decoded) -> None:
    folder = tmp_path / "session"
    start(data=photos, iterations=5).result()
    before, shards = sides(folder), rows(folder)
    with ml.Classifier.restore_training_session(parameters(folder)) as session:
        state = folder / session.timeline.newest[Phase.EXTRACTING].state.key
    flip([shards[0], state])
    add_photos(photos, "Lemon", 2)

    def update() -> ml.Job[ml.Classifier]:
        return start(data=photos, session=folder, cache=None, iterations=5, on_modified_data="update")

    with pytest.raises(DamagedData, match=r"`mlsession checkpoints repair .*session` makes it again"):
        update().result()
    decoded()
    assert ml.Classifier.repair_training_session(parameters(folder)).left == ()
    assert decoded() == digests(tmp_path / "photos", 0, 16)
    updated = update()
    assert reused(updated) == 51
    assert before.items() <= sides(folder).items()


def test_images_that_changed_leave_the_damage_and_the_model(start: Start, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    first = start(data=photos, iterations=5).result()
    shards = rows(folder)
    flip(shards[:2])
    with ml.Classifier.restore_training_session(parameters(folder)) as session:
        size = len(session.checkpoints)
    victims = sorted(photos.rglob("*.jpg"), key=lambda file: file.relative_to(photos).as_posix())
    victims[3].write_bytes(victims[4].read_bytes())
    victims[20].rename(tmp_path / "elsewhere.jpg")
    done = ml.Classifier.repair_training_session(parameters(folder))
    assert done.remade == ()
    reasons = {folder / problem.key: problem.reason for problem in done.left}
    assert "it comes out otherwise today" in reasons[shards[0]]
    assert "it cannot be made again" in reasons[shards[1]]
    with ml.Classifier.restore_training_session(parameters(folder)) as session:
        assert len(session.checkpoints) == size
    assert ml.Classifier.load(folder).model_digest == first.model_digest


def indexes(session: Path) -> list[Path]:
    """The files of the indexes of its images: those it was trained on, and its test set."""
    with ml.Classifier.restore_training_session(parameters(session)) as view:
        refs = {**view.identity.attachments, **view.attachments}
        return [session / refs[name].key for name in ("training_index", "test_index")]


def test_what_its_images_are_is_found_out_again(start: Start, photos: Path, test_photos: Path, tmp_path: Path) -> None:
    """As long as the data are untouched, a damaged index hinders nobody, and who trains on or repairs puts it back."""
    folder = tmp_path / "session"

    def train() -> ml.Job[ml.Classifier]:
        return start(data=photos, testing=test_photos, iterations=2)

    first = train().result()
    files, shard = indexes(folder), rows(folder)[0]
    whole = {file: file.read_bytes() for file in (*files, shard)}
    flip(files)
    again = ml.Classifier.load(folder)
    assert (again.model_digest, again.classes) == (first.model_digest, first.classes)
    assert again.results("test").paths == first.results("test").paths
    assert again.results("training").paths == first.results("training").paths
    with ml.Classifier.restore_training_session(parameters(folder)) as session:
        summary = SessionSummary.of(session)
        assert len(session.verify(deep=True).problems) == 2
    assert (summary.classes, summary.counts.test) == (first.classes, 18)
    assert ["`mlsession checkpoints repair" in what for what in summary.damaged] == [True, True]
    assert all(file.read_bytes() != whole[file] for file in files), "nobody has asked to write"
    assert train().result().model_digest == first.model_digest
    assert {file: file.read_bytes() for file in whole} == whole
    flip([*files, shard])
    done = ml.Classifier.repair_training_session(parameters(folder))
    assert {folder / key for key in done.remade} == whole.keys()
    assert done.left == ()
    assert {file: file.read_bytes() for file in whole} == whole


def test_without_what_its_images_are_nothing_is_made_again(start: Start, photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    start(data=photos, iterations=3).result()
    with ml.Classifier.restore_training_session(parameters(folder)) as session:
        index = folder / session.identity.attachments["training_index"].key
    shard = rows(folder)[0]
    flip([index, shard])
    add_photos(photos, "Lemon", 2)
    done = ml.Classifier.repair_training_session(parameters(folder))
    reasons = {folder / problem.key: (problem.cure.value, problem.reason) for problem in done.left}
    assert reasons.keys() == {index, shard}
    assert reasons[index][0] == "none"
    assert "what makes it again cannot be had" in reasons[shard][1]
    uses: tuple[Callable[[], object], ...] = (
        lambda: ml.Classifier.load(folder),
        start(data=photos, session=folder, iterations=3).result,
    )
    for use in uses:
        with pytest.raises(DamagedData, match="put back a copy of the session's folder"):
            use()
