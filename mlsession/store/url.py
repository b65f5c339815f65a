"""From a URL to a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlsession.errors import InvalidParameter, KeyMissing, StoreError
from mlsession.store.failures import remote_failure
from mlsession.store.local import LocalStore
from mlsession.store.location import is_local, local_path, redact, scheme_of, schemes_of
from mlsession.store.protocol import Store
from mlsession.store.remote import FsspecStore
from mlsession.store.scrubbing import Scrubber
from mlsession.store.shared_memory import SharedMemoryStore

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("s3", "s3a"), "s3"),
        **dict.fromkeys(("gs", "gcs"), "gcs"),
        **dict.fromkeys(("abfs", "abfss", "az", "adl"), "azure"),
    }
)
"""Which extra of mlsession brings the package that a scheme needs."""

_UNCACHED: Mapping[str, object] = MappingProxyType({"use_listings_cache": False, "skip_instance_cache": True})


def open_store(url: str | os.PathLike[str], storage_options: Mapping[str, object] | None = None) -> Store:
    """The store at a URL or path; nothing is created, and for most nothing is asked of the network.

    A plain path, "~", a Windows drive or "file://" give a `LocalStore`; "memory://" is fsspec's memory of this
    process; anything else that fsspec knows is opened through it, chains such as "zip://photos::s3://bucket/all.zip"
    too. `storage_options` are fsspec's, for the outermost filesystem; those of the others go under their scheme, as in
    {"s3": {"key": ...}}. They do not concern local paths. Credentials appear in no message and in no `url`.

    Raises `InvalidParameter` for a scheme that is unknown or whose package is missing, and `StoreError` where opening
    alone already fails (an archive that is not there, an FTP server that does not answer).
    """
    location = os.fspath(url)
    if is_local(location):
        return LocalStore(local_path(location))
    options = dict(storage_options or {})
    scrub = Scrubber(location, options)
    for scheme in schemes_of(location):
        _check_scheme(scheme, redact(location))
    options = _uncached(location, options)
    try:
        filesystem, path = _open_filesystem(location, options)
    except Exception as error:
        failure = remote_failure(error, redact(location), "", scrub)
        if isinstance(failure, KeyMissing):
            raise StoreError(f"{redact(location)}: there is nothing here; correct the URL") from error
        raise failure from error
    scheme = scheme_of(location)
    kind = SharedMemoryStore if scheme == "memory" else FsspecStore
    return kind(filesystem, path, scheme=scheme, url=_trimmed(redact(location)), scrub=scrub)


def _open_filesystem(url: str, options: Mapping[str, object]) -> tuple[AbstractFileSystem, str]:
    """fsspec's filesystem for a URL, and the path in it."""
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(url, **options)
    return filesystem, str(path)


def _uncached(url: str, options: Mapping[str, object]) -> dict[str, object]:
    """The options with caches off at every link of a chain: each instance is one store's, each listing is new."""
    all_options = {**options, **_UNCACHED}
    for scheme in schemes_of(url)[1:]:
        given = options.get(scheme or "file", {})
        if not isinstance(given, Mapping):
            raise InvalidParameter("storage_options", scheme, "has to be the options of that scheme, by name")
        all_options[scheme or "file"] = {**given, **_UNCACHED}
    return all_options


def _check_scheme(scheme: str, shown: str) -> None:
    """Raise `InvalidParameter` for a scheme that cannot be opened here, with what to install."""
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(scheme or "file")
    except ImportError as error:
        extra = EXTRAS.get(scheme)
        cure = f"pip install 'mlsession[{extra}]'" if extra else str(error)
        raise InvalidParameter("url", shown, f"{scheme}:// needs a package that is missing here: {cure}") from error
    except ValueError as error:
        if scheme in EXTRAS:
            # Some packages tell fsspec of all their schemes only when they are installed.
            cure = f"pip install 'mlsession[{EXTRAS[scheme]}]'"
            raise InvalidParameter("url", shown, f"{scheme}:// needs a package that is missing here: {cure}") from error
        reason = f"{scheme}:// is a scheme that nothing here knows; write s3://, gs://, abfs://, or a path"
        raise InvalidParameter("url", shown, reason) from error


def _trimmed(url: str) -> str:
    """Without slashes at the end, but never without those of the scheme."""
    trimmed = url.rstrip("/")
    return url if trimmed.endswith(":") else trimmed
