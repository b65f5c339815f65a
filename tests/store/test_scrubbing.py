from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlsession.store.scrubbing import PUBLIC_OPTIONS, Scrubber

OPTIONS = {
    "key": "AKIA123",
    "secret": "abc/def",
    "endpoint_url": "http://127.0.0.1:9000",
    "client_kwargs": {"aws_session_token": "tok+en", "region_name": "eu-1"},
    "headers": [("Authorization", "Bearer xyz")],
    "anon": False,
}


def test_values_of_options_are_hidden_and_places_are_not() -> None:
    scrub = Scrubber("s3://b/k", OPTIONS)
    text = "AKIA123 abc/def tok+en Bearer xyz http://127.0.0.1:9000/b eu-1 False"
    assert scrub(text) == "*** *** *** *** http://127.0.0.1:9000/b eu-1 False"


def test_credentials_of_urls_are_hidden() -> None:
    scrub = Scrubber("ftp://alice:pa55@host/x", {})
    assert scrub("alice:pa55 or pa55 at ftp://alice:pa55@host/x") == "*** or *** at ftp://host/x"
    assert scrub("GET https://h/x?X-Amz-Signature=77 failed") == "GET https://h/x?X-Amz-Signature=*** failed"


def test_a_secret_inside_a_secret_leaves_nothing() -> None:
    assert Scrubber("s3://b", {"a": "password", "b": "password1"})("password1 password") == "*** ***"


def test_a_short_secret_is_hidden_as_a_word() -> None:
    scrub = Scrubber("s3://b", {"user": "a", "password": "abc"})
    assert scrub("read a file: abc, 'abc' and (a:abc) at abcd") == "read *** file: ***, '***' and (***:***) at abcd"


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name not in PUBLIC_OPTIONS), st.text("abcdef0123", min_size=8)
    ),
    st.text("ghijk /:", max_size=20),
)
def test_no_value_survives(options: dict[str, str], text: str) -> None:
    shown = Scrubber("s3://b", options)(f"{text}{text.join(options.values())}{text}")
    assert not any(value in shown for value in options.values())
