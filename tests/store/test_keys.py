from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.store.keys import (
    MAX_PART_BYTES,
    check_own_key,
    check_read_key,
    check_written_key,
    is_temporary,
    temporary_name,
)


@pytest.mark.parametrize(
    "key",
    [
        "log/000000000001.json",
        "blobs/12/13-0f3a",
        "Animals.mlmodel",
        "Data/com.apple.CoreML/größe 1.bin",
        "console.txt",
        "com10",
        ".hidden",
        "a" * MAX_PART_BYTES,
    ],
)
def test_written_keys_that_are_legal_everywhere(key: str) -> None:
    check_written_key(key)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("a/../b", r"\.\."),
        ("a\x00", "NUL"),
        ("a//b", "no name"),
        ("a/./b", "no name"),
        ("a/", "no name"),
        ("a\\b", "Windows forbids"),
        ("c:/x", "Windows forbids"),
        ("a\nb", "Windows forbids"),
        ("why?", "Windows forbids"),
        ("dot.", "Windows drops"),
        ("space /x", "Windows drops"),
        ("log/Con", "device"),
        ("lpt9.tar.gz", "device"),
        ("nul .txt", "device"),
        ("a" * (MAX_PART_BYTES + 1), "longer"),
        ("é" * 128, "longer"),
        ("\udcff", "UTF-8"),
        (temporary_name(7), "reserved"),
    ],
)
def test_written_keys_that_are_refused(key: str, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        check_written_key(key)
    with pytest.raises(InvalidParameter, match=reason):
        check_own_key(key)


@pytest.mark.parametrize("key", ["Log/0", "log/ 0", "log/ö", "log/a+b"])
def test_own_keys_are_plainer_still(key: str) -> None:
    check_written_key(key)
    with pytest.raises(InvalidParameter, match="a-z"):
        check_own_key(key)


@given(st.lists(st.text(string.ascii_lowercase + string.digits + "_-", min_size=4, max_size=12), min_size=1))
def test_plain_words_are_own_keys(parts: list[str]) -> None:
    check_own_key("/".join(f"x{part}" for part in parts))


@pytest.mark.parametrize("key", ["a", "con", "a//b", "./a", "a\\..\\b", "c:/x", "größe?.jpg", "...", "a/..b", "\udcff"])
def test_anything_below_the_root_can_be_read(key: str) -> None:
    check_read_key(key)


@pytest.mark.parametrize("key", ["..", "a\\..\\..\\b", "\\a", "\\\\host\\share", "c:\\x", "c:x", "a/..\\b"])
def test_what_leaves_the_root_on_windows(key: str) -> None:
    with pytest.raises(InvalidParameter):
        check_read_key(key, windows=True)


@given(st.integers(0, 2**64 - 1))
def test_temporary_names_are_recognised(nonce: int) -> None:
    name = temporary_name(nonce)
    assert is_temporary(name)
    assert not is_temporary(f"{name}.txt")
    assert not is_temporary(f"x{name}")
