"""Manifests and corrections are read as patiently as pictures: what fails for a while, or hangs, is asked for again."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from mlsession.data.corrections import read_corrections
from mlsession.data.source import DataSource
from mlsession.data.tables import read_table
from mlsession.errors import StoreUnavailable, UnusableData
from mlsession.store.reading import ReadPolicy
from mlsession.store.retrying import Backoff
from tests.data.test_web_sources import served

TABLE = b"path,label\na.jpg,cat\nb.jpg,dog\n"


class Wayward:
    """Serves one table, after some requests that it refuses with a status, or leaves without an answer for ever."""

    def __init__(self, refused: int = 0, held: int = 0) -> None:
        self.refused, self.held, self.asked, self.over = refused, held, 0, threading.Event()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        if request.command == "HEAD":
            request.send_error(405)
            return
        self.asked += 1
        if self.asked <= self.held:
            self.over.wait()
            return
        if self.asked <= self.held + self.refused:
            request.send_error(503)
            return
        data, status = TABLE, 200
        if asked := request.headers["Range"]:
            start, _, last = asked.removeprefix("bytes=").partition("-")
            data, status = TABLE[int(start) : int(last) + 1], 206
        request.send_response(status)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


def telling(told: list[str], read_timeout: float = 60.0) -> ReadPolicy:
    def tell(operation: str, error: Exception, attempt: int, delay: float) -> None:
        told.append(operation)

    return ReadPolicy(read_timeout=read_timeout, backoff=Backoff(first=0.01), on_retry=tell)


def test_what_fails_for_a_while_is_read_all_the_same() -> None:
    told = list[str]()
    with served(Wayward(refused=2)) as url:
        source = DataSource.manifest(f"{url}/m.csv", policy=telling(told))
        assert source.url.rstrip("/") == url
    assert told == ["get m.csv"] * 2
    with served(Wayward(refused=2)) as url:
        assert [row.label for row in read_corrections(f"{url}/fixes.csv", None, telling(told)).rows] == ["cat", "dog"]
    assert told[2:] == ["get fixes.csv"] * 2


def test_what_hangs_is_given_up_and_asked_for_again() -> None:
    told, way = list[str](), Wayward(held=1)
    with served(way) as url:
        try:
            assert read_table(f"{url}/m.csv", None, telling(told, read_timeout=0.5)) == TABLE
        finally:
            way.over.set()
    assert told == ["get m.csv"]
    assert way.asked == 2


def test_what_keeps_failing_is_an_error_of_the_store() -> None:
    with served(Wayward(refused=100)) as url, pytest.raises(StoreUnavailable):
        read_table(f"{url}/m.csv", None, ReadPolicy(backoff=Backoff(first=0.01, give_up_after=0.1)))


def test_a_long_one_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.data.tables.PIECE_BYTES", 7)
    for length in (0, 1, 6, 7, 8, 14, 30):
        (tmp_path / "m.csv").write_bytes(data := bytes(range(length)))
        assert read_table(str(tmp_path / "m.csv"), None) == data
    monkeypatch.setattr("mlsession.data.tables.MOST_BYTES", 29)
    with pytest.raises(UnusableData, match="more than 29 bytes"):
        read_table(str(tmp_path / "m.csv"), None)


def test_one_that_is_not_there_is_no_matter_of_patience(tmp_path: Path) -> None:
    with pytest.raises(UnusableData, match="there is no such file"):
        read_table(str(tmp_path / "m.csv"), None)
