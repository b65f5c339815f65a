"""The bytes of a file that says what images are: a manifest, or corrections. It is read as patiently as they are."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from mlsession.errors import KeyMissing, UnusableData
from mlsession.store import open_store, parent_url, redact, url_name
from mlsession.store.reading import ReadPolicy

MOST_BYTES = 2**30
"""Of a table: that of ten million images is shorter. More is not read."""
PIECE_BYTES = 2**26
"""Of a far one so much is asked for at a time, since what has not come in time is asked for again."""


def read_table(url: str, storage_options: Mapping[str, object] | None, policy: ReadPolicy | None = None) -> bytes:
    """All of a file in any store, of which failures are borne as `policy` says.

    Raises `UnusableData` where there is none, or one of more than `MOST_BYTES`; `StoreError`; what `heed` raises.
    """
    folder, name, policy = parent_url(url), url_name(url), policy or ReadPolicy()
    open_patiently = policy.opener(folder, lambda: open_store(folder, storage_options))
    data = bytearray()
    try:
        with closing(open_patiently()) as store:
            while (length := len(data)) <= MOST_BYTES:
                stop = min(length + PIECE_BYTES, MOST_BYTES + 1)
                data += store.get_range(name, length, stop)
                if len(data) < stop:
                    return bytes(data)
    except KeyMissing as error:
        raise UnusableData(redact(url), "there is no such file; check the path") from error
    reason = f"it has more than {MOST_BYTES:,} bytes, which no table of images has; check the path"
    raise UnusableData(redact(url), reason)
