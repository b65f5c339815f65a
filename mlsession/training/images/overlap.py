"""A session must not lie among the images that it trains on: its folder would be taken for a class."""

from __future__ import annotations

from mlsession.data.locations import parts_below
from mlsession.data.names import is_hidden
from mlsession.data.source import DataSource
from mlsession.errors import InvalidParameter
from mlsession.store import redact


def check_apart(session_url: str, sources: tuple[DataSource, ...], what: str = "session") -> None:
    """Raises `InvalidParameter` for a session in the folder of a source, unless in a hidden one (never indexed).

    Only where sub-folders are classes: no other source takes files for its own that it was not given. `what` is said
    to lie there.
    """
    for source in sources:
        inside = parts_below(session_url, source.url) if source.takes_sub_folders else []
        if inside and not any(map(is_hidden, inside)):
            raise InvalidParameter(
                what,
                redact(session_url),
                f"lies in the data folder {redact(source.url)}, where it would be taken for a class; choose a "
                "folder outside of it",
            )
