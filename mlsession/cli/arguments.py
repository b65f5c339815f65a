"""From what was typed to what the library takes; pure. Raises `InvalidParameter`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlsession.errors import InvalidParameter
from mlsession.store.location import is_local, local_path, redact, url_name

if TYPE_CHECKING:
    from mlsession.data.validation import Validation
    from mlsession.export.metadata import ModelMetadata
    from mlsession.heads.options import LogisticRegressor

Options = Mapping[str, object]

_SUFFIX = ".mlsession"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What exports say of themselves; None keeps the library's words."""

    author: str
    license: str
    description: str | None
    version: str | None

    def metadata(self) -> ModelMetadata:
        """The same for the library. Raises `InvalidParameter`."""
        from mlsession.export.metadata import ModelMetadata

        usual = ModelMetadata()
        return ModelMetadata(
            author=self.author,
            license=self.license,
            short_description=usual.short_description if self.description is None else self.description,
            version=usual.version if self.version is None else self.version,
        )


def storage_options(items: Sequence[str]) -> dict[str, object]:
    """`name=value` pairs; a value that is JSON is read as that, so that true, 30, {"a": 1} and "30" are what they say.

    Messages leave the value out: it may be a secret.
    """
    options: dict[str, object] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not (name and separator):
            raise InvalidParameter("storage-option", name if separator else "...", "write it as name=value")
        options[name] = _value(value)
    return options


def _value(text: str) -> object:
    try:
        # NaN and Infinity are Python's own addition to JSON, and nothing that a store could mean.
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> object:
    raise ValueError(name)


def default_session(data: str, folder: Path) -> str:
    """Where a session lies if nothing else is said: `<data name>.mlsession` in `folder`, the current one.

    Beside the data where `folder` lies in them: among the images the session would be taken for a class.
    """
    if not is_local(data):
        name = url_name(data)
    else:
        path = Path(os.path.normpath(local_path(data)))
        name = path.name
        if folder == path or path in folder.parents:
            return os.path.relpath(path.parent / f"{name}{_SUFFIX}", folder)
    if not name:
        raise InvalidParameter("session", None, f"{redact(data)} has no name to call it after; give --session URL")
    return f"{name}{_SUFFIX}"


def validation(text: str | None, seed: int, options: Options) -> Validation:
    """A folder, a ratio, "none", or None for the automatic choice."""
    from mlsession.data.source import DataSource
    from mlsession.data.validation import Validation

    if text is None:
        return Validation.automatic(seed)
    if text == "none":
        return Validation.none()
    try:
        ratio = float(text)
    except ValueError:
        return Validation.data(DataSource.labeled_directories(text, options))
    return Validation.split(ratio, seed)


def checkpoint_interval(text: str) -> int | Literal["auto"]:
    """A number of iterations, or "auto"."""
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        reason = "must be a whole number of iterations, or auto"
        raise InvalidParameter("checkpoint-interval", text, reason) from None


def classifier(name: str) -> LogisticRegressor:
    """The head that a name stands for."""
    from mlsession.heads.options import LogisticRegressor

    if name != "logistic":
        raise InvalidParameter("classifier", name, "the only one there is by now is logistic")
    return LogisticRegressor()


def cache(text: str) -> str | None:
    """ "auto", a URL, or None for "none"."""
    return None if text == "none" else text
