"""What has changed since a session was made is noticed wherever it stands, named, refused, taken on or left out.

One real training is made; where a session stands is had by cutting its log short, as a kill does. Without validation
images what an update gives is what a new session on the changed images gives, to the bit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import mlsession as ml
from mlsession.errors import IncompatibleParameters, ModifiedTrainingData
from mlsession.events import NumericsChanged, PhaseFinished, PhaseStarted
from mlsession.session.log.layout import record_key
from mlsession.session.log.records import Kind
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.store import LocalStore, open_store
from tests.photos import PHOTOS, copy_photos
from tests.security.forging import Members, forge, numbers, record
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.sampled(0.5)

LABELS, EACH, ITERATIONS = ("Banana", "Kiwi"), 10, 2
PARAMETERS = ml.ModelParameters(validation=ml.Validation.none())
Diff = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Made:
    """A finished session and the photos that it was made of; not to be changed."""

    photos: Path
    session: Path
    cache: str
    digest: str

    def copies(self, folder: Path) -> Made:
        """The same, to be changed; copied photos have other inodes and change times, and are no change."""
        shutil.copytree(self.photos, folder / "photos")
        shutil.copytree(self.session, folder / "session")
        return Made(folder / "photos", folder / "session", self.cache, self.digest)

    def train(self, session: Path | None = None, **options: object) -> ml.Job[ml.Classifier]:
        where: dict[str, object] = {"iterations": ITERATIONS, "checkpoint_interval": 1, "cache": None, **options}
        source = ml.DataSource.labeled_directories(self.photos)
        at = SessionParameters(session or self.session, **where)  # type: ignore[arg-type]
        return ml.Classifier.train(source, PARAMETERS, at)

    def fresh(self, folder: Path, **options: object) -> str:
        """The digest of a new session's model on the photos of now; features come out of the cache where they can."""
        return self.train(folder / "fresh", cache=self.cache, **options).result().model_digest


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    photos = copy_photos(folder / "photos", "train", EACH, LABELS)
    # Two of the same size, which what follows the end of a JPEG does not change.
    pair = [names(photos, label)[0] for label in LABELS]
    size = max(path.stat().st_size for path in pair) + 1
    for path in pair:
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))
    cache = str(folder / "cache")
    unmade = Made(photos, folder / "session", cache, "")
    digest = unmade.train(cache=cache).result().model_digest
    return Made(photos, folder / "session", cache, digest)


def names(photos: Path, label: str) -> list[Path]:
    return sorted((photos / label).iterdir())


