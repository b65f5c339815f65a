"""The parts of `benchmarks/extraction`, on a few photos; what they measure is not looked at."""

from __future__ import annotations

import io
import json
import math
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.extraction import peers, whole
from benchmarks.extraction.floor import measure_parts
from benchmarks.extraction.heads import fit_ours, fit_scikit_learn
from benchmarks.extraction.measuring import Failed, Run, interleaved, median_ratio, run
from benchmarks.extraction.photos import enlarged, make_photos, numbered
from benchmarks.extraction.remote import DelayedStore, extract
from mlsession.data.reader import SourceReader
from mlsession.extractors.embedded.extractor import LITE0
from mlsession.store import MemorySpace, MemoryStore
from tests.photos import PHOTOS

pytestmark = pytest.mark.sampled(0.3)

PHOTO = PHOTOS / "train" / "Lemon"


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(data)) as photo:
        return np.asarray(photo.convert("RGB"))


def test_copies_differ_in_their_bytes_and_not_in_their_pixels() -> None:
    data = min(PHOTO.iterdir()).read_bytes()
    first, second = numbered(data, 1), numbered(data, 2)
    assert len({data, first, second}) == 3
    np.testing.assert_array_equal(pixels(first), pixels(data))
    with pytest.raises(ValueError, match="JPEG"):
        numbered(b"\x89PNG", 1)


def test_enlarged_photos_are_as_large_as_asked_for_and_made_alike_each_time() -> None:
    data = min(PHOTO.iterdir()).read_bytes()
    large = enlarged(data, 640, 3)
    assert pixels(large).shape == (480, 640, 3)
    assert enlarged(data, 640, 3) == large
    assert enlarged(data, 640, 4) != large


def test_a_made_folder_has_the_labels_in_turn_and_only_new_contents(tmp_path: Path) -> None:
    made = make_photos(PHOTOS / "train", tmp_path / "made", 14)
    more = sorted(make_photos(PHOTOS / "train", made, 16, first=14).rglob("*.jpg"), key=lambda path: path.name)
    assert [path.stem for path in more] == [f"{number:06}" for number in range(16)]
    assert [path.parent.name for path in more[:7]] == [
        *sorted(path.name for path in (PHOTOS / "train").iterdir()),
        "Avocado",
    ]
    assert len({path.read_bytes() for path in more}) == 16
    with pytest.raises(ValueError, match="no folders"):
        make_photos(PHOTO, tmp_path / "none", 1)


def test_a_run_tells_what_the_process_took_with_its_children() -> None:
    work = "sum(range(10 ** 6)); print('done')"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}], check=True)"
    alone, parent = run([sys.executable, "-c", "pass"]), run([sys.executable, "-c", child])
    assert (alone.output, parent.output) == ("", "done\n")
    assert parent.cpu_seconds > alone.cpu_seconds > 0
    assert alone.peak_bytes > 2**20  # No upper bound: it counts what this process had when it forked.
    with pytest.raises(Failed, match="exit code 3: no"):
        run([sys.executable, "-c", "import sys; print('no', file=sys.stderr); sys.exit(3)"])


def test_rounds_are_interleaved_and_their_ratios_each_round_s_own() -> None:
    order: list[tuple[str, int]] = []

    def candidate(name: str, number: int) -> Run:
        order.append((name, number))
        return Run(seconds=1.0, cpu_seconds=1.0, peak_bytes=1, output="")

    interleaved({"a": lambda number: candidate("a", number), "b": lambda number: candidate("b", number)}, 2)
    assert order == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert median_ratio([2.0, 30.0, 8.0], [1.0, 10.0, 2.0]) == 3.0


def test_both_kinds_of_output_tell_the_accuracy() -> None:
    assert whole.accuracy(json.dumps({"images": 3, "accuracy": 0.5})) == 0.5
    assert whole.accuracy("a line\n" + json.dumps({"metrics": {"test": {"accuracy": 0.25}}})) == 0.25


def test_the_peers_network_has_every_published_tensor() -> None:
    """Loading is strict, so a name or shape that does not fit fails; the features are compared with ours."""
    from mlsession.extractors.catalog import load_extractor, runtime_for, scene_print

    model = peers.backbone()
    extractor = load_extractor(scene_print(), runtime_for(scene_print(), "torch", "float32"))
    photo = pixels(min(PHOTO.iterdir()).read_bytes())[:256, :256]
    margin = (256 - LITE0.network_side) // 2
    centre = torch.from_numpy(photo[margin : 256 - margin, margin : 256 - margin].copy()).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        theirs = model((centre - 127.5) / 127.5).numpy()
    np.testing.assert_allclose(theirs, extractor.extract(photo[None]), rtol=1e-3, atol=1e-4)


def test_the_peers_head_separates_what_can_be_separated() -> None:
    features, labels = torch.eye(3).repeat(4, 1), torch.arange(3).repeat(4)
    assert peers.accuracy_of_head((features, labels), (features, labels)) == 1.0


def test_parts_and_heads_are_measured(tmp_path: Path) -> None:
    photos = make_photos(PHOTOS / "train", tmp_path, 6)
    assert all(value > 0 for value in measure_parts(photos, 0.01).values())
    theirs = fit_scikit_learn(300, 3)
    ours = fit_ours(300, 3, theirs["loss"], profile=False)
    assert ours["loss"] <= theirs["loss"] * (1 + 1e-5)
    assert math.isclose(ours["accuracy"], theirs["accuracy"], abs_tol=0.05)


def test_pictures_that_are_far_away_are_measured() -> None:
    space, data = MemorySpace(), min(PHOTO.iterdir()).read_bytes()
    keys = [f"{number}.jpg" for number in range(6)]
    for number, key in enumerate(keys):
        MemoryStore(space).put(key, numbered(data, number))
    with closing(SourceReader(lambda: DelayedStore(space, 0.01))) as reader:
        took = extract(keys, reader, workers=1, size=2)
    assert took.images_per_second > 0
    assert took.wait >= 0
    assert 1 < took.most_requests <= 6
    assert len(data) <= took.most_held <= 6 * (len(data) + 40)
