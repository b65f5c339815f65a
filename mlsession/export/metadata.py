"""What an exported model says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from mlsession.errors import InvalidParameter


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMetadata:
    """Words for people who meet the model without its session; Xcode shows all of them for a Core ML model.

    As Create ML's, but for the author, who is nobody unless named: what this machine calls its user is not published
    unasked. `Classifier.write` adds what it knows of the model to `additional`, by names that start in "mlsession.".

    Raises `InvalidParameter` for a value that is not text, or that UTF-8 cannot hold.
    """

    author: str = ""
    short_description: str = "An image classifier trained with mlsession."
    license: str = ""
    version: str = "1"
    additional: Mapping[str, str] = field(default_factory=dict)
    """Further facts by name; names in reverse-domain form ("com.example.dataset") stay clear of other tools' names."""

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self) if each.name != "additional"):
            check_text(name, getattr(self, name))
        for key, value in self.additional.items():
            check_text("additional", key)
            check_text(f"additional[{key!r}]", value)


def check_text(parameter: str, value: object) -> None:
    """Refuse what is not text that UTF-8 can hold, such as half of a surrogate pair. Raises `InvalidParameter`."""
    if not isinstance(value, str):
        raise InvalidParameter(parameter, value, "must be text; write it as a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidParameter(parameter, value, "holds characters that UTF-8 cannot encode; remove them") from error
