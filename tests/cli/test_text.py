from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mlsession.cli.printing.text import byte_size, command_line, duration, figure, number_of, one_line, percent, plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Kiwi [red]", "Kiwi [red]"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\u202eevil", "\\u202eevil"),
        ("half \udc80", "half \\udc80"),
        ("Äpfel 林檎 👩‍🌾", "Äpfel 林檎 👩‍🌾"),
    ],
)
def test_outside_text_cannot_steer_a_terminal(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(some.text(some.characters()))
def test_any_text_becomes_one_line_that_prints(text: str) -> None:
    for line in (plain(text), one_line(text)):
        assert len(line.splitlines()) <= 1
        assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in line)
        assert line.encode().decode() == line


def test_messages_lose_their_line_breaks() -> None:
    assert one_line("first\n   second\x07") == "first second\\x07"


def test_numbers() -> None:
    assert [percent(value) for value in (1.0, 0.98333, math.nan)] == ["100.0 %", "98.3 %", "-"]
    assert [figure(value) for value in (0.5, math.nan)] == ["0.500", "-"]
    assert [number_of(count, "image") for count in (0, 1, 1200)] == ["0 images", "1 image", "1,200 images"]
    assert [byte_size(count) for count in (812, 15_900, 999_960, 4_600_000, 2 * 10**12)] == [
        "812 bytes",
        "15.9 kB",
        "1.0 MB",
        "4.6 MB",
        "2.0 TB",
    ]
    assert [duration(seconds) for seconds in (-1, 0.42, 9.96, 59.4, 59.6, 125, 3600, 12_000)] == [
        "0.0 s",
        "0.4 s",
        "10 s",
        "59 s",
        "1 min",
        "2 min 5 s",
        "1 h",
        "3 h 20 min",
    ]


def test_a_command_is_quoted_and_keeps_secrets() -> None:
    words = ["mlsession", "train", "my photos", "--session", "s3://KEY:SECRET@bucket/it's", "--storage-option"]
    words += ["secret=hidden", "--storage-option=key=hidden", "--cache=s3://KEY:SECRET@bucket/c"]
    line = command_line(words)
    assert "SECRET" not in line
    assert "hidden" not in line
    assert line == (
        "mlsession train 'my photos' --session 's3://bucket/it'\"'\"'s' "
        "--storage-option secret=*** --storage-option=key=*** --cache=s3://bucket/c"
    )
