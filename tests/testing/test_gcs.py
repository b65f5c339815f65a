"""The double of Google Cloud Storage: what it promises beyond the contract, and that another's server agrees."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import fsspec
import pytest

from mlsession.testing.gcs import GcsDouble, Reply, Request, Service
from mlsession.testing.gcs.uploads import CHUNK_BYTES
from tests.servers.gcs import FakeGcsServer

URL = "http://double"
NUM_WRITERS = 8
NUM_ROUNDS = 10
NAMES = ("a", "a/b", "a/b/c", "a-", "a/d", "b/ä ö", "b/%2F", "z/y/x/w", "Z", "b/\U0001f34c", "b/\uff5a")


@pytest.fixture
def service() -> Service:
    service = Service(max_page=2)
    assert service.answer(Request(method="POST", path="/storage/v1/b", body=b'{"name": "bucket"}'), URL).status == 200
    return service


def ask(service: Service, method: str, address: str, body: bytes = b"", **headers: str) -> Reply:
    parts = urlsplit(address)
    return service.answer(
        Request(
            method=method,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
            body=body,
        ),
        URL,
    )


def begin(service: Service, name: str, condition: str = "") -> str:
    """The address of a resumable upload that was begun."""
    reply = ask(service, "POST", f"/upload/storage/v1/b/bucket/o?uploadType=resumable&name={name}{condition}", b"{}")
    assert reply.status == 200
    return reply.headers["Location"]


def content(service: Service, name: str) -> bytes:
    reply = ask(service, "GET", f"/download/storage/v1/b/bucket/o/{name}?alt=media")
    assert reply.status == 200
    return reply.body


def test_of_two_uploads_with_a_condition_the_first_to_end_wins(service: Service) -> None:
    one, other = (begin(service, "key", "&ifGenerationMatch=0") for _ in range(2))
    first, rest = b"x" * CHUNK_BYTES, b"the end"
    total = len(first) + len(rest)
    for address in (one, other):
        reply = ask(service, "PUT", address, first, content_range=f"bytes 0-{len(first) - 1}/{total}")
        assert (reply.status, reply.headers["Range"]) == (308, f"bytes=0-{len(first) - 1}")
    last = f"bytes {len(first)}-{total - 1}/{total}"
    assert ask(service, "POST", other, rest, content_range=last).status == 200
    lost = ask(service, "POST", one, b"another", content_range=last)
    assert (lost.status, json.loads(lost.body)["error"]["errors"][0]["reason"]) == (412, "conditionNotMet")
    assert content(service, "key") == first + rest
    # The client gives up what it lost, and must hear of no other error.
    assert ask(service, "DELETE", one).status == 499
    assert ask(service, "POST", one, rest, content_range=last).status == 404


def test_a_part_of_an_upload_is_no_object(service: Service) -> None:
    address = begin(service, "key")
    assert ask(service, "PUT", address, content_range="bytes */*").headers == {}
    ask(service, "PUT", address, b"y" * CHUNK_BYTES, content_range=f"bytes 0-{CHUNK_BYTES - 1}/*")
    assert ask(service, "GET", "/storage/v1/b/bucket/o/key").status == 404
    # What was sent already is not taken twice, and a hole is refused.
    ask(service, "PUT", address, b"z" * CHUNK_BYTES, content_range=f"bytes 0-{CHUNK_BYTES - 1}/*")
    assert ask(service, "PUT", address, b"z", content_range="bytes 999999-999999/1000000").status == 503
    assert ask(service, "PUT", address, b"odd", content_range=f"bytes {CHUNK_BYTES}-{CHUNK_BYTES + 2}/*").status == 400
    assert ask(service, "PUT", address, content_range=f"bytes */{CHUNK_BYTES}").status == 200
    assert content(service, "key") == b"y" * CHUNK_BYTES


def test_a_generation_is_the_condition_of_its_own_object_only(service: Service) -> None:
    body = b'--b\r\nContent-Type: application/json\r\n\r\n{"name": "key"}\r\n--b\r\n\r\nvalue\r\n\r\n--b--'
    address, kind = "/upload/storage/v1/b/bucket/o?uploadType=multipart", "multipart/related; boundary=b"
    first = json.loads(ask(service, "POST", address, body, content_type=kind).body)["generation"]
    assert content(service, "key") == b"value\r\n"
    second = json.loads(ask(service, "POST", f"{address}&ifGenerationMatch={first}", body, content_type=kind).body)
    assert ask(service, "POST", f"{address}&ifGenerationMatch={first}", body, content_type=kind).status == 412
    assert ask(service, "DELETE", f"/storage/v1/b/bucket/o/key?ifGenerationMatch={first}").status == 412
    assert ask(service, "DELETE", f"/storage/v1/b/bucket/o/key?ifGenerationMatch={second['generation']}").status == 204
    assert ask(service, "DELETE", "/storage/v1/b/bucket/o/key").status == 404


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/storage/v1/b/bucket/o/key?ifGenerationNotMatch=3"),
        ("GET", "/storage/v1/b/bucket/o?versions=true"),
        ("POST", "/storage/v1/b/bucket/o/key/compose"),
        ("PATCH", "/storage/v1/b/bucket/o/key"),
        ("POST", "/upload/storage/v1/b/bucket/o?uploadType=media&name=key"),
    ],
)
def test_what_it_does_not_know_it_does_not_overlook(service: Service, method: str, address: str) -> None:
    reply = ask(service, method, address)
    assert reply.status == 501
    assert b"this double does not know" in reply.body


@pytest.fixture
def double() -> Iterator[GcsDouble]:
    with GcsDouble(max_page=2) as double:
        yield double


def client(url: str) -> Any:
    return fsspec.filesystem("gs", endpoint_url=url, token="anon", skip_instance_cache=True, use_listings_cache=False)


def test_of_many_uploads_in_chunks_one_wins(double: GcsDouble) -> None:
    clients = [client(double.url) for _ in range(NUM_WRITERS)]
    clients[0].mkdir("bucket")
    barrier = threading.Barrier(NUM_WRITERS)

    def create(writer: int, path: str) -> bool:
        barrier.wait()
        try:
            # gcsfs sends even one byte in chunks here.
            with clients[writer].open(path, "xb") as file:
                file.write(b"%d" % writer)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(NUM_WRITERS) as pool:
        for number in range(NUM_ROUNDS):
            path = f"bucket/race/{number}"
            won = list(pool.map(create, range(NUM_WRITERS), [path] * NUM_WRITERS))
            assert sum(won) == 1
            assert clients[0].cat_file(path) == b"%d" % won.index(True)
    assert any("upload_id" in request.query for request in double.requests)


def test_another_server_says_the_same(double: GcsDouble, fake_gcs_server: FakeGcsServer) -> None:
    bucket = fake_gcs_server.new_bucket_url().removeprefix("gs://")
    ours, other = client(double.url), client(fake_gcs_server.endpoint_url)
    ours.mkdir(bucket)
    for filesystem in (ours, other):
        for name in NAMES:
            filesystem.pipe_file(f"{bucket}/{name}", name.encode() * 3)
        filesystem.cp_file(f"{bucket}/a/b", f"{bucket}/copy")
        filesystem.rm_file(f"{bucket}/Z")
    questions: list[Callable[[Any], object]] = [
        *(lambda fs, path=path: fs.ls(f"{bucket}{path}", detail=False) for path in ("", "/a", "/b", "/z/y")),
        lambda fs: fs.find(bucket),
        lambda fs: [(info["size"], info["md5Hash"], info["type"]) for info in fs.find(bucket, detail=True).values()],
        lambda fs: [fs.cat_file(f"{bucket}/a/b/c", *bounds) for bounds in ((0, 3), (2, None), (3, 99), (-4, None))],
        lambda fs: [fs.exists(f"{bucket}/{name}") for name in (*NAMES, "nothing", "a/b/")],
        lambda fs: fs.info(f"{bucket}/b/%2F")["size"],
    ]
    for number, question in enumerate(questions):
        assert question(ours) == question(other), number


def test_it_runs_by_itself_until_its_input_closes(fake_gcs_server: FakeGcsServer) -> None:
    from tests.servers.gcs import GcsServer

    with GcsServer() as server:
        assert client(server.endpoint_url).ls(server.new_bucket_url()) == []
    with pytest.raises(OSError):
        server.new_bucket_url()
