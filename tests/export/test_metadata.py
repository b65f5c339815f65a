from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from mlsession.errors import InvalidParameter
from mlsession.export import ModelMetadata


def test_defaults_describe_the_model_and_name_nobody() -> None:
    metadata = ModelMetadata()
    assert (metadata.author, metadata.license, metadata.version) == ("", "", "1")
    assert "mlsession" in metadata.short_description
    assert metadata.additional == {}


def test_it_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ModelMetadata().author = "someone"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["author", "short_description", "license", "version"])
@pytest.mark.parametrize("value", [1, None, "half \ud83d of a pair"])
def test_what_is_not_text_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InvalidParameter, match=name):
        ModelMetadata(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("additional", [{"a": 1}, {1: "a"}, {"a": "\udc00"}])
def test_additional_facts_are_text_too(additional: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter, match="additional"):
        ModelMetadata(additional=additional)
