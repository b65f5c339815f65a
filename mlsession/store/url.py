"""From a URL to a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlsession.errors import InvalidParameter, KeyMissing, MLSessionError, StoreError
from mlsession.store.buckets.clients import time_limits, widen
from mlsession.store.buckets.connection import Scrub
from mlsession.store.buckets.credentials import FreshOptions, changed_options, configuration, present_options
from mlsession.store.buckets.objects import ObjectStore
from mlsession.store.buckets.remote import FsspecStore
from mlsession.store.buckets.services import OBJECT_STORES
from mlsession.store.cached import CACHES, CachedStore
from mlsession.store.failures import remote_failure
from mlsession.store.local import LocalStore
from mlsession.store.location import is_local, local_path, parent_url, redact, scheme_of, schemes_of, url_name
from mlsession.store.protocol import Store
from mlsession.store.scrubbing import Scrubber, fit_cause
from mlsession.store.shared_memory import SharedMemoryStore
from mlsession.store.tar import SCHEME as TAR
from mlsession.store.tar import open_tar
from mlsession.store.web import WEB, WebStore

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

EXTRAS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("s3", "s3a"), "s3"),
        **dict.fromkeys(("gs", "gcs"), "gcs"),
        **dict.fromkeys(("abfs", "abfss", "az", "adl"), "azure"),
        **dict.fromkeys(("http", "https"), "http"),
    }
)
"""Which extra of mlsession brings the package that a scheme needs."""

_UNCACHED: Mapping[str, object] = MappingProxyType({"use_listings_cache": False, "skip_instance_cache": True})


def open_store(url: str | os.PathLike[str], storage_options: Mapping[str, object] | None = None) -> Store:
    """The store at a URL or path; nothing is created, and for most nothing is asked of the network.

    A plain path, "~", a Windows drive or "file://" give a `LocalStore`; "memory://" is fsspec's memory of this
    process; anything else that fsspec knows is opened through it, chains such as "zip://photos::s3://bucket/all.zip"
    too. `storage_options` are fsspec's, for the outermost filesystem; those of the others go under their scheme, as in
    {"s3": {"key": ...}}. They do not concern local paths. Credentials appear in no message and in no `url`; once they
    have expired, each further call reads them anew: `FreshOptions`, fsspec's configuration and environment, and what
    the client library itself looks at.

    Raises `InvalidParameter` for a scheme that is unknown or whose package is missing, and `StoreError` where opening
    alone already fails (an archive that is not there, an FTP server that does not answer).
    """
    location = os.fspath(url)
    if is_local(location):
        return LocalStore(local_path(location))
    for scheme in schemes_of(location):
        _check_scheme(scheme, redact(location))
    if scheme_of(location) == TAR:
        return _opened_tar(location, storage_options)
    access = _Access(location, storage_options)
    filesystem, path, scrub = access.connect()
    scheme = scheme_of(location)
    return _kind_of(scheme)(
        filesystem, path, scheme=scheme, url=_trimmed(redact(location)), scrub=scrub, renew=access.connect_again
    )


def _opened_tar(url: str, storage_options: Mapping[str, object] | None) -> Store:
    """The store on the archive that a chain ends in, with the options of its other links."""
    archive = url.partition("::")[2]
    if not archive:
        raise InvalidParameter("url", url, "names no archive; write tar://FOLDER::ARCHIVE, such as tar://::photos.tar")
    scheme = scheme_of(archive) or "file"

    def options() -> dict[str, object]:
        given = present_options(storage_options)
        own = given.get(scheme, {})
        others = {name: value for name, value in given.items() if isinstance(value, Mapping)}
        return {**others, **(own if isinstance(own, Mapping) else {})}

    return open_tar(
        url, lambda parent: open_store(parent, FreshOptions(options)), parent_url(archive), url_name(archive)
    )


def _kind_of(scheme: str) -> type[FsspecStore]:
    if scheme in OBJECT_STORES:
        return ObjectStore
    if scheme in WEB:
        return WebStore
    if scheme in CACHES:
        return CachedStore
    return SharedMemoryStore if scheme == "memory" else FsspecStore


class _Access:
    """How to reach a location: makes a client, and another one when the credentials of the first have expired."""

    def __init__(self, location: str, storage_options: Mapping[str, object] | None) -> None:
        self._location = location
        self._given = storage_options
        self._configured = configuration()
        self._options: Mapping[str, object] = {}

    def connect(self) -> tuple[AbstractFileSystem, str, Scrub]:
        """fsspec's filesystem with what the options are now, the path in it, and what hides their secrets."""
        before = self._options
        scrub = Scrubber(self._location, before)
        try:
            changed = changed_options(self._configured, configuration(), schemes_of(self._location))
            self._options = {**changed, **present_options(self._given)}
            # A late error of the client before may still show what that one had.
            scrub = Scrubber(self._location, {"before": before, "now": self._options})
            filesystem, path = _open_filesystem(self._location, _uncached(self._location, self._options))
        except (MLSessionError, MemoryError):
            raise
        except Exception as error:
            failure = remote_failure(error, redact(self._location), "", scrub)
            if isinstance(failure, KeyMissing):
                failure = StoreError(f"{redact(self._location)}: there is nothing here; correct the URL")
            raise failure from fit_cause(error, scrub)
        return filesystem, path, scrub

    def connect_again(self) -> tuple[AbstractFileSystem, Scrub]:
        filesystem, _, scrub = self.connect()
        return filesystem, scrub


def _open_filesystem(url: str, options: Mapping[str, object]) -> tuple[AbstractFileSystem, str]:
    """fsspec's filesystem for a URL, and the path in it."""
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(url, **options)
    widen(filesystem)
    return filesystem, str(path)


def _uncached(url: str, options: Mapping[str, object]) -> dict[str, object]:
    """The options with caches off at every link of a chain, so that each instance is one store's and each listing new,
    and with an end to waiting.
    """
    all_options = {**time_limits(scheme_of(url)), **options, **_UNCACHED}
    for scheme in schemes_of(url)[1:]:
        given = options.get(scheme or "file", {})
        if not isinstance(given, Mapping):
            raise InvalidParameter("storage_options", scheme, "has to be the options of that scheme, by name")
        all_options[scheme or "file"] = {**time_limits(scheme), **given, **_UNCACHED}
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
