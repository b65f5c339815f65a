"""`mlsession cache`, and the options of `train` that concern it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlsession.cache.packs import folder_about, folder_of
from mlsession.cli.__main__ import run
from mlsession.cli.options.arguments import byte_count
from mlsession.errors import InvalidParameter
from mlsession.phases.cache import FeatureCache
from mlsession.store import LocalStore

ABOUT = folder_about("lite0 sha256:12", {"backend": "torch", "threads": 2})


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    folder = tmp_path / "features of all"
    cache = FeatureCache(lambda: LocalStore(folder), folder_of(ABOUT), pytest.fail, about=ABOUT)
    for number in range(3):
        cache.add(bytes([number]) * 32, np.ones(8, dtype=np.float16))
        cache.memory.note(bytes([max(number, 1)]) * 16, bytes([max(number, 1)]) * 32)
    cache.close()
    return folder


def test_it_tells_what_a_cache_holds(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", str(filled)]) == 0
    out = capsys.readouterr().out
    assert f"{filled}: " in out
    assert "the features of 3 views of images" in out
    assert "lite0 sha256:12" in out
    assert "3 rows; backend torch, threads 2" in out
    assert run(["cache", str(filled), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (part,) = told["extractors"]
    assert (told["packs"], told["cleared"], part["rows"], part["extractor"]) == (1, False, 3, "lite0 sha256:12")
    packs = [file for file in filled.glob("features/*/*") if len(file.name) == 64 and file.parent.name != "memo"]
    assert part["size_bytes"] == sum(file.stat().st_size for file in packs)
    memos = sum(file.stat().st_size for file in filled.glob("features/memo/*"))
    assert (told["known_files"], told["memo_bytes"]) == (2, memos)
    assert told["size_bytes"] == part["size_bytes"] + memos
    assert "  what 2 files held when they were read" in out


def test_cleared_it_holds_nothing_and_other_files_stay(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (filled / "notes.txt").write_text("mine")
    assert run(["cache", str(filled), "--clear"]) == 0
    assert "deleted 1 file of features" in capsys.readouterr().out
    assert [file.name for file in filled.rglob("*") if file.is_file()] == ["notes.txt"]
    assert run(["cache", str(filled)]) == 0
    assert capsys.readouterr().out == f"{filled} holds no features\n"


def test_where_there_is_none_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["cache"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / '.mlsession-cache'} holds no features\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10GB", 10**10),
        ("1.5 GB", 1_500_000_000),
        ("500MB", 500_000_000),
        ("7kB", 7000),
        ("12345", 12345),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    assert byte_count("cache-size", text) == size


@pytest.mark.parametrize("text", ["", "0", "0GB", "-1GB", "many", "10 gigabytes", "1e9", "10 GiB", "0.1"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="such as 500MB"):
        byte_count("cache-size", text)


def test_a_wrong_size_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(tmp_path), "--cache-size", "lots"]) == 2
    assert "cache-size" in capsys.readouterr().err
