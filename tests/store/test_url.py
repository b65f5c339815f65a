from __future__ import annotations

from pathlib import Path

import fsspec
import pytest
from fsspec.registry import register_implementation

from mlsession.errors import InvalidParameter, StoreError, StoreUnavailable
from mlsession.store import FsspecStore, LocalStore, SharedMemoryStore, open_store
from mlsession.store.url import EXTRAS
from tests.servers.s3 import S3Server
from tests.store.processes import run


def test_local_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    places = {
        "a/b": tmp_path / "a" / "b",
        str(tmp_path): tmp_path,
        "~/x": tmp_path / "home" / "x",
        f"file://{tmp_path}/y/": tmp_path / "y",
        "C:\\data": tmp_path / "C:\\data",
        ".": tmp_path,
    }
    for url, path in places.items():
        store = open_store(url, {"key": "not for this machine"})
        assert isinstance(store, LocalStore)
        assert store.url == str(path)
    assert open_store(tmp_path / "path").url == str(tmp_path / "path")
    assert list(tmp_path.iterdir()) == []


def test_remote_places(s3_server: S3Server) -> None:
    assert isinstance(open_store("memory://x"), SharedMemoryStore)
    store = open_store("s3://bucket/k/", s3_server.storage_options)
    assert isinstance(store, FsspecStore)
    assert store.url == "s3://bucket/k"


def test_no_instance_or_listing_is_shared(s3_server: S3Server) -> None:
    url = f"{s3_server.new_bucket_url()}/k"
    one, other = open_store(url, s3_server.storage_options), open_store(url, s3_server.storage_options)
    assert isinstance(one, FsspecStore)
    assert isinstance(other, FsspecStore)
    assert one._open is not other._open
    assert list(one.list()) == []
    other.put("key", b"x")
    assert [entry.key for entry in one.list()] == ["key"]


def test_environment_of_fsspec_is_enough(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = s3_server.new_bucket_url()
    program = f"from mlsession.store import open_store; open_store({url!r}).put('key', b'from elsewhere')"
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    run(program)
    assert open_store(url, s3_server.storage_options).get("key") == b"from elsewhere"


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(InvalidParameter, match="foo:// is a scheme that nothing here knows") as caught:
        open_store("foo://me:password@host/x")
    assert "password" not in str(caught.value)
    with pytest.raises(InvalidParameter, match="foo://"):
        open_store("zip://x::foo://y")


@pytest.mark.parametrize(
    ("package", "url", "extra"),
    [
        ("s3fs", "s3://bucket/k", "s3"),
        ("s3fs", "zip://x::s3://bucket/a.zip", "s3"),
        ("gcsfs", "gs://bucket/k", "gcs"),
        ("adlfs", "abfss://container@account.host/k", "azure"),
    ],
)
def test_a_missing_package_is_named_with_the_cure(package: str, url: str, extra: str) -> None:
    # An entry of None is how Python itself marks a package that cannot be imported.
    program = f"""
import sys
sys.modules[{package!r}] = None
from mlsession.errors import InvalidParameter
from mlsession.store import open_store
try:
    open_store({url!r})
except InvalidParameter as error:
    print(error)
"""
    said = run(program)
    assert said.startswith(f"url={url!r}: ")
    assert said.endswith(f"needs a package that is missing here: pip install 'mlsession[{extra}]'\n")


def test_a_missing_package_without_an_extra_is_named() -> None:
    register_implementation("absent", "no_such_package.FileSystem", errtxt="install no_such_package", clobber=True)
    with pytest.raises(InvalidParameter, match=r"absent:// needs a package .* install no_such_package"):
        open_store("absent://x")


def test_every_scheme_with_an_extra_is_one_that_fsspec_knows() -> None:
    assert set(EXTRAS) - {"abfss"} <= set(fsspec.available_protocols())


def test_failures_of_opening_show_no_password(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        open_store("ftp://me:password@127.0.0.1:1/x")
    assert "password" not in str(caught.value)
    assert "ftp://127.0.0.1:1/x" in str(caught.value)
    with pytest.raises(StoreError, match="there is nothing here"):
        open_store(f"zip://x::{tmp_path}/none.zip")


def test_the_package_loads_no_heavy_module_before_a_remote_url_is_opened(tmp_path: Path) -> None:
    program = f"""
import sys
from mlsession.store import open_store
store = open_store({str(tmp_path / "s")!r})
store.put("key", b"x")
heavy = {{"torch", "fsspec", "s3fs", "aiohttp", "botocore", "numpy"}} & set(sys.modules)
assert not heavy, heavy
open_store("memory://x")
assert "fsspec" in sys.modules
assert "s3fs" not in sys.modules
print("done")
"""
    assert run(program) == "done\n"
