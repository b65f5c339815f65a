"""Images of HTTP servers, and chains, against real servers on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mlsession.data.source import DataSource
from mlsession.errors import StoreDenied, StoreUnavailable, UnusableData
from mlsession.store import join_url, open_store, parent_url, url_name
from mlsession.store.reading import ReadPolicy
from mlsession.store.retrying import Backoff
from mlsession.store.web import WebStore
from tests.data.test_source import make
from tests.servers.files import file_server

FILES = {f"/photos/{name}": name.encode() for name in ("cat/1.jpg", "cat/é%20 2.jpg", "dog/3", "dog/4.jpg")}
SERVED = {path.replace("é%20 2", "%C3%A9%20%202"): data for path, data in FILES.items()}
"""As a client writes them."""

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def served(answer: Answer) -> Iterator[str]:
    """The URL of a server that answers every request so."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            answer(self)

        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_lists_of_urls_and_paths_below_one(tmp_path: Path) -> None:
    names = ["cat/1.jpg", "dog/3", "dog/4.jpg"]
    with file_server({**SERVED, "/photos/all.csv": b"path,label\ncat/1.jpg,cat\ndog/3,dog\ndog/4.jpg,dog\n"}) as url:
        root = f"{url}/photos"
        lines = "".join(f"{root}/{name}\t{name[:3]}\n" for name in names)
        (tmp_path / "all.tsv").write_text(f"path\tlabel\n{lines}")
        (tmp_path / "below.jsonl").write_text(
            "".join(f'{{"path": "{name}", "label": "{name[:3]}"}}\n' for name in names)
        )
        sources = [
            DataSource.manifest(tmp_path / "all.tsv"),
            DataSource.manifest(tmp_path / "below.jsonl", root=root),
            DataSource.manifest(f"{root}/all.csv"),
            DataSource.table([(name, name[:3]) for name in names], root=root),
            DataSource.files_by_label({"cat": [f"{root}/cat/1.jpg"], "dog": [f"{root}/{name}" for name in names[1:]]}),
        ]
        digests = {source.index().digest for source in sources}
        assert len(digests) == 1
        index = sources[0].index()
        assert (index.keys, index.sizes.tolist()) == (("cat/1.jpg", "dog/3", "dog/4.jpg"), [9, 5, 9])
        with closing(sources[0].open()) as store:
            assert store.get("dog/3") == b"dog/3"
        again = DataSource.from_json(sources[1].to_json())
        assert again.index().digest == index.digest
        spaced = DataSource.table([("cat/é%20 2.jpg", "cat"), ("dog/3", "dog")], root=root)
        with closing(spaced.open()) as store:
            assert [store.get(key) for key in spaced.index().keys] == ["cat/é%20 2.jpg".encode(), b"dog/3"]
        gone = DataSource.table([("cat/1.jpg", "cat"), ("dog/9.jpg", "dog")], root=root)
        with pytest.raises(UnusableData, match=r"the file 'dog/9\.jpg' is not there; correct its path"):
            gone.index()


def test_changed_files_are_noticed() -> None:
    files = {"/a.jpg": b"one", "/b.jpg": b"two"}
    with file_server(files) as url:
        source = DataSource.table([("a.jpg", "x"), ("b.jpg", "y")], root=url)
        before = source.index()
        files["/b.jpg"] = b"TWO"
        assert before.compare(source.index()).replaced == ("b.jpg",)


def test_a_failing_server_is_no_missing_file() -> None:
    impatient = ReadPolicy(backoff=Backoff(give_up_after=0.5))
    for status, error in ((503, StoreUnavailable), (403, StoreDenied)):
        with served(lambda request, status=status: request.send_error(status)) as url:  # type: ignore[misc]
            source = DataSource.table([("a.jpg", "x"), ("b.jpg", "y")], root=url)
            with pytest.raises(error):
                source.index(policy=impatient)
    with pytest.raises(StoreUnavailable):
        source.index(policy=impatient)  # Nobody is there any more.


@pytest.mark.parametrize("ranges", [True, False])
def test_a_server_without_head_and_a_query_that_goes_with_every_request(ranges: bool) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.command == "HEAD" or not request.path.endswith("?key=a%2Fb"):
            request.send_error(405 if request.path.endswith("?key=a%2Fb") else 403)
            return
        data = request.path.partition("?")[0].encode()
        start, stop = 0, len(data)
        if ranges and (asked := request.headers["Range"]):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, stop = int(first), int(last) + 1
        request.send_response(206 if stop - start < len(data) else 200)
        request.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        request.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        request.send_header("Content-Length", str(stop - start))
        request.end_headers()
        request.wfile.write(data[start:stop])

    with served(answer) as url:
        files = {"x": [f"{url}/photos/a.jpg?key=a%2Fb"], "y": [f"{url}/photos/more/b.jpg?key=a%2Fb"]}
        source = DataSource.files_by_label(files, {"encoded": True})
        index = source.index()
        assert index.keys == ("a.jpg", "more/b.jpg")
        assert index.sizes.tolist() == [len("/photos/a.jpg"), len("/photos/more/b.jpg")]
        assert all("Jan 2024" in version for version in index.versions)
        assert "a%2Fb" not in repr(source) + str(source.to_json())
        with closing(source.open()) as store:
            assert isinstance(store, WebStore)
            assert store.get("more/b.jpg") == b"/photos/more/b.jpg"


def test_a_server_that_shows_its_folders(tmp_path: Path) -> None:
    make(tmp_path / "photos", "cat/1.jpg", "cat/more/2.jpg", "dog/3.jpg")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        index = DataSource.labeled_directories(f"{url}/photos").index()
    assert index.keys == ("cat/1.jpg", "cat/more/2.jpg", "dog/3.jpg")


def test_a_cache_in_a_chain_is_a_folder_like_what_is_behind_it(tmp_path: Path) -> None:
    bucket = f"memory://{tmp_path.name}"
    with closing(open_store(bucket)) as store:
        for key in ("animals/cat/1.jpg", "animals/dog/2.jpg"):
            store.put(key, key.encode())
        store.put("animals/all.csv", b"path,label\ncat/1.jpg,x\ndog/2.jpg,y\n")
    root, kept = f"simplecache::{bucket}/animals", {"cache_storage": str(tmp_path / "kept")}
    manifest = DataSource.manifest(join_url(root, "all.csv"), storage_options=kept)
    assert manifest.url == root
    folders = DataSource.labeled_directories(root, kept)
    listed = DataSource.files_by_label({"cat": [join_url(root, "cat/1.jpg")]}, kept)
    assert manifest.index().keys == folders.index().keys == ("cat/1.jpg", "dog/2.jpg")
    assert listed.index(min_classes=1).keys == ("1.jpg",)
    with closing(folders.open()) as store:
        assert store.get("dog/2.jpg") == b"animals/dog/2.jpg"
        with closing(open_store(bucket)) as behind:
            behind.delete("animals/dog/2.jpg")
        assert store.get("dog/2.jpg") == b"animals/dog/2.jpg"
    assert (parent_url(root), url_name(root)) == (f"simplecache::{bucket}", "animals")


def test_a_relative_archive_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert DataSource.labeled_directories("zip://a::b.zip").url == f"zip://a::{tmp_path}/b.zip"
    assert DataSource.files_by_label({"x": ["zip://a/1.jpg::b.zip"]}).url == f"zip://a::{tmp_path}/b.zip"
    assert DataSource.labeled_directories("zip://a::s3://b/c.zip").url == "zip://a::s3://b/c.zip"
