"""A store on any fsspec filesystem."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mlsession.errors import CredentialsExpired, KeyExists, KeyMissing, MLSessionError, StoreError
from mlsession.store.buckets.connection import Connection, Renew, Scrub
from mlsession.store.buckets.listing import entry_version, walks_folders
from mlsession.store.buckets.services import AZURE, FILE_SERVERS, GOOGLE, OBJECT_STORES, READ_FROM_0
from mlsession.store.failures import Failure, classify, container_missing, remote_failure
from mlsession.store.keys import check_read_key, check_written_key, is_temporary, temporary_name
from mlsession.store.protocol import Entry
from mlsession.store.ranges import check_range
from mlsession.store.scrubbing import fit_cause

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

MAX_CREATE_BYTES = 32 * 2**20
"""Exclusive creation is one request: larger values go in parts, and there not every service keeps the condition."""

PATIENCE_SECONDS = 60.0
SLOWEST_BYTES_PER_SECOND = 256 * 2**10
"""A write that takes longer than both allow together is given up. Clients have no limit of their own there: where they
ask a server whether they may send ("100 Continue") and no answer comes, they wait for ever."""


class FsspecStore:
    """Keys below one path of an fsspec filesystem.

    `filesystem` must have been made without listing cache and for this store alone; `path` is the root as that
    filesystem writes it, `url` the root as people may see it, `scrub` takes secrets out of texts. A write may take
    `patience_seconds`, and a second for each 256 KiB. Once the credentials have expired, the next call asks `renew`
    for a filesystem that has new ones.

        object stores  put and put_if_absent are one request each, whole and exclusive by the service
        file servers   put writes a temporary sibling and renames it; put_if_absent looks first: not exclusive
        anything else  what the filesystem does by itself; not taken for exclusive
    """

    def __init__(
        self,
        filesystem: AbstractFileSystem,
        path: str,
        *,
        scheme: str,
        url: str,
        scrub: Scrub,
        patience_seconds: float = PATIENCE_SECONDS,
        renew: Renew | None = None,
    ) -> None:
        self._connection = Connection(filesystem, url, scrub, renew)
        self._base = path.rstrip("/")
        self._scheme = scheme
        self._url = url
        self._patience_seconds = patience_seconds

    @property
    def url(self) -> str:
        return self._url

    @property
    def creates_exclusively(self) -> bool:
        """Whether the service itself is asked to keep two creators apart (see `probe_exclusive`)."""
        return self._scheme in OBJECT_STORES

    def get(self, key: str) -> bytes:
        check_read_key(key)
        with self._reporting(key):
            if self._scheme in READ_FROM_0:
                return self._ranged(key, 0, None)
            return bytes(self._open.cat_file(self._path(key)))

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        check_range(start, stop)
        check_read_key(key)
        with self._reporting(key):
            if start == stop:
                self._open.info(self._path(key))
                return b""
            # Some HTTP servers ignore the range and send everything.
            data = self._ranged(key, start, stop)
            return data if len(data) <= stop - start else data[start:stop]

    def put(self, key: str, data: bytes) -> None:
        check_written_key(key)
        with self._reporting(key, writing=True):
            if self._scheme in FILE_SERVERS:
                self._put_by_renaming(self._path(key), data)
            else:
                self._send(self._path(key), data)

    def put_file(self, key: str, path: Path) -> None:
        """See `mlsession.store.bulk`; elsewhere than in object stores and on file servers all of it is in memory."""
        if self._scheme not in (*OBJECT_STORES, *FILE_SERVERS):
            self.put(key, path.read_bytes())
            return
        check_written_key(key)
        with self._reporting(key, writing=True):
            if self._scheme in FILE_SERVERS:
                self._put_by_renaming(self._path(key), path)
            else:
                self._send(self._path(key), path)

    def put_if_absent(self, key: str, data: bytes) -> None:
        check_written_key(key)
        if len(data) > MAX_CREATE_BYTES:
            raise StoreError(
                f"{self._url}: {key} has {len(data)} bytes, and at most {MAX_CREATE_BYTES} can be created at once; "
                "write large data with put under a new key",
                key,
            )
        with self._reporting(key, writing=True):
            try:
                self._create(self._path(key), data)
            except FileExistsError as error:
                if classify(error) is Failure.CONTAINER_MISSING:
                    # Azure says so, too, while a container is being deleted.
                    raise
                raise KeyExists(f"{self._url}: {key} exists already", key) from error

    def list(self, prefix: str = "") -> Iterator[Entry]:
        folder = prefix.rstrip("/")
        if folder:
            check_read_key(folder)
        with self._reporting(folder):
            found = self._find(self._path(folder) if folder else self._base)
        return self._entries(found, f"{folder}/" if folder else "")

    def delete(self, key: str) -> None:
        check_written_key(key)
        with suppress(KeyMissing), self._reporting(key):
            try:
                self._open.rm_file(self._path(key))
            except Exception as error:
                # FTP has one reply for "there is no such file" and "you may not".
                if classify(error) is not Failure.OTHER or self._open.exists(self._path(key)):
                    raise

    def close(self) -> None:
        self._connection.close()

    @property
    def _open(self) -> AbstractFileSystem:
        return self._connection.filesystem()

    @property
    def _scrub(self) -> Scrub:
        return self._connection.scrub

    def _path(self, key: str) -> str:
        return f"{self._base}/{key}" if self._base or self._scheme in FILE_SERVERS else key

    def _ranged(self, key: str, start: int, stop: int | None) -> bytes:
        try:
            return bytes(self._open.cat_file(self._path(key), start=start, end=stop))
        except Exception as error:
            # A range that begins at the end of the value or behind it (in an empty one, any) is refused by some,
            # each in its own words.
            if classify(error) is Failure.OTHER and self._open.info(self._path(key))["size"] <= start:
                return b""
            raise

    def _create(self, path: str, data: bytes) -> None:
        if self._scheme not in FILE_SERVERS:
            self._send(path, data, mode="create")
            return
        if self._open.exists(path):
            raise FileExistsError(path)
        self._put_by_renaming(path, data)

    def _send(self, path: str, data: bytes | Path, **options: str) -> None:
        limits: dict[str, float] = {}
        if self._scheme in OBJECT_STORES:
            # fsspec cancels the request then; were it left running, its bytes would stay in memory with it.
            limits["timeout"] = self._patience(data.stat().st_size if isinstance(data, Path) else len(data))
        if isinstance(data, Path):
            self._open.put_file(str(data), path, **limits, **options)
        else:
            self._open.pipe_file(path, data, **limits, **options)

    def _patience(self, size: int) -> float:
        """Seconds after which a write of so many bytes is given up."""
        return self._patience_seconds + size / SLOWEST_BYTES_PER_SECOND

    def _put_by_renaming(self, path: str, data: bytes | Path) -> None:
        folder = path.rpartition("/")[0]
        temporary = f"{folder}/{temporary_name(secrets.randbits(64))}"
        self._open.makedirs(folder, exist_ok=True)
        try:
            self._send(temporary, data)
            self._open.mv(temporary, path)
        except BaseException:
            # A failure to tidy up must not hide what went wrong; the name is never listed.
            with suppress(Exception):
                self._open.rm_file(temporary)
            raise

    def _find(self, path: str) -> Mapping[str, Mapping[str, object]]:
        # fsspec's own walk would take any failure, an outage too, for an empty folder.
        options = {"on_error": "raise"} if walks_folders(self._open) else {}
        # An FTP server that is asked for what is in a file names the file itself.
        if self._scheme in FILE_SERVERS and path != self._base and self._open.isfile(path):
            return {}
        try:
            found = self._open.find(path, detail=True, **options)
        except FileNotFoundError as error:
            failure = remote_failure(error, self._url, "", self._scrub)
            if self._scheme in GOOGLE:
                # Where there is a bucket, an empty listing is an empty listing.
                raise container_missing(self._url) from error
            if isinstance(failure, KeyMissing):
                return {}
            raise failure from fit_cause(error, self._scrub)
        if not found and self._scheme in AZURE:
            self._check_container()
        # Asked for what is in a file, adlfs gives a list with the file itself.
        return found if isinstance(found, Mapping) else {}

    def _check_container(self) -> None:
        """Raise `StoreError` where adlfs found nothing because there is no container."""
        try:
            self._open.info(self._base.partition("/")[0])
        except Exception as error:
            # Whoever may list need not be allowed to ask this.
            if classify(error) in (Failure.MISSING, Failure.CONTAINER_MISSING):
                raise container_missing(self._url) from error

    def _entries(self, found: Mapping[str, Mapping[str, object]], start: str) -> Iterator[Entry]:
        base = f"{self._base}/" if self._base or self._scheme in (*FILE_SERVERS, "memory") else ""
        for path, info in found.items():
            key = path.removeprefix(base)
            outside = not path.startswith(base) or not key.startswith(start) or key in ("", start)
            if outside or info.get("type") == "directory" or key.endswith("/"):
                continue
            if is_temporary(key.rpartition("/")[2]):
                continue
            size = info.get("size")
            if not isinstance(size, int):
                with self._reporting(key):
                    info = self._open.info(path)
                size = info.get("size")
            yield Entry(key=key, size=size if isinstance(size, int) else 0, version=self._version(info))

    def _version(self, info: Mapping[str, object]) -> str:
        return entry_version(info)

    @contextmanager
    def _reporting(self, key: str, *, writing: bool = False) -> Iterator[None]:
        """Turn the client library's errors into ours, without its secrets."""
        asked = self._connection.current
        try:
            yield
        except (MLSessionError, MemoryError):
            raise
        except Exception as error:
            failure = remote_failure(error, self._url, key, self._scrub)
            if isinstance(failure, CredentialsExpired):
                self._connection.expire(asked)
            if writing and isinstance(failure, KeyMissing):
                if self._scheme in OBJECT_STORES:
                    raise container_missing(self._url, key) from error
                message = (
                    f"{self._url}: {key} cannot be written, for its folder is missing; create it or correct the URL"
                )
                raise StoreError(message, key) from fit_cause(error, self._scrub)
            raise failure from fit_cause(error, self._scrub)
