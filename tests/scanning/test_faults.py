"""Faults of every kind planted in real photos: all are found, and nothing else is."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

import mlsession as ml
from benchmarks.scan_faults import PER_IMAGE, Planted, found_images, found_labels, plant, scanned
from mlsession.scanning.finding import Kind, Severity
from mlsession.scanning.page import page_html
from mlsession.scanning.report import ScanReport
from tests.photos import PHOTOS


@dataclass(frozen=True)
class World:
    folder: Path
    planted: Planted
    report: ScanReport


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("faults") / "photos"
    planted = plant(PHOTOS, folder, each=3, seed=1)
    return World(folder=folder, planted=planted, report=scanned(folder))


def test_of_photos_as_they_are_nothing_is_said_but_that_they_are_few() -> None:
    report = scanned(PHOTOS)
    assert [finding.kind for finding in report.findings] == [Kind.SMALL_CLASSES]
    assert report.num_images == 156


@pytest.mark.parametrize("kind", PER_IMAGE)
def test_all_that_was_planted_is_found_and_nothing_else(world: World, kind: Kind) -> None:
    wanted, found = world.planted.images[kind], found_images(world.report)[kind]
    assert wanted
    assert wanted <= found
    assert found <= world.planted.faulty
    if kind not in (Kind.SMALL_IMAGES, Kind.EXTREME_SHAPES):  # What was planted may be small besides.
        assert found == wanted


def test_classes(world: World) -> None:
    assert found_labels(world.report) == world.planted.labels


def test_copies_are_grouped_with_what_they_are_of(world: World) -> None:
    (leaked,) = world.report.of_kind("leaked_images")
    assert leaked.severity is Severity.ERROR
    assert len(leaked.groups) == 3
    for group in leaked.groups:
        assert [image.source for image in group] == ["test", "training"]
        one, other = (
            world.folder / {"test": "test", "training": "train"}[image.source] / image.path for image in group
        )
        assert one.read_bytes() == other.read_bytes()
    (conflicting,) = world.report.of_kind("conflicting_near_duplicates")
    assert all(len({image.label for image in group}) == 2 for group in conflicting.groups)
    assert [*leaked.files] == [image.path for group in leaked.groups for image in group]


def test_reasons_and_details(world: World) -> None:
    (unreadable,) = world.report.of_kind("unreadable_images")
    assert all(image.detail for image in unreadable.images)
    (wrong,) = world.report.of_kind("wrong_extensions")
    assert {image.detail for image in wrong.images} == {"it is JPEG"}
    (turned,) = world.report.of_kind("turned_images")
    assert "(6: 3)" in turned.sentence
    listed = world.report.counts["training"]
    assert sum(count.listed - count.readable for count in listed.values()) == 3


def test_the_same_images_give_the_same_report(world: World) -> None:
    again = scanned(world.folder)
    assert again == world.report
    assert json.dumps(again.to_json()) == json.dumps(world.report.to_json())


def test_errors_come_first_and_can_be_chosen(world: World) -> None:
    severities = [list(Severity).index(finding.severity) for finding in world.report.findings]
    assert severities == sorted(severities)
    assert {finding.severity for finding in world.report.at_least("warning")} == {Severity.ERROR, Severity.WARNING}
    assert world.report.at_least("note") == world.report.findings
    with pytest.raises(ml.MLSessionError, match="severity='bad'"):
        world.report.at_least("bad")
    with pytest.raises(ml.MLSessionError, match="kind='bad'"):
        world.report.of_kind("bad")


def test_a_page_stands_alone_and_shows_names_as_they_are(world: World, tmp_path: Path) -> None:
    world.report.save_html(tmp_path / "scan.html")
    page = (tmp_path / "scan.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/jpeg;base64,') > 30
    assert page.count("src=") == page.count('src="data:')
    assert "href" not in page
    assert "<script" not in page
    for finding in world.report.findings:
        assert finding.kind.value in page
    assert "<img" not in world.report._repr_html_()
    bad = tmp_path / "bad" / "<script>alert(1)</script>"
    bad.mkdir(parents=True)
    shutil.copytree(PHOTOS / "train" / "Lemon", tmp_path / "bad" / "Lemon")
    (bad / "a&b.jpg").write_bytes(b"")
    report = ml.scan(ml.DataSource.labeled_directories(tmp_path / "bad"))
    for shown in (page_html(report, {}), report._repr_html_()):
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
    assert "unusable_classes" in str(report)
    assert "training: " not in str(report)  # Paths go without their source where there is one only.


def test_text_shows_some_files_and_counts_the_others(world: World) -> None:
    text = str(world.report)
    assert "[grey_images]" in text
    assert "    and 15 more; --json names all" in text
    assert " = training: " in text
    assert text.splitlines()[-1].startswith(f"scanned {world.report.num_images} images: ")


def test_divided_data_and_a_single_class(tmp_path: Path) -> None:
    for part, each in (("train", 3), ("test", 1)):
        (tmp_path / "all" / part / "Lemon").mkdir(parents=True)
        for path in sorted((PHOTOS / part / "Lemon").iterdir())[:each]:
            shutil.copy(path, tmp_path / "all" / part / "Lemon")
    done: list[tuple[int, int]] = []
    report = ml.scan(
        ml.DataSource.labeled_directories(tmp_path / "all"), on_progress=lambda *progress: done.append(progress)
    )
    assert [finding.kind for finding in report.findings] == [Kind.ONE_CLASS, Kind.TINY_CLASSES]
    assert {source: counts["Lemon"].listed for source, counts in report.counts.items()} == {"training": 3, "test": 1}
    assert done[-1] == (4, 4)
    gone = min((tmp_path / "all" / "train" / "Lemon").iterdir()).name
    (tmp_path / "fixes.csv").write_text(f"path,action\nLemon/{gone},remove\n")
    corrected = ml.DataSource.labeled_directories(tmp_path / "all").corrected(tmp_path / "fixes.csv")
    counted = {source: counts["Lemon"].listed for source, counts in ml.scan(corrected).counts.items()}
    assert counted == {"training": 2, "test": 1}  # As in a training, corrections are of the images to train on.
    with pytest.raises(ml.MLSessionError, match="input_side"):
        ml.scan(ml.DataSource.labeled_directories(tmp_path / "all"), input_side=0)
