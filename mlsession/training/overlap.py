"""A session must not lie among the images that it trains on: its folder would be taken for a class."""

from __future__ import annotations

from mlsession.data.source import DataSource, is_hidden
from mlsession.errors import InvalidParameter
from mlsession.store import is_local, local_path, redact


def check_apart(session_url: str, sources: tuple[DataSource, ...]) -> None:
    """Raises `InvalidParameter` for a session in the folder of a source, unless in a hidden one (never indexed)."""
    for source in sources:
        inside = _below(session_url, source.url)
        if inside and not any(map(is_hidden, inside)):
            raise InvalidParameter(
                "session",
                redact(session_url),
                f"lies in the data folder {redact(source.url)}, where it would be taken for a class; choose a "
                "folder outside of it",
            )


def _below(url: str, folder: str) -> list[str]:
    """The parts of the path from `folder` to `url`; none if it does not lie in there."""
    if is_local(url) != is_local(folder):
        return []
    inner, outer = ((local_path(each) if is_local(each) else each).rstrip("/\\") for each in (url, folder))
    rest = inner.removeprefix(outer)
    return rest.replace("\\", "/").strip("/").split("/") if rest != inner and rest[:1] in ("/", "\\") else []
