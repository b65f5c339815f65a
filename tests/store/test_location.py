from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.store.location import (
    is_local,
    join_url,
    local_path,
    parent_url,
    redact,
    scheme_of,
    schemes_of,
    url_name,
    url_secrets,
)

words = st.text(string.ascii_letters + string.digits + "-_.%+ ", min_size=1, max_size=8).filter(lambda w: w.strip("."))
roots = st.sampled_from(
    ["s3://b", "s3://b/k", "memory://", "/tmp/x", "rel", "file:///x", "abfs://c@a.host/k", "http://h:80"]
)
chains = st.sampled_from(["zip://::s3://b/a.zip", "zip://in::/data/a.zip", "zip::file:///a.zip"])


@pytest.mark.parametrize(
    ("url", "schemes"),
    [
        ("/data/x", ("",)),
        ("data", ("",)),
        ("~/data", ("",)),
        ("C:\\data", ("",)),
        ("c:/data", ("",)),
        ("./a::b", ("",)),
        ("file:///a::b", ("file",)),
        ("s3://b/k", ("s3",)),
        ("S3://b/k", ("s3",)),
        ("zip://in::s3://b/a.zip", ("zip", "s3")),
        ("zip::/data/a.zip", ("zip", "")),
        ("simplecache::zip://x::https://h/a.zip", ("simplecache", "zip", "https")),
    ],
)
def test_schemes(url: str, schemes: tuple[str, ...]) -> None:
    assert schemes_of(url) == schemes
    assert scheme_of(url) == schemes[0]
    assert is_local(url) == (schemes[0] in ("", "file"))


@pytest.mark.parametrize(
    ("url", "windows", "path"),
    [
        ("/a/b", False, "/a/b"),
        ("/a/b/", False, "/a/b"),
        ("file:///a/b", False, "/a/b"),
        ("file://localhost/a", False, "/a"),
        ("local:///a", False, "/a"),
        ("/a/%20", False, "/a/%20"),
        ("file:///C:/a", True, f"{Path.cwd()}/C:/a"),
        ("file:///C:/a", False, "/C:/a"),
    ],
)
def test_local_paths(url: str, windows: bool, path: str) -> None:
    assert local_path(url, windows=windows) == path


def test_local_paths_of_this_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert local_path(".") == str(tmp_path)
    assert local_path("a/b") == str(tmp_path / "a" / "b")
    assert local_path("~/a") == "/home/somebody/a"
    assert parent_url(".") == str(tmp_path.parent)
    assert url_name(".") == tmp_path.name
    assert parent_url("~") == "/home"
    for wrong in ("", "a\x00b", "s3://b"):
        with pytest.raises(InvalidParameter):
            local_path(wrong)


@pytest.mark.parametrize(
    ("url", "key", "joined"),
    [
        ("s3://b", "k", "s3://b/k"),
        ("s3://b/k/", "a/b", "s3://b/k/a/b"),
        ("s3://b/k", "", "s3://b/k"),
        ("memory://", "a", "memory://a"),
        ("memory:///x", "a", "memory:///x/a"),
        ("/", "a", "/a"),
        ("a/b/", "c", "a/b/c"),
        ("file:///a", "b", "file:///a/b"),
        ("zip://in::s3://b/a.zip", "k", "zip://in/k::s3://b/a.zip"),
        ("zip://::s3://b/a.zip", "k", "zip://k::s3://b/a.zip"),
        ("zip::s3://b/a.zip", "k", "zip://k::s3://b/a.zip"),
        ("https://h/d?sig=1", "k", "https://h/d/k?sig=1"),
        ("s3://b/what?", "k", "s3://b/what?/k"),
    ],
)
def test_join(url: str, key: str, joined: str) -> None:
    assert join_url(url, key) == joined


def test_join_never_leaves_the_url() -> None:
    for key in ("../a", "/a", "a/../../b"):
        with pytest.raises(InvalidParameter):
            join_url("s3://b/k", key)


@given(roots | chains, st.lists(words, min_size=1, max_size=3))
def test_parent_and_name_undo_join(root: str, parts: list[str]) -> None:
    url = join_url(root, "/".join(parts))
    assert url_name(url) == parts[-1]
    expected = join_url(root, "/".join(parts[:-1]))
    if is_local(root):
        assert local_path(parent_url(url)) == local_path(expected)
    else:
        assert parent_url(url) == expected.replace("zip::", "zip://::", 1)


@pytest.mark.parametrize(
    ("url", "parent", "name"),
    [
        ("s3://b/k", "s3://b", "k"),
        ("s3://b/k/", "s3://b", "k"),
        ("memory://a", "memory://", "a"),
        ("a", ".", "a"),
        ("a/b", "a", "b"),
        ("/a", "/", "a"),
        ("file:///a/b", "/a", "b"),
        ("zip://::s3://b/k/a.zip", "s3://b/k", "a.zip"),
        ("zip://in::s3://b/a.zip", "zip://::s3://b/a.zip", "in"),
    ],
)
def test_parent_and_name(url: str, parent: str, name: str) -> None:
    assert (parent_url(url), url_name(url)) == (parent, name)


@pytest.mark.parametrize("url", ["s3://b", "s3://b/", "http://host", "/", "memory://", "file:///"])
def test_a_root_has_no_parent(url: str) -> None:
    with pytest.raises(InvalidParameter, match="no folder above"):
        parent_url(url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("/a@b:c/d", "/a@b:c/d"),
        ("s3://b/k@2", "s3://b/k@2"),
        ("s3://b:9000/k@2", "s3://b:9000/k@2"),
        ("ftp://user:pass@host:21/x", "ftp://host:21/x"),
        ("https://token@host/x", "https://host/x"),
        ("abfs://container@account.host/x", "abfs://container@account.host/x"),
        ("s3://KEY:SEC/RET+1@bucket/k", "s3://bucket/k"),
        ("https://h/x?sig=abc&se=2&flag", "https://h/x?sig=***&se=***&flag"),
        ("zip://in::ftp://u:p@h/a.zip", "zip://in::ftp://h/a.zip"),
        ("zip::ftp://u:p@h/a.zip", "zip::ftp://h/a.zip"),
        ("custom:https://u:p@h/m.onnx", "custom:https://h/m.onnx"),
        ("custom:zip://m::ftp://u:p@h/a.zip", "custom:zip://m::ftp://h/a.zip"),
        ("custom:net.onnx", "custom:net.onnx"),
    ],
)
def test_redact(url: str, shown: str) -> None:
    assert redact(url) == shown
    assert redact(shown) == shown


secret_words = st.text(string.ascii_letters + string.digits + "/+=-_.:!$", min_size=6, max_size=20)


@given(st.sampled_from(["ftp", "s3", "https", "sftp", "zip://in::ftp"]), secret_words, secret_words)
def test_no_password_is_shown(scheme: str, user: str, password: str) -> None:
    user = f"u{user.replace('/', '').replace(':', '')}"
    # Digits before a slash would be a port: "host:9000/key@2" holds no password.
    password = f"p{password}"
    url = f"{scheme}://{user}:{password}#@host/path"
    if "::" in f"{user}:{password}":
        return
    assert password not in redact(url)
    assert redact(url).endswith("://host/path")
    assert f"{password}#" in url_secrets(url)