def key(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cut(session: Path, phase: str) -> None:
    """Takes a session back to where a kill could have left it: after the first commit of a phase, or before any."""
    store, last = LocalStore(session), 1
    for number in numbers(store):
        members = record(store, number)
        if members["kind"] == Kind.CHECKPOINT and members["body"]["phase"] == phase:
            last = number
            break
    for number in numbers(store):
        if number > last:
            store.delete(record_key(number))


STATES: Mapping[str, Callable[[Path], None]] = {
    "opened": lambda session: cut(session, "none"),
    "extracting": lambda session: cut(session, "extracting"),
    "training": lambda session: cut(session, "training"),
    "finished": lambda session: None,
}


def add(photos: Path) -> Diff:
    new = photos / "Kiwi" / "new.jpg"
    shutil.copy2(sorted((PHOTOS / "test" / "Kiwi").iterdir())[0], new)
    return {"added": (key(new),)}


def remove(photos: Path) -> Diff:
    gone = names(photos, "Kiwi")[3]
    gone.unlink()
    return {"removed": (key(gone),)}


def relabel(photos: Path) -> Diff:
    moved = names(photos, "Kiwi")[2]
    moved.rename(photos / "Banana" / moved.name)
    return {"relabeled": (f"Banana/{moved.name}",)}


def rename(photos: Path) -> Diff:
    before = names(photos, "Banana")[1]
    after = before.rename(before.with_name("zz.jpg"))
    return {"added": (key(after),), "removed": (key(before),)}


def change_case(photos: Path) -> Diff:
    before = names(photos, "Banana")[1]
    after = before.rename(before.with_name(before.name.upper()))
    return {"added": (key(after),), "removed": (key(before),)}


def replace(photos: Path) -> Diff:
    path = names(photos, "Banana")[1]
    path.write_bytes(path.read_bytes() + b"\0")
    return {"replaced": (key(path),)}


def replace_unseen(photos: Path) -> Diff:
    """Another content with the size and the time of before; that of the inode's change nobody can set."""
    path = names(photos, "Banana")[1]
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return {"replaced": (key(path),)}


def swap(photos: Path) -> Diff:
    """Two of the same size in each other's place."""
    first, second = (names(photos, label)[0] for label in LABELS)
    one, other = first.read_bytes(), second.read_bytes()
    assert len(one) == len(other)
    first.write_bytes(other)
    second.write_bytes(one)
    return {"replaced": (key(first), key(second))}


def several(photos: Path) -> Diff:
    return {**replace(photos), **relabel(photos), **add(photos), **remove(photos)}


CHANGES = (add, remove, relabel, rename, change_case, replace, replace_unseen, swap, several)
UNSEEN = (replace_unseen, swap)
"""Of what was never extracted nobody knows the content: another one of the same size is not another one."""


@pytest.mark.parametrize("state", STATES)
def test_changes_are_refused_by_name_and_nothing_is_touched(made: Made, state: str, tmp_path: Path) -> None:
    for change in CHANGES:
        mine = made.copies(tmp_path / change.__name__)
        STATES[state](mine.session)
        diff, before = change(mine.photos), contents(mine.session)
        if state == "opened" and change in UNSEEN:
            continue
        for iterations in (ITERATIONS, ITERATIONS + 1):
            with pytest.raises(ModifiedTrainingData) as caught:
                mine.train(iterations=iterations, stale_after=0.0).result()
            for what in ("added", "removed", "relabeled", "replaced"):
                assert getattr(caught.value, what) == diff.get(what, ()), (change.__name__, what)
                assert all(name in str(caught.value) for name in diff.get(what, ()) if len(diff[what]) == 1)
            assert "--on-modified-data update" in str(caught.value)
            assert caught.value.labels == dict.fromkeys(diff.get("relabeled", ()), ("Kiwi", "Banana"))
            said = f"{diff['relabeled'][0]}, which was 'Kiwi' and is 'Banana' now" if "relabeled" in diff else ""
            assert said in str(caught.value)
        assert contents(mine.session) == before


@pytest.mark.parametrize("state", STATES)
def test_what_is_no_change_goes_on_to_the_same_model(made: Made, state: str, tmp_path: Path) -> None:
    mine = made.copies(tmp_path)
    STATES[state](mine.session)
    for photo in mine.photos.rglob("*.jpg"):
        photo.touch()
    first = names(mine.photos, "Kiwi")[0]
    first.write_bytes(first.read_bytes())
    shutil.move(mine.photos, tmp_path / "elsewhere")
    moved = Made(tmp_path / "elsewhere", mine.session, mine.cache, mine.digest)
    for choice in ("fail", "update") if state == "finished" else ("update",):
        job = moved.train(on_modified_data=choice, stale_after=0.0, cache=made.cache)
        assert job.result().model_digest == made.digest
    job = moved.train()
    assert job.result().model_digest == made.digest
    assert not [event for event in job.events() if isinstance(event, PhaseStarted)], "there was nothing left to do"


@pytest.mark.parametrize(("state", "change"), [("extracting", several), ("finished", swap)])
def test_an_update_gives_what_a_new_session_gives(
    made: Made, state: str, change: Callable[[Path], Diff], tmp_path: Path
) -> None:
    mine = made.copies(tmp_path)
    STATES[state](mine.session)
    change(mine.photos)
    updated = mine.train(on_modified_data="update", stale_after=0.0)
    assert updated.result().model_digest == mine.fresh(tmp_path)
    (extracted,) = (
        event for event in updated.events() if isinstance(event, PhaseFinished) and event.phase == "extracting"
    )
    done = 16 if state == "extracting" else len(LABELS) * EACH
    assert extracted.metrics.get("reused", 0) >= done - 3, "what was extracted is not extracted again"
    # An extended one is, too: 2 + 1 iterations of the images of now.
    if state == "finished":
        longer = mine.train(iterations=ITERATIONS + 1)
        assert longer.result().model_digest == mine.fresh(tmp_path / "longer", iterations=ITERATIONS + 1)


@pytest.mark.parametrize("state", ["training"])
def test_ignored_changes_leave_everything_as_it_was_recorded(made: Made, state: str, tmp_path: Path) -> None:
    mine = made.copies(tmp_path)
    STATES[state](mine.session)
    several(mine.photos)
    assert mine.train(on_modified_data="ignore", stale_after=0.0).result().model_digest == made.digest


@dataclass
class Bucket:
    """The photos in a bucket, where an etag tells contents apart."""

    url: str
    options: Mapping[str, object]
    made: Made = field(repr=False)

    def put(self, name: str, data: bytes) -> None:
        with closing(open_store(self.url, self.options)) as store:
            store.put(name, data)

    def train(self, session: Path, **options: object) -> ml.Job[ml.Classifier]:
        source = ml.DataSource.labeled_directories(self.url, storage_options=self.options)
        where = {"iterations": ITERATIONS, "checkpoint_interval": 1, "cache": self.made.cache, **options}
        return ml.Classifier.train(source, PARAMETERS, SessionParameters(session, **where))  # type: ignore[arg-type]


def test_in_a_bucket_the_etag_tells(made: Made, s3_server: S3Server, tmp_path: Path) -> None:
    bucket = Bucket(f"{s3_server.new_bucket_url()}/photos", s3_server.storage_options, made)
    photos = {key(path): path.read_bytes() for label in LABELS for path in names(made.photos, label)[:2]}
    for name, data in photos.items():
        bucket.put(name, data)
    session = tmp_path / "session"
    digest = bucket.train(session).result().model_digest
    first, second = (key(names(made.photos, label)[0]) for label in LABELS)
    bucket.put(first, photos[first])
    assert bucket.train(session).result().model_digest == digest, "the same bytes again are no change"
    bucket.put(first, photos[second])
    bucket.put(second, photos[first])
    with pytest.raises(ModifiedTrainingData) as caught:
        bucket.train(session).result()
    assert (caught.value.replaced, caught.value.added, caught.value.removed) == ((first, second), (), ())


def _identity(change: Callable[[Members], None]) -> Callable[[Members], None]:
    def applied(members: Members) -> None:
        if "identity" in members["body"]:
            change(members["body"]["identity"])

    return applied


def test_another_build_of_the_extractor_is_refused_with_both(made: Made, tmp_path: Path) -> None:
    """As if the session had been made with weights of another digest."""
    mine = made.copies(tmp_path)
    with TrainingSession(lambda: LocalStore(mine.session), SessionParameters()) as session:
        algorithm = session.identity.parameters["algorithm"]
    assert isinstance(algorithm, dict)
    extractor = algorithm["feature_extractor"]
    assert isinstance(extractor, dict)
    now = str(extractor["identity"])
    then = now.replace("sha256:5793", "sha256:0123")
    assert then != now

    def older(identity: Members) -> None:
        identity["parameters"]["algorithm"]["feature_extractor"]["identity"] = then

    forge(LocalStore(mine.session), _identity(older))
    before = contents(mine.session)
    with pytest.raises(IncompatibleParameters) as caught:
        mine.train().result()
    assert caught.value.parameter == "algorithm.feature_extractor.identity"
    assert (caught.value.original, caught.value.new) == (then, now)
    assert contents(mine.session) == before


def test_other_numerics_are_said_with_both(made: Made, tmp_path: Path) -> None:
    mine = made.copies(tmp_path)
    cut(mine.session, "extracting")

    def others(identity: Members) -> None:
        identity["numerics"]["extractor"].update(decoder="slate 1.0")
        identity["numerics"]["training"].update(arrays="abacus 1.0")

    forge(LocalStore(mine.session), _identity(others))
    job = mine.train(stale_after=0.0)
    job.result()
    said = {event.what: event for event in job.events() if isinstance(event, NumericsChanged)}
    assert said["extractor.decoder"].original == "slate 1.0"
    assert str(said["extractor.decoder"].new).startswith("pillow ")
    assert said["training.arrays"].original == "abacus 1.0"
    assert str(said["training.arrays"].new).startswith(f"numpy {np.__version__} ")
    assert not {"training.backend", "training.instructions", "training.threads"} & said.keys()
